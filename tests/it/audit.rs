//! Checks the audit log: what was changed, when and by whom, without a secret.

use std::time::{Duration, Instant};

use coinslot_tests::{ServeHost, TestChain, Wallet, run};
use serde_json::{Value, json};

use crate::admin::ask;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// The changes of this kind once there are so many, the newest first.
pub(crate) async fn changes(host: &ServeHost, kind: &str, least: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let found = ask(host, &format!("/api/v1/audit?kind={kind}")).await;
        let found = found.as_array().expect("a list").clone();
        if found.len() >= least {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "not {least} of {kind}: {found:?}\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn text<'v>(change: &'v Value, field: &str) -> &'v str {
    change[field].as_str().unwrap_or_default()
}

async fn post(host: &ServeHost, path: &str, body: Value) {
    let answer = reqwest::Client::new().post(format!("{}{path}", host.admin())).json(&body).send().await;
    let answer = answer.expect("an answer");
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap_or_default());
}

/// The line was written up to 50 ms after the answer, and a host that was killed meanwhile had none.
#[tokio::test]
async fn what_an_operator_has_changed_is_in_the_audit_log_when_the_answer_comes() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], ADMIN).await;
    let plugin = json!({ "plugin": "status" });
    for round in 1..=5 {
        for (path, kind) in [("pause", "plugin_paused"), ("resume", "plugin_resumed")] {
            post(&host, &format!("/api/v1/plugins/{path}"), plugin.clone()).await;
            host.restart(&[]).await; // by SIGKILL
            let found = ask(&host, &format!("/api/v1/audit?kind={kind}")).await;
            assert_eq!(found.as_array().map(Vec::len), Some(round), "{kind}: {found}");
        }
    }
    post(&host, "/api/v1/log-level", json!({ "plugin": "status", "level": "warn" })).await;
    host.restart(&[]).await;
    let found = ask(&host, "/api/v1/audit?kind=log_level").await;
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
}

#[tokio::test]
async fn every_change_of_a_plugin_is_in_the_audit_log_with_its_author_and_survives_a_restart() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], ADMIN).await;
    let loaded = changes(&host, "plugin_loaded", 1).await;
    assert_eq!((loaded.len(), text(&loaded[0], "subject"), text(&loaded[0], "who")), (1, "status.wasm", "start"));
    let first = text(&loaded[0], "after").to_owned();
    assert!(first.starts_with("status 1.0.0, SHA-256 "), "{first}");

    host.install_another_build("status");
    let replaced = changes(&host, "plugin_replaced", 1).await[0].clone();
    assert_eq!((text(&replaced, "who"), text(&replaced, "before")), ("folder", &*first));
    assert_ne!(text(&replaced, "after"), first);

    host.install("broken.wasm", b"no component");
    let rejected = changes(&host, "plugin_rejected", 1).await[0].clone();
    assert_eq!((text(&rejected, "who"), text(&rejected, "subject")), ("folder", "broken.wasm"));
    assert!(text(&rejected, "after").contains("WebAssembly"), "{rejected}");
    std::fs::remove_file(host.plugin_dir().join("broken.wasm")).expect("removed");
    assert_eq!(text(&changes(&host, "plugin_removed", 1).await[0], "subject"), "broken.wasm");

    let plugin = json!({ "plugin": "status" });
    post(&host, "/api/v1/plugins/pause", plugin.clone()).await;
    post(&host, "/api/v1/plugins/pause", plugin.clone()).await;
    post(&host, "/api/v1/plugins/resume", plugin.clone()).await;
    let operator = "operator without a token from 127.0.0.1";
    let paused = changes(&host, "plugin_paused", 1).await;
    assert_eq!((paused.len(), text(&paused[0], "who")), (1, operator), "what changes nothing is no change");
    assert_eq!(text(&changes(&host, "plugin_resumed", 1).await[0], "who"), operator);
    post(&host, "/api/v1/plugins/rollback", plugin).await;
    let back = changes(&host, "plugin_rolled_back", 1).await[0].clone();
    assert_eq!((text(&back, "who"), text(&back, "after")), (operator, &*first));
    changes(&host, "plugin_replaced", 2).await;

    // A restart that finds what served before has changed nothing.
    let before = ask(&host, "/api/v1/audit?limit=1000").await;
    host.restart(&[]).await;
    assert_eq!(ask(&host, "/api/v1/audit?limit=1000").await, before);
}

