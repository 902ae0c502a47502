//! Everything that tells what is sold tells of the pass, in the same words: pages, documents, and the tools of agents.

use coinslot_tests::{McpClient, ServeHost, TestChain};
use reqwest::Client;

use super::pass_of;

const OFFER: &str = "A payment also buys a pass: 7 more requests within 1h.";

/// The text that a browser gets.
async fn page(host: &ServeHost, path: &str) -> String {
    let request = Client::new().get(host.url(path)).header("user-agent", "Mozilla/5.0 Firefox/140.0");
    request.header("accept", "text/html").send().await.expect("an answer").text().await.expect("a text")
}

#[tokio::test]
async fn pages_documents_and_tools_say_what_a_payment_buys_beside_its_answer() {
    let chain = TestChain::start().await;
    let quoted = "[plugin.quoter.routes.\"POST /quoter/{kind}\"]\npass = { seconds = 60, requests = 1 }\n";
    let get = "[plugin.echo.routes.\"GET /echo\"]\nprice = \"0.01\"\npass = { seconds = 3600, requests = 7 }\n";
    let mut host = chain.serve(&["echo", "quoter"], &format!("{get}{quoted}")).await;
    let quoted = "A payment also buys a pass: 1 more request within 1m, each of at most the price that was paid.";
    let index = page(&host, "/").await;
    for part in ["and 7 more requests within 1h", "Return without paying", "This browser returns by itself"] {
        assert!(index.contains(part), "{part}: {index}");
    }
    for path in ["/.well-known/coinslot/endpoint?GET%20%2Fecho", "/echo"] {
        let page = page(&host, path).await;
        assert!(page.contains(OFFER) && page.contains("by a signature of the wallet that paid"), "{path}: {page}");
    }
    let quoter = page(&host, "/.well-known/coinslot/endpoint?POST%20%2Fquoter%2F%7Bkind%7D").await;
    assert!(quoter.contains(quoted), "{quoter}");
    let llms = page(&host, "/llms.txt").await;
    assert!(
        llms.contains(OFFER) && llms.contains(quoted) && llms.contains("its payer returns without paying"),
        "{llms}"
    );
    let tools = McpClient::connect(&host.url("/mcp")).await.tools().await;
    let with_pass = |tool: &&serde_json::Value| tool["_meta"]["coinslot/price"]["pass"]["requests"] == 7;
    let tool = tools.values().find(with_pass).expect("a tool with a pass");
    let description = tool["description"].as_str().expect("a text");
    assert!(description.contains(OFFER) && description.contains("sign-in-with-x"), "{description}");
    // Where no pass is sold, nothing speaks of one.
    host.write_configuration(
        &host.configuration().replace(get, "").replace("seconds = 60, requests = 1", "seconds = 60, requests = 2"),
    );
    host.restart(&[]).await;
    assert!(!page(&host, "/.well-known/coinslot/endpoint?POST%20%2Fecho").await.contains("buys a pass"));
    assert!(page(&host, "/").await.contains("and 2 more requests within 1m"));
    host.write_configuration(&host.configuration().replace("pass = { seconds = 60, requests = 2 }", ""));
    host.restart(&[]).await;
    for path in ["/", "/llms.txt"] {
        let text = page(&host, path).await;
        assert!(!text.contains("without paying") && !text.contains("more requests within"), "{path}: {text}");
    }
}

/// The words of the operator's `pass` are those of the challenge's own terms.
#[tokio::test]
async fn a_pass_of_one_request_is_told_in_the_singular() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &pass_of("echo", 1)).await;
    assert!(page(&host, "/").await.contains("and 1 more request within 1h"));
}
