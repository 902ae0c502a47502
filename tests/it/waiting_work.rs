//! Checks what operators see of work that waits and of what it uses: transactions without a block, refunds under way,
//! requests without an instance, permits and stores beside their limits.

use std::time::Duration;

use coinslot_tests::{ServeHost, TestChain, run};
use serde_json::{Value, json};

use crate::admin::{ask, becomes, metrics, sample};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
const MINUTE: Duration = Duration::from_secs(60);

async fn page(host: &ServeHost, path: &str) -> String {
    let answer = reqwest::get(format!("{}{path}", host.admin())).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("a page")
}

/// The number of pending transactions was shown, and no hash by which an operator could look for one.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_without_a_block_is_named_until_it_has_one_and_then_counted() {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let host = chain.serve_guests_on(&["echo"], &node, ADMIN).await;
    node.withhold();
    let buying = host.buy(chain.payer(0), "/echo", MINUTE);
    let watching = async {
        let has_one = |report: &Value| report["wallets"][0]["transactions"][0]["hash"].is_string();
        let report = becomes(&host, "/api/v1/status", has_one).await;
        let wallet = &report["wallets"][0];
        let waiting = wallet["transactions"][0].clone();
        assert_eq!((&waiting["nonce"], &waiting["settlements"]), (&json!(0), &json!(1)), "{wallet}");
        let hash = waiting["hash"].as_str().expect("a hash").to_owned();
        assert_eq!(waiting["explorer"], format!("https://sepolia.basescan.org/tx/{hash}"));
        let listed = ask(&host, "/api/v1/chain").await;
        assert_eq!(listed[0]["wallets"][0]["transactions"][0]["hash"], hash, "{listed}");
        let shown = page(&host, "/chain").await;
        assert!(shown.contains("Pending transactions of") && shown.contains(&hash), "{shown}");
        let status = run(&host.path("."), &["status", "--url", &host.admin(), "--format", "table"]);
        let text = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(text.contains("PENDING TRANSACTION") && text.contains(&hash), "{text}");
        let text = metrics(&host).await;
        let counted =
            |result: &str| sample(&text, "coinslot_wallet_transactions_total", &[("coinslot_result", result)]);
        assert_eq!((counted("submitted"), counted("included") + 0.0), (1.0, 0.0), "{text}");
        node.release().await;
    };
    let (bought, ()) = tokio::join!(buying, watching);
    assert_eq!(bought.statuses.last(), Some(&200), "{}", host.log());
    let is_done = |report: &Value| report["wallets"][0]["transactions"] == json!([]);
    becomes(&host, "/api/v1/status", is_done).await;
    let text = metrics(&host).await;
    let included = [("coinslot_result", "included"), ("coinslot_network", "eip155:84532")];
    assert_eq!(sample(&text, "coinslot_wallet_transactions_total", &included), 1.0, "{text}");
    assert_eq!(sample(&text, "coinslot_wallet_inclusion_duration_seconds_count", &included), 1.0, "{text}");
    assert!(sample(&text, "coinslot_wallet_inclusion_duration_seconds_sum", &included) > 0.0, "{text}");
}

/// A wait for an instance was a part of the run, and nobody could tell a slow plugin from one with too few instances.
#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_an_instance_is_measured_apart_from_the_run_by_route() {
    let chain = TestChain::start().await;
    let limits = "[plugin.ticker.limits]\nmax_instances_per_plugin = 1\n";
    let host = chain.serve(&["ticker"], &format!("{ADMIN}{limits}")).await;
    let client = reqwest::Client::new();
    let ask = || client.get(host.url("/ticker")).header("x-do", "event sleep").send();
    let open = ask().await.expect("an answer");
    assert_eq!(open.status(), 200, "{}", host.log());
    let begun = std::time::Instant::now();
    let refused = ask().await.expect("an answer");
    let waited = begun.elapsed().as_secs_f64();
    assert_eq!(refused.status(), 503, "{}", host.log());
    drop(refused);
    let stage = |text: &str, name: &str, stage: &str| {
        let labels = [("coinslot_stage", stage), ("http_route", "/ticker"), ("coinslot_plugin", "ticker")];
        sample(text, &format!("coinslot_stage_duration_seconds_{name}"), &labels)
    };
    let text = metrics(&host).await;
    let (times, wait) = (stage(&text, "count", "wait"), stage(&text, "sum", "wait"));
    // The answer that is open is counted at its end.
    assert!(times >= 1.0 && wait > waited / 2.0 && wait <= waited + 0.1, "{wait} of {waited}\n{text}");
    assert!(stage(&text, "sum", "run") < waited / 2.0, "the run of what never ran: {text}");
    drop(open);
}

/// The page had the limits of a plugin's memory, and neither how full its store was nor how many permits it held.
#[tokio::test]
async fn permits_and_the_store_of_a_plugin_are_shown_beside_their_limits() {
    let chain = TestChain::start().await;
    let config = format!("{ADMIN}[plugin.keeper]\nkeyvalue = {{ keys = 7, total_size = \"1MiB\" }}\n");
    let host = chain.serve(&["keeper", "echo"], &config).await;
    let of = |list: &Value, file: &str| {
        let found = list.as_array().expect("a list").iter().find(|one| one["file"] == file).cloned();
        found.unwrap_or_else(|| panic!("no {file} in {list}"))
    };
    let empty = of(&ask(&host, "/api/v1/plugins").await, "keeper.wasm");
    assert_eq!(
        empty["store"],
        json!({ "keys": 0, "bytes": 0, "maxKeys": 7, "maxBytes": 1 << 20, "maxValue": 1 << 20 })
    );
    let kept = reqwest::Client::new().post(host.url("/keeper")).body("set a 12345\nset b 1").send().await;
    assert_eq!(kept.expect("an answer").text().await.expect("text"), "Ok(())\nOk(())", "{}", host.log());
    let list = ask(&host, "/api/v1/plugins").await;
    let keeper = of(&list, "keeper.wasm");
    // A key counts as its value does.
    assert_eq!((&keeper["store"]["keys"], &keeper["store"]["bytes"]), (&json!(2), &json!(8)), "{keeper}");
    assert_eq!(of(&list, "echo.wasm")["store"], Value::Null, "it keeps nothing");
    let (limits, usage) = (&keeper["limits"], &keeper["usage"]);
    assert_eq!((&limits["permits"], &usage["permits"]), (&json!(256), &json!(0)), "{keeper}");
    assert_eq!(usage["permitsOfInstance"], 1, "{keeper}");
    let shown = page(&host, "/plugins").await;
    for part in ["Permits now", "Keys kept", "2 of 7", "8 B of 1 MiB"] {
        assert!(shown.contains(part), "{part} is missing from\n{shown}");
    }
}
