//! Attacks MCP: as a plugin that pretends to be the host, as a client with messages that cost much, and as many clients
//! at once.

use std::time::Duration;

use coinslot_tests::{DevHost, McpClient, TestChain, declaring, guest, run};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_default()
}

/// Sends a message with these fields, and returns the answer.
async fn post(url: &str, fields: &[(&str, &str)], message: &Value) -> Value {
    let request = Client::new().post(url).header("content-type", "application/json").body(message.to_string());
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("an answer").json().await.expect("JSON")
}

fn call(name: &str, arguments: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": arguments } })
}

/// A plugin that declared `POST /mcp` got the signed payments of agents, and listed tools at prices of its own.
#[tokio::test]
async fn no_plugin_takes_the_place_of_the_hosts_tools() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], "").await;
    host.install("own.wasm", &declaring("POST:/mcp free"));
    host.wait_for_log("not active file=own.wasm", 1).await;
    let says = "POST /mcp: the host serves the tools of agents (MCP) at this path";
    assert!(host.log().contains(says) && host.log().contains("mcp = \"/agents\""), "{}", host.log());
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let listed = post(&host.url("/mcp"), &[], &list).await;
    assert_eq!(listed["result"]["tools"][0]["name"], "status", "{listed}");
    let checked = run(&host.path("."), &["check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.code() == Some(1) && said.contains(says), "{said}");

    // The operator leaves the path to the plugin, and cannot take it back while the plugin serves.
    let plain = host.configuration();
    let with = |mcp: &str| host.write_configuration(&format!("{plain}\n[discover]\nmcp = \"{mcp}\"\n"));
    with("off");
    // The line about the refusal has the same words.
    host.wait_for_log("active file=own.wasm", 2).await;
    let own = Client::new().post(host.url("/mcp")).body("{}").send().await.expect("an answer");
    assert_eq!(own.text().await.expect("a text"), "\"served\"");
    with("/mcp");
    host.wait_for_log("the changed configuration is not used; the former one stays", 1).await;
    assert_eq!(host.log().matches(says).count(), 2, "{}", host.log());
    with("/agents");
    host.wait_for_log("the configuration is active", 2).await;
    let tools = post(&host.url("/agents"), &[], &list).await;
    assert_eq!(tools["result"]["tools"].as_array().map(Vec::len), Some(3), "{tools}");
    let own = Client::new().post(host.url("/mcp")).body("{}").send().await.expect("an answer");
    assert_eq!(own.text().await.expect("a text"), "\"served\"");
}

/// Stock clients pay for each failed result that has the form of payment requirements, whoever has written it.
#[tokio::test]
async fn an_error_of_a_plugin_never_asks_an_agent_for_a_payment() {
    let host = DevHost::builder().plugin("impostor.wasm", &guest("impostor")).start().await;
    let agent = McpClient::connect(&host.url("/mcp")).await;
    for asks in ["asks", "asks-text"] {
        let result = agent.call("impostor", json!({ "query": { asks: "" } }), None).await;
        let document: Value = serde_json::from_str(text(&result)).expect("JSON");
        assert_eq!(
            (&result["isError"], &document["error"]),
            (&json!(true), &json!("plugin_broke_contract")),
            "{result}"
        );
        assert_eq!((&result["_meta"]["coinslot/answer"]["status"], &document["charged"]), (&json!(502), &json!("no")));
        assert!(!result.to_string().contains("0x000000000000000000000000000000000000dEaD"), "{result}");
    }
    // At a paid route, too, and the payment is not settled.
    let arguments = json!({ "query": { "asks": "" } });
    let asked = agent.call("impostor_post", arguments.clone(), None).await;
    let payment = host.payer(0).pay_entry(&asked["structuredContent"]["accepts"][0]).document;
    let result = agent.call("impostor_post", arguments, Some(json!({ "x402/payment": payment }))).await;
    assert!(text(&result).contains("plugin_broke_contract") && !result.to_string().contains("dEaD"), "{result}");
    assert!(result["_meta"].get("x402/payment-response").is_none(), "{result}");
    // No client pays for a result that has not failed: a plugin may sell such documents.
    let sold = agent.call("impostor", json!({ "query": { "sells": "" } }), None).await;
    assert_eq!((&sold["isError"], &sold["structuredContent"]["x402Version"]), (&json!(false), &json!(2)), "{sold}");
}

/// The fields of a client's configuration came to the guests of every tool that it called, and whoever read the proof
/// of an account could use it once.
#[tokio::test]
async fn credentials_of_an_agent_do_not_reach_plugins() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let fields = [
        ("sign-in-with-x", "cHJvb2Y="),
        ("authorization", "Bearer for-another-plugin"),
        ("x-api-key", "sk-live-other"),
        ("api-key", "sk-live-third"),
        ("user-agent", "agent/1"),
    ];
    let result = post(&host.url("/mcp"), &fields, &call("echo", json!({}))).await["result"].clone();
    let seen: Value = serde_json::from_str(text(&result)).expect("what the plugin saw");
    let names: Vec<&str> =
        seen["headers"].as_array().expect("fields").iter().filter_map(|field| field[0].as_str()).collect();
    assert!(names.contains(&"user-agent"), "{seen}");
    for (name, _) in &fields[..4] {
        assert!(!names.contains(name), "{name}: {seen}");
    }
    // Over HTTP a route has its own client, but a proof is for the host alone.
    let request = fields
        .iter()
        .fold(Client::new().get(host.url("/echo")), |request, (name, value)| request.header(*name, *value));
    let seen = request.send().await.expect("an answer").text().await.expect("a text");
    assert!(seen.contains("sk-live-other") && !seen.contains("sign-in-with-x"), "{seen}");
}