#[tokio::test]
async fn a_price_and_a_receiver_that_take_effect_are_in_the_audit_log_with_those_before() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], ADMIN).await;
    let config = host.configuration();
    let other = "0x00000000000000000000000000000000000000AA";
    host.write_configuration(&format!(
        "{config}[plugin.status]\npay_to = \"{other}\"\n[plugin.status.routes.\"POST /status\"]\nprice = \"0.05\"\n"
    ));
    let route = changes(&host, "route", 1).await[0].clone();
    assert_eq!((text(&route, "who"), text(&route, "subject")), ("configuration file", "status: POST /status"));
    assert!(text(&route, "before").starts_with("0.01 USDC on eip155:"), "{route}");
    let after = text(&route, "after");
    assert!(
        after.starts_with("0.05 USDC on eip155:") && after.to_lowercase().ends_with(&other.to_lowercase()),
        "{route}"
    );
    let active = changes(&host, "configuration", 2).await[0].clone();
    assert!(text(&active, "before").starts_with("SHA-256 ") && active["before"] != active["after"], "{active}");

    // What waits for a restart is said once, and what is not used is said with its reason.
    host.write_configuration(&format!("{config}[server]\nkeep_alive = \"7s\"\n"));
    assert_eq!(text(&changes(&host, "restart_needed", 1).await[0], "subject"), "server.keep_alive");
    host.write_configuration(&format!("{config}colour = \"red\"\n"));
    let rejected = changes(&host, "configuration_rejected", 1).await[0].clone();
    assert!(text(&rejected, "after").contains("colour"), "{rejected}");
    host.write_configuration(&format!("{config}[server]\nkeep_alive = \"7s\"\n"));
    host.signal("HUP");
    changes(&host, "configuration", 4).await;
    assert_eq!(changes(&host, "restart_needed", 1).await.len(), 1);

    // Commands are told from operators, and the listing pages backwards.
    let saved = run(&host.path("."), &["backup", "saved.tar"]);
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    let backup = changes(&host, "backup", 1).await[0].clone();
    assert!(text(&backup, "who").starts_with("command line (user "), "{backup}");
    let url = host.admin();
    let listed = run(&host.path("."), &["audit", "--url", &url, "--json", "--limit", "1"]);
    let newest: Value = serde_json::from_slice(&listed.stdout).expect("one line of JSON");
    assert_eq!(newest, backup);
    let number = backup["number"].as_u64().expect("a number");
    let older = ask(&host, &format!("/api/v1/audit?before={number}&limit=1")).await;
    assert_eq!(older[0]["number"], number - 1);
    let page = reqwest::get(format!("{url}/changes?kind=backup&since=")).await.expect("an answer");
    assert!(page.status() == 200 && page.text().await.expect("a page").contains("saved.tar"));
    let wrong = run(&host.path("."), &["audit", "--url", &url, "--kind", "colour"]);
    assert!(wrong.status.code() == Some(2) && String::from_utf8_lossy(&wrong.stderr).contains("plugin_replaced"));
}

/// A receiver, a price and an asset that were changed while no host ran left no line at the next start.
#[tokio::test]
async fn what_is_changed_while_no_host_runs_is_in_the_audit_log_at_the_next_start() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], ADMIN).await;
    let config = host.configuration();
    let first = changes(&host, "configuration", 1).await;
    assert_eq!((first.len(), text(&first[0], "who"), &first[0]["before"]), (1, "start", &Value::Null));
    host.signal("TERM");
    host.wait_for_exit().await;
    let other = "0x00000000000000000000000000000000000000AA";
    host.write_configuration(&format!("{config}[plugin.status]\npay_to = \"{other}\"\n"));
    host.restart(&[]).await;
    let route = changes(&host, "route", 1).await[0].clone();
    assert_eq!((text(&route, "who"), text(&route, "subject")), ("start", "status: POST /status"));
    let [before, after] = ["before", "after"].map(|side| text(&route, side).to_lowercase());
    assert!(after.ends_with(&other.to_lowercase()) && !before.ends_with(&other.to_lowercase()), "{route}");
    let configured = changes(&host, "configuration", 2).await;
    assert_eq!((text(&configured[0], "who"), &configured[0]["before"]), ("start", &first[0]["after"]));
    // A restart that finds all as it was has changed nothing.
    let all = ask(&host, "/api/v1/audit?limit=1000").await;
    host.restart(&[]).await;
    assert_eq!(ask(&host, "/api/v1/audit?limit=1000").await, all);
}

