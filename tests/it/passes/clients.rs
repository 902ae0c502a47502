//! `coinslot pay`, agents over MCP and `coinslot mcp` come back by a pass, and pay only where it does not serve.

use std::process::Output;

use coinslot_tests::{McpClient, ServeHost, TestChain, Wallet, binary, run};
use serde_json::{Value, json};

use super::pass_of;

/// A host that sells passes of so many requests, with the key of a payer in a file.
async fn shop(chain: &TestChain, requests: u32) -> ServeHost {
    let host = chain.serve(&["echo"], &pass_of("echo", requests)).await;
    std::fs::write(host.path("payer.key"), chain.payer(0).key()).expect("a key");
    host
}

fn pay(host: &ServeHost, more: &[&str]) -> Output {
    let url = host.url("/echo");
    let fixed = ["pay", "-X", "POST", &url, "--key-file", "payer.key"];
    run(&host.path(""), &[&fixed, more].concat())
}

/// What a command that ended well printed for people.
#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn coinslot_pay_pays_once_and_comes_back_by_its_pass() {
    let chain = TestChain::start().await;
    let host = shop(&chain, 3).await;
    assert!(said(&pay(&host, &[])).starts_with("paid 0.01 USDC"));
    let account = chain.payer(0).address().to_checksum(None);
    let first = said(&pay(&host, &[]));
    assert!(
        first.starts_with(&format!("nothing was paid: signed in as {account}, for which 2 more requests")),
        "{first}"
    );
    // A limit is one of money, and no money moves.
    let second = pay(&host, &["--max", "0.001", "--json"]);
    said(&second);
    let object: Value = serde_json::from_slice(&second.stdout).expect("JSON");
    assert_eq!((&object["status"], &object["signedInAs"]), (&json!(200), &json!(account)));
    assert_eq!(object["receipt"], Value::Null, "{object}");
    let dry = pay(&host, &["--dry-run"]);
    assert!(String::from_utf8_lossy(&dry.stdout).contains("it costs 0.01 USDC"), "{dry:?}");
    assert_eq!(chain.payments_received().await, 1);
    assert!(said(&pay(&host, &["--no-pass"])).starts_with("paid 0.01 USDC"), "a person may leave the pass unused");
    assert_eq!((chain.payments_received().await, host.runs()), (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn coinslot_pay_pays_where_its_pass_does_not_serve() {
    let chain = TestChain::start().await;
    let host = shop(&chain, 1).await;
    said(&pay(&host, &[]));
    assert!(said(&pay(&host, &[])).contains("for which 0 more requests are left"));
    let dear = pay(&host, &["--max", "0.001"]);
    assert_eq!(dear.status.code(), Some(3), "{dear:?}");
    let again = said(&pay(&host, &[]));
    assert!(again.contains("no pass of this account serves the request: pass_used_up"), "{again}");
    assert!(again.contains("paid 0.01 USDC"), "{again}");
    assert_eq!((chain.payments_received().await, host.runs()), (2, 3));
    // An account that never paid hears of no pass.
    std::fs::write(host.path("payer.key"), chain.payer(1).key()).expect("a key");
    assert!(said(&pay(&host, &[])).starts_with("paid 0.01 USDC"));
}

const TOOL: &str = "guest-echo_post_echo";

/// The proof that the result of an unpaid call asks for.
fn proof(payer: &Wallet, challenged: &Value) -> Option<Value> {
    Some(json!({ "x402/sign-in-with-x": payer.prove(&challenged["structuredContent"], |_| ()) }))
}

/// The name of the tool of the paid route.
async fn tool(agent: &McpClient) -> String {
    let tools = agent.tools().await;
    let found = tools.keys().find(|name| name.contains("post") && name.contains("echo"));
    found.unwrap_or_else(|| panic!("{TOOL} is not among {:?}", tools.keys())).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_returns_by_a_proof_among_the_metadata_of_its_call() {
    let chain = TestChain::start().await;
    let host = shop(&chain, 2).await;
    // The payment and the pass are one account's over HTTP and by MCP.
    said(&pay(&host, &[]));
    let agent = McpClient::connect(&host.url("/mcp")).await;
    let tool = tool(&agent).await;
    let challenged = agent.call(&tool, json!({}), None).await;
    let stranger = agent.call(&tool, json!({}), proof(chain.payer(1), &challenged)).await;
    assert_eq!(stranger["isError"], true, "{stranger}");
    let meta = proof(chain.payer(0), &agent.call(&tool, json!({}), None).await);
    let served = agent.call(&tool, json!({}), meta.clone()).await;
    assert_ne!(served["isError"], true, "{served}\n{}", host.log());
    assert!(served["_meta"].get("x402/payment-response").is_none(), "{served}");
    let left = &served["_meta"]["coinslot/answer"]["rateLimit"];
    assert!(left.as_str().is_some_and(|left| left.starts_with("\"pass\";r=1")), "{served}");
    assert!(!served["content"].to_string().contains("sign-in-with-x"), "the plugin sees no proof: {served}");
    for (meta, error) in
        [(meta, "invalid_siwx_nonce"), (Some(json!({ "x402/sign-in-with-x": [7] })), "invalid_siwx_header")]
    {
        let refused = agent.call(&tool, json!({}), meta).await;
        assert_eq!(refused["structuredContent"]["error"], error, "{refused}");
    }
    let meta = proof(chain.payer(0), &agent.call(&tool, json!({}), None).await);
    assert_ne!(agent.call(&tool, json!({}), meta).await["isError"], true);
    let meta = proof(chain.payer(0), &agent.call(&tool, json!({}), None).await);
    let used_up = agent.call(&tool, json!({}), meta).await;
    assert_eq!(used_up["structuredContent"]["error"], "pass_used_up", "{used_up}");
    assert_eq!((chain.payments_received().await, host.runs()), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn coinslot_mcp_spends_nothing_while_its_pass_lasts() {
    let chain = TestChain::start().await;
    let host = shop(&chain, 2).await;
    let (url, state, key) =
        (host.url("/mcp"), host.path("agent").display().to_string(), host.path("payer.key").display().to_string());
    let arguments = ["mcp", &url, "--key-file", &key, "--state-dir", &state, "--budget", "0.02"];
    let agent = McpClient::spawn(&binary(), &arguments, &[]).await.expect("a server of MCP");
    let tool = tool(&agent).await;
    let account = chain.payer(0).address().to_checksum(None);
    for paid in [true, false, false, true] {
        let result = agent.call(&tool, json!({}), None).await;
        assert_ne!(result["isError"], true, "{result}\n{}", host.log());
        assert_eq!(result["_meta"].get("x402/payment-response").is_some(), paid, "{result}");
        let signed_in = if paid { Value::Null } else { json!(account) };
        assert_eq!(result["_meta"]["coinslot/signedInAs"], signed_in, "{result}");
    }
    let wallet = agent.call("coinslot_wallet", json!({}), None).await;
    assert_eq!(wallet["structuredContent"]["leftDollars"], "0", "{wallet}");
    // The new pass serves an agent that has no budget left.
    assert_ne!(agent.call(&tool, json!({}), None).await["isError"], true);
    assert_eq!((chain.payments_received().await, host.runs()), (2, 5));
}
