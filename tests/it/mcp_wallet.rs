//! `coinslot mcp` serves an agent on this machine over its standard streams, and pays within a budget. The agent is the
//! official client of MCP.

mod liars;

use alloy::primitives::U256;
use coinslot_tests::{DevHost, McpClient, McpProxy, binary, guest};
use serde_json::{Value, json};

/// A well-known key, with which nothing is paid.
const SOME_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

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
    let said = |arguments: &[&str], key: Option<&str>| {
        let mut command = std::process::Command::new(binary());
        command.args(["mcp"]).args(arguments).current_dir(home.host.path("."));
        command.env_remove("COINSLOT_PAYER_KEY").envs(key.map(|key| ("COINSLOT_PAYER_KEY", key)));
        let ended = command.stdin(std::process::Stdio::null()).output().expect("the command");
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {ended:?}");
        String::from_utf8(ended.stderr).expect("UTF-8")
    };
    let url = home.host.url("/mcp");
    let away = said(&["http://127.0.0.1:1/mcp"], Some(SOME_KEY));
    assert_eq!(
        away,
        "coinslot: http://127.0.0.1:1/mcp does not answer as a server of MCP: nothing listens at http://127.0.0.1:1: \
         start the host, or name another address (connection refused)\n"
    );
    let other = said(&[&home.host.url("/items/special")], None);
    assert!(other.contains("does not answer as a server of MCP") && !other.contains("rmcp"), "{other}");
    // A key that is named has to be there: without one no call would be paid, and nobody would know why.
    for (arguments, key, says) in [
        (&[&url, "--key-env", "NO_SUCH_KEY"][..], None, "NO_SUCH_KEY is not set"),
        (&[&url, "--dev-json", "nowhere.json"], None, "nowhere.json cannot be read"),
        (&["http://127.0.0.1:1/mcp", "--dev-json", ".coinslot/dev.json"], None, "is not of a host that serves"),
        (&["http://127.0.0.1:1/mcp"], Some("0x12"), "COINSLOT_PAYER_KEY does not hold a private key"),
        (&["http://127.0.0.1:1/mcp"], Some(""), "COINSLOT_PAYER_KEY does not hold a private key"),
    ] {
        let said = said(arguments, key);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

/// An agent got the payment requirements as JSON, and nobody told its user what to do.
#[tokio::test]
async fn a_paid_call_without_a_key_says_what_it_costs_and_where_a_key_goes() {
    let home = Home::open().await;
    let proxy = McpProxy::losing(0, home.host.url("/mcp")).await;
    let agent = McpClient::spawn(&binary(), &["mcp", &proxy.url()], &[]).await.expect("a server of MCP");
    assert_eq!(text(&agent.call("guest-behaviours_items_special", json!({}), None).await), "special");
    let asked = greet(&agent, "Ada").await;
    assert_eq!(
        text(&asked),
        "this call costs 0.001 USDC, and there is no key to pay with: set COINSLOT_PAYER_KEY for `coinslot mcp`, or name \
         a key with its --key-file or --key-env"
    );
    assert!(asked["isError"] == true && asked["structuredContent"]["accepts"].is_array(), "{asked}");
    assert_eq!(asked["content"].as_array().map(Vec::len), Some(1), "{asked}");
}