/// A refused content was written down again with each reload of the configuration, and another content that was refused for
/// the same reason was not.
#[tokio::test]
async fn each_content_that_is_refused_is_in_the_audit_log_once() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], ADMIN).await;
    host.install("status.wasm", b"no component");
    let refused = changes(&host, "plugin_rejected", 1).await[0].clone();
    host.install("status.wasm", b"no component either");
    let second = changes(&host, "plugin_rejected", 2).await[0].clone();
    assert_ne!(text(&refused, "after"), text(&second, "after"));
    let reason = |change: &Value| text(change, "after").split_once(": ").expect("a digest").1.to_owned();
    assert_eq!(reason(&refused), reason(&second), "the same reason for another content");
    for reload in 1..3 {
        host.signal("HUP");
        changes(&host, "configuration", 1 + reload).await;
        std::fs::File::open(host.plugin_dir().join("status.wasm"))
            .expect("it")
            .set_modified(std::time::SystemTime::now())
            .expect("touched");
        host.wait_for_log("not active", 2 + reload).await;
    }
    assert_eq!(changes(&host, "plugin_rejected", 2).await.len(), 2);
}

/// The paid, failed, broken and refused requests of one payer. Returns every secret text that the host has seen.
async fn trade(host: &ServeHost, payer: &Wallet) -> Vec<String> {
    let client = reqwest::Client::new();
    let mut secrets = Vec::new();
    for path in ["/status", "/unruly?recurse", "/status?201"] {
        let challenge = client.post(host.url(path)).send().await.expect("an answer");
        assert_eq!(challenge.status(), 402, "{path}");
        let payment = payer.pay(&challenge);
        secrets.push(payment.header());
        let signed = coinslot_tests::decode(&payment.header());
        secrets.push(text(&signed["payload"], "signature").trim_start_matches("0x").to_owned());
        secrets.push(text(&signed["accepted"]["extra"], "secret").to_owned());
        for _ in 0..2 {
            let paid = client.post(host.url(path)).header("payment-signature", payment.header());
            paid.send().await.expect("an answer").bytes().await.expect("a body");
        }
        // The same payment for another request, and a header that is broken.
        let foreign = client.post(host.url("/status?404")).header("payment-signature", payment.header());
        assert_ne!(foreign.send().await.expect("an answer").status(), 200);
        let broken = payment.header()[..payment.header().len() / 2].to_owned();
        let answer = client.post(host.url(path)).header("payment-signature", &broken).send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{path}");
        secrets.push(broken);
    }
    assert!(secrets.iter().all(|secret| secret.len() > 20), "{secrets:?}");
    secrets
}

#[tokio::test]
async fn the_most_verbose_log_and_the_audit_log_hold_no_payment_no_key_and_no_token() {
    let token = "a-token-of-operators-0123456789";
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status", "unruly"], "").await;
    let config = host.configuration();
    host.write_configuration(&format!("{config}[admin]\nlisten = \"127.0.0.1:0\"\ntoken_env = \"OPS_TOKEN\"\n"));
    host.restart(&[("OPS_TOKEN", token), ("COINSLOT_LOG", "trace")]).await;
    let mut secrets = trade(&host, chain.payer(0)).await;
    let asked = reqwest::Client::new().get(format!("{}/api/v1/audit?limit=1000", host.admin())).bearer_auth(token);
    let audit = asked.send().await.expect("an answer").text().await.expect("text");
    secrets.push(token.to_owned());
    secrets.push(std::fs::read_to_string(host.path("key")).expect("a key").trim().trim_start_matches("0x").to_owned());
    let log = host.log();
    assert!(log.len() > 10_000, "the log is verbose");
    let history = std::fs::read_to_string(host.path("state/served/plugins.json")).unwrap_or_default();
    for secret in &secrets {
        for (place, said) in [("log", &log), ("audit log", &audit), ("history", &history)] {
            let found = said.find(secret.as_str()).map(|at| {
                let begin = said[..at].rfind('\n').map_or(0, |line| line + 1);
                said[begin..].chars().take(300).collect::<String>()
            });
            assert_eq!(found, None, "the {place} has {secret}");
        }
    }
}
