//! `coinslot mcp` serves an agent on this machine over its standard streams, and pays within a budget. The agent is the
//! official client of MCP.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, McpClient, McpProxy, binary, guest};
use serde_json::{Value, json};

/// A host, and a folder for the state of agents.
struct Home {
    host: DevHost,
}

impl Home {
    async fn open() -> Self {
        Self { host: DevHost::builder().plugin("behaviours.wasm", &guest("behaviours")).start().await }
    }

    async fn agent(&self, arguments: &[&str]) -> McpClient {
        self.agent_at(&self.host.url("/mcp"), arguments).await
    }

    async fn agent_at(&self, url: &str, arguments: &[&str]) -> McpClient {
        let state = self.host.path("agent").display().to_string();
        let key = self.host.dev_json()["payers"][0]["privateKey"].as_str().expect("a key").to_owned();
        let fixed = ["mcp", url, "--key-env", "AGENT_KEY", "--state-dir", &state];
        McpClient::spawn(&binary(), &[&fixed, arguments].concat(), &[("AGENT_KEY", &key)])
            .await
            .expect("a server of MCP")
    }

    async fn paid(&self) -> U256 {
        self.host.chain().balance(self.host.seller()).await
    }
}

async fn greet(agent: &McpClient, name: &str) -> Value {
    agent.call("guest-behaviours_greet_name", json!({ "path": { "name": name } }), None).await
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_agent_pays_by_itself_and_stops_at_its_budget_also_after_a_restart() {
    let home = Home::open().await;
    let agent = home.agent(&["--budget", "0.0025"]).await;
    let tools = agent.tools().await;
    assert!(tools.contains_key("guest-behaviours_post_orders") && tools.contains_key("coinslot_wallet"), "{tools:?}");
    assert_eq!(text(&agent.call("guest-behaviours_items_special", json!({}), None).await), "special");
    for name in ["Ada", "Bea"] {
        let greeted = greet(&agent, name).await;
        assert_eq!(text(&greeted), format!("Hello, {name}!"), "{greeted}");
        assert_eq!(greeted["_meta"]["x402/payment-response"]["success"], true);
    }
    let stopped = greet(&agent, "Cleo").await;
    assert!(
        stopped["isError"] == true && text(&stopped).contains("0.0005 of the budget of 0.0025 dollars"),
        "{stopped}"
    );
    drop(agent);
    let agent = home.agent(&["--budget", "0.0025"]).await;
    assert!(text(&greet(&agent, "Cleo").await).contains("nothing was paid"), "a restart gives no new budget");
    let wallet = agent.call("coinslot_wallet", json!({}), None).await;
    let report = &wallet["structuredContent"];
    assert_eq!((&report["spentDollars"], &report["leftDollars"]), (&json!("0.002"), &json!("0.0005")));
    assert_eq!(home.paid().await, U256::from(2_000));
    let agent = home.agent(&["--budget", "1/day"]).await;
    assert_eq!(text(&greet(&agent, "Cleo").await), "Hello, Cleo!", "the user has raised it");
}

#[tokio::test]
async fn a_price_above_the_limits_is_refused_before_anything_is_signed() {
    let home = Home::open().await;
    let order = json!({ "body": { "count": 3, "colour": "red" } });
    for (arguments, says) in [
        (&["--max", "0.009"][..], "above the limit of 0.009"),
        (&["--network", "base"], "none of the others is on eip155:8453"),
        (&["--budget", "0"], "0 of the budget of 0 dollars"),
    ] {
        let agent = home.agent(arguments).await;
        let refused = agent.call("guest-behaviours_post_orders", order.clone(), None).await;
        assert!(refused["isError"] == true && text(&refused).contains(says), "{arguments:?}: {refused}");
        assert!(text(&refused).contains("nothing was paid"), "{refused}");
    }
    assert_eq!(home.paid().await, U256::ZERO);
    assert!(home.host.ledger().is_empty());
}

/// The answer was paid for and lost: to pay anew would pay twice.
#[tokio::test]
async fn a_lost_answer_is_fetched_by_the_same_payment_also_after_a_restart() {
    let home = Home::open().await;
    let proxy = McpProxy::losing(1, home.host.url("/mcp")).await;
    let agent = home.agent_at(&proxy.url(), &[]).await;
    assert_eq!(text(&greet(&agent, "Ada").await), "Hello, Ada!");
    assert_eq!((proxy.paid_calls(), home.paid().await), (2, U256::from(1_000)), "it is sent again at once");
    proxy.lose(usize::MAX);
    let lost = greet(&agent, "Bea").await;
    assert!(lost["isError"] == true && text(&lost).contains("call this tool again with the same arguments"), "{lost}");
    drop(agent);
    proxy.lose(0);
    let agent = home.agent_at(&proxy.url(), &[]).await;
    let wallet = agent.call("coinslot_wallet", json!({}), None).await;
    assert_eq!(wallet["structuredContent"]["openPayments"], 1, "{wallet}");
    assert_eq!(text(&greet(&agent, "Bea").await), "Hello, Bea!");
    assert_eq!(home.paid().await, U256::from(2_000));
    assert_eq!(home.host.ledger().len(), 2);
}

#[tokio::test]
async fn progress_and_changes_reach_the_agent_through_the_bridge() {
    let home = Home::open().await;
    let agent = home.agent(&[]).await;
    let call = json!({ "do": "call", "name": "guest-behaviours_ticks", "arguments": {}, "progress": true });
    let streamed = agent.ask(call).await.expect("a result");
    let pieces: String = streamed["notices"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|notice| notice["message"].as_str().expect("a text"))
        .collect();
    assert!(!pieces.is_empty() && pieces == text(&streamed["result"]), "{streamed}");
    let file = home.host.path("plugins/declared.wasm");
    std::fs::write(file, coinslot_tests::declaring("GET:/one free")).expect("a component");
    let told = agent.ask(json!({ "do": "changes", "least": 1 })).await.expect("a count");
    assert_eq!(told["changes"], 1);
    assert!(agent.tools().await.contains_key("declared_one"));
}

#[tokio::test]
async fn a_server_that_is_none_or_a_key_that_is_missing_is_said_at_the_start() {
    let home = Home::open().await;
    let nowhere = McpClient::spawn(&binary(), &["mcp", "http://127.0.0.1:1/mcp"], &[]).await;
    assert!(nowhere.is_err());
    let wrong = coinslot_tests::run(&home.host.path("."), &["mcp", &home.host.url("/items/special")]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && said.contains("does not answer as a server of MCP"), "{said}");
    let keyless =
        coinslot_tests::run(&home.host.path("."), &["mcp", &home.host.url("/mcp"), "--key-env", "NO_SUCH_KEY"]);
    assert!(String::from_utf8_lossy(&keyless.stderr).contains("NO_SUCH_KEY"));
}
