//! Publishes a plugin whose texts and schemas are as large and as hostile as a manifest allows.

use std::time::{Duration, Instant};

use coinslot_tests::{McpClient, TestChain, decode, guest};
use serde_json::Value;

use super::columns;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_stay_texts_and_large_schemas_slow_nobody_down() {
    ["boastful", "hello"].iter().for_each(|name| drop(guest(name)));
    let chain = TestChain::start().await;
    let host = chain.serve(&["boastful", "hello"], "").await;
    let client = reqwest::Client::new();
    let asked = async || {
        let begun = Instant::now();
        let answer = client.get(host.url("/hello?name=x")).send().await.expect("an answer");
        assert_eq!(answer.status(), 402);
        begun.elapsed()
    };
    asked().await;
    // Others ask for the price while the documents are made for the first time, and read by many.
    let (paths, mut readers) = (["/openapi.json", "/catalog.json", "/llms.txt", "/.well-known/x402"], Vec::new());
    for path in paths.iter().cycle().take(40) {
        let url = host.url(path);
        readers
            .push(tokio::spawn(async move { reqwest::get(url).await.expect("an answer").bytes().await.expect("it") }));
    }
    let mut slowest = Duration::ZERO;
    while !readers.iter().all(tokio::task::JoinHandle::is_finished) {
        slowest = slowest.max(asked().await);
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    for reader in readers {
        let bytes = reader.await.expect("a document");
        assert!(bytes.len() < 8 << 20, "{} bytes", bytes.len());
    }

    // JSON is read as it is meant, and no text sets the direction of another.
    for path in ["/openapi.json", "/catalog.json"] {
        let text = columns::text(&host, path).await;
        assert!(!text.contains('\u{202e}'), "{path}");
        drop(columns::json(&host, path).await);
    }
    // OpenAPI reads descriptions as CommonMark, those of schemas, too.
    let mut texts = Vec::new();
    add_texts(&columns::json(&host, "/openapi.json").await, &mut texts);
    assert!(texts.iter().any(|text| text.contains("onerror")), "{texts:?}");
    for text in texts {
        let without = text.replace("\\<", "").replace("\\[", "");
        assert!(!without.contains("<img") && !without.contains("[free"), "{text}");
    }
    // Agents are told the host's price first.
    let agent = McpClient::connect(&host.url("/mcp")).await;
    let tools = agent.tools().await;
    let tool = &tools["boastful_1"];
    let about = tool["description"].as_str().expect("a text");
    assert!(about.starts_with("Each call is paid by x402: 0.01 USDC"), "{about}");
    assert!(tools.values().all(|tool| !tool.to_string().contains('\u{202e}')), "{tool}");
    let llms = columns::text(&host, "/llms.txt").await;
    assert!(
        !llms.contains('\u{202e}') && !llms.contains("[free](") && !llms.replace("\\<", "").contains("<img"),
        "{}",
        &llms[..4_000]
    );
    assert!(
        !llms.lines().any(|line| line == "# Free" || line.contains("Price: free.")),
        "a heading or an entry of a plugin's"
    );
    assert_eq!(llms.lines().filter(|line| line.starts_with("- [")).count(), 256 + 1 + 3, "and two documents and MCP");

    // What does not fit into a challenge is left out of it.
    let large = client.post(host.url("/boastful/large/0/x")).send().await.expect("an answer");
    let header = large.headers()["payment-required"].to_str().expect("ASCII").to_owned();
    assert!(header.len() <= 3_520, "{}", header.len());
    let required = decode(&header);
    let bazaar = &required["extensions"]["bazaar"];
    assert_eq!(bazaar["info"]["input"]["pathParams"]["name"], "x", "{required:#}");
    assert!(bazaar["schema"]["properties"]["input"]["properties"]["body"].is_object(), "{bazaar:#}");
    let long =
        client.post(host.url(&format!("/boastful/large/0/{}", "x".repeat(1_900)))).send().await.expect("an answer");
    assert_eq!(long.status(), 402);
    let header = long.headers()["payment-required"].to_str().expect("ASCII").to_owned();
    assert!(header.len() <= 3_520 && decode(&header)["accepts"][0]["amount"] == "10000", "{}", decode(&header));
}

/// The texts of a document that are CommonMark.
fn add_texts(document: &Value, texts: &mut Vec<String>) {
    match document {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if ["description", "title"].contains(&name.as_str()) => {
                        texts.push(text.clone())
                    }
                    _ => add_texts(value, texts),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| add_texts(item, texts)),
        _ => {}
    }
}