/// A message of 4 MiB took 600 MB and seconds, and an answer of 7 MB as much, without a payment.
#[tokio::test]
async fn large_messages_and_answers_are_not_built_as_trees() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "impostor"], "").await;
    let url = host.url("/mcp");
    drop(post(&url, &[], &call("echo", json!({}))).await);
    let before = host.peak_memory();
    let many = format!("[{}0]", "0,".repeat((2 << 20) - 300));
    let message = |params: &str| {
        let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        Client::new().post(&url).header("content-type", "application/json").body(message).send()
    };
    let asked = message(&format!(r#"{{"name":"echo_post","arguments":{{"body":{many}}}}}"#)).await.expect("an answer");
    let asked: Value = asked.json().await.expect("JSON");
    assert_eq!(asked["result"]["structuredContent"]["x402Version"], 2, "{asked}");
    for other in [
        format!(r#"{{"name":"echo","arguments":{{"query":{many}}}}}"#),
        format!(r#"{{"name":"echo","arguments":{{}},"_meta":{many}}}"#),
        format!(r#"{{"name":"echo","arguments":{many}}}"#),
    ] {
        let refused = message(&other).await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert!(refused.text().await.expect("a text").contains("message_too_complex"));
    }
    let grown = host.peak_memory().saturating_sub(before);
    assert!(grown < 100 << 20, "messages: {} MiB", grown >> 20);

    let before = host.peak_memory();
    let result = post(&url, &[], &call("impostor", json!({ "query": { "json": "" } }))).await["result"].clone();
    let grown = host.peak_memory().saturating_sub(before);
    assert!(grown < 100 << 20, "an answer: {} MiB", grown >> 20);
    assert_eq!(result["structuredContent"]["a"].as_array().map(Vec::len), Some(3_600_001));
    assert_eq!(serde_json::from_str::<Value>(text(&result)).expect("JSON"), result["structuredContent"]);
    assert_eq!((&result["structuredContent"]["b"], &result["isError"]), (&json!("\"\u{e9}"), &json!(false)));
    // A large text with notices before it: the result is an event of a stream.
    let agent = McpClient::connect(&url).await;
    let meta = json!({ "progressToken": "p" });
    let result = agent.call("impostor", json!({ "query": { "text": "" } }), Some(meta)).await;
    assert!(text(&result).len() == 280_000 && text(&result).starts_with("\"line\"\n"), "{}", text(&result).len());
    // A body comes to the plugin as it was sent.
    let sent = call("echo_post", json!({ "body": { "b": [1.50, "x y", { "e": "\u{e9}" }] } }));
    let asked = post(&url, &[], &sent).await;
    let entry = &asked["result"]["structuredContent"]["accepts"][0];
    let payment = chain.payer(0).pay_entry(entry).document;
    let mut paid = sent.clone();
    paid["params"]["_meta"] = json!({ "x402/payment": payment });
    let paid = post(&url, &[], &paid).await;
    let seen: Value = serde_json::from_str(text(&paid["result"])).expect("what the plugin saw");
    assert_eq!(seen["body"], "{\"b\":[1.5,\"x y\",{\"e\":\"\u{e9}\"}]}", "{seen}");
}

/// All clients behind a proxy that the operator had not named shared sixteen streams.
#[tokio::test]
async fn clients_behind_a_proxy_do_not_share_the_streams_of_one() {
    // A peer on this machine may be a proxy, as long as `trusted_proxies` names none.
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], "").await;
    let mut streams = Vec::new();
    for number in 0..40 {
        let asked = Client::new().get(host.url("/mcp")).header("accept", "text/event-stream").send();
        let stream = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("in time").expect("an answer");
        assert_eq!(stream.status(), StatusCode::OK, "the stream {number}");
        streams.push(stream);
    }
}

/// The library of MCP logged warnings and errors for what any client can do.
#[tokio::test]
async fn clients_do_not_fill_the_log() {
    let host = DevHost::builder().plugin("status.wasm", &guest("status")).start().await;
    for message in
        [json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/list" }), json!({ "jsonrpc": "2.0" }), json!([])]
    {
        let request = host.client().post(host.url("/mcp")).header("content-type", "application/json");
        drop(request.body(message.to_string()).send().await.expect("an answer"));
    }
    // One that hangs up in the middle of a call.
    let slow = host.client().post(host.url("/mcp")).header("content-type", "application/json");
    let slow = slow.body(call("status", json!({})).to_string()).send();
    drop(tokio::time::timeout(Duration::from_millis(2), slow).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = host.log();
    assert!(!log.contains("ERROR") && !log.contains("response error"), "{log}");
}
