//! Checks the listener for operators: its numbers, which are those of the ledger, and who may ask it.

use alloy::primitives::U256;
use alloy::primitives::utils::parse_ether;
use coinslot_evm::Ether;
use coinslot_tests::{ServeHost, TestChain, guest, run};
use serde_json::Value;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

pub(crate) async fn ask(host: &ServeHost, path: &str) -> Value {
    let answer = reqwest::get(format!("{}{path}", host.admin())).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

pub(crate) async fn metrics(host: &ServeHost) -> String {
    let answer = reqwest::get(format!("{}/metrics", host.admin())).await.expect("an answer");
    assert!(answer.headers()["content-type"].to_str().expect("ASCII").starts_with("text/plain"));
    answer.text().await.expect("text")
}

/// The metrics once this many payments are counted: the end of a payment is written with the next commit.
pub(crate) async fn metrics_with(host: &ServeHost, labels: &[(&str, &str)], payments: f64) -> String {
    for _ in 0..500 {
        let text = metrics(host).await;
        if (sample(&text, "coinslot_payments_total", labels) - payments).abs() < 1e-9 {
            return text;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("not {payments} payments: {}\n{}", metrics(host).await, host.log());
}

/// The sum of the samples of this name that have all of these labels.
pub(crate) fn sample(metrics: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let of_it = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    let has = |line: &&str| labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")));
    of_it.filter(has).map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number")).sum()
}

/// The cost of a transaction's gas in wei, as its receipt says.
pub(crate) async fn cost_of(chain: &TestChain, transaction: &str) -> f64 {
    let receipt = chain.client().receipt(transaction).await;
    let number = |field: &str| {
        let digits = receipt[field].as_str().expect("hex").trim_start_matches("0x");
        u64::from_str_radix(digits, 16).expect("a number") as f64
    };
    number("gasUsed") * number("effectiveGasPrice")
}

#[tokio::test]
async fn metrics_and_the_api_and_the_ledger_say_the_same() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status", "unruly"], ADMIN).await;
    for _ in 0..3 {
        assert_eq!(reqwest::Client::new().post(host.url("/status")).send().await.expect("an answer").status(), 402);
    }
    for path in ["/status", "/status?201"] {
        let limit = std::time::Duration::from_secs(60);
        host.buy(chain.payer(0), path, limit).await;
    }
    let failed = host.buy(chain.payer(1), "/unruly?recurse", std::time::Duration::from_secs(60)).await;
    assert_eq!((failed.statuses, failed.answer), (vec![500], None));
    assert_eq!(reqwest::get(host.url("/nowhere")).await.expect("an answer").status(), 404);

    let text = metrics_with(&host, &[("coinslot_state", "paid")], 2.0).await;
    let requests = |labels: &[(&str, &str)]| sample(&text, "http_server_request_duration_seconds_count", labels);
    let status = ("http_route", "/status");
    assert_eq!(requests(&[status, ("coinslot_outcome", "challenged"), ("http_response_status_code", "402")]), 5.0);
    assert_eq!(requests(&[status, ("coinslot_outcome", "paid"), ("coinslot_plugin", "status")]), 2.0);
    assert_eq!(requests(&[("http_route", "/unruly"), ("coinslot_outcome", "failed")]), 1.0);
    assert_eq!(requests(&[("coinslot_outcome", "host"), ("http_response_status_code", "404")]), 1.0);
    for (stage, count) in [("claim", 2.0), ("verify", 2.0), ("wait", 2.0), ("run", 2.0), ("settle", 2.0)] {
        let measured = sample(&text, "coinslot_stage_duration_seconds_count", &[status, ("coinslot_stage", stage)]);
        assert_eq!(measured, count, "{stage}\n{text}");
    }
    let payments = |state: &str| sample(&text, "coinslot_payments_total", &[("coinslot_state", state)]);
    assert_eq!((payments("paid"), payments("failed"), payments("owed")), (2.0, 1.0, 0.0), "{text}");
    let earned =
        sample(&text, "coinslot_payments_amount_total", &[("coinslot_state", "paid"), ("coinslot_asset", "USDC")]);
    assert!((earned - 0.02).abs() < 1e-9, "{earned}");

    let gauge = |name: &str, labels: &[(&str, &str)]| sample(&text, name, labels);
    assert_eq!(gauge("coinslot_settlement_ready", &[("coinslot_asset", "USDC")]), 1.0, "{text}");
    assert_eq!((gauge("coinslot_ledger_writable", &[]), gauge("coinslot_payments_at_work", &[])), (1.0, 0.0));
    assert!(gauge("coinslot_ledger_size_bytes", &[]) > 10_000.0 && gauge("process_memory_usage_bytes", &[]) > 1e6);
    assert!(gauge("coinslot_plugin_cpu_seconds_total", &[("coinslot_plugin", "unruly")]) > 0.0, "{text}");
    assert_eq!(gauge("coinslot_plugin_instances", &[]), 0.0);

    let revenue = ask(&host, "/api/v1/revenue?by=endpoint").await;
    assert_eq!((&revenue[0]["key"], &revenue[0]["payments"]), (&"POST /status".into(), &2.into()), "{revenue}");
    assert_eq!((&revenue[0]["kind"], &revenue[0]["amount"]), (&"testnet".into(), &"0.02".into()));
    let rows = ask(&host, "/api/v1/payments?payer=").await;
    assert_eq!(rows.as_array().map(Vec::len), Some(0), "no payer has an empty address");
    let rows = ask(&host, &format!("/api/v1/payments?payer={}", chain.payer(0).address())).await;
    let [newest, _] = &rows.as_array().expect("payments")[..] else { panic!("two: {rows}") };
    let id = newest["paymentId"].as_str().expect("an id");
    assert_eq!(ask(&host, &format!("/api/v1/payments/{id}")).await, *newest);
    let transaction = newest["transaction"].as_str().expect("a transaction");
    assert_eq!(
        ask(&host, &format!("/api/v1/payments?transaction={transaction}")).await,
        Value::Array(vec![newest.clone()])
    );
    let mut wei = 0.0;
    let transactions = rows.as_array().expect("payments").iter().map(|row| row["transaction"].as_str().expect("one"));
    for transaction in transactions.collect::<std::collections::BTreeSet<_>>() {
        wei += cost_of(&chain, transaction).await;
    }
    let gas = gauge("coinslot_gas_spent_total", &[("coinslot_purpose", "settlement")]);
    assert!((gas - wei / 1e18).abs() <= gas * 1e-9 && gas > 0.0, "as the chain charged it: {gas} for {wei} wei");
    let failed = ask(&host, "/api/v1/failed").await;
    assert_eq!((failed.as_array().map(Vec::len), &failed[0]["plugin"]), (Some(1), &"unruly".into()), "{failed}");
    assert_eq!(ask(&host, "/api/v1/owed").await, Value::Array(Vec::new()));

    let now = ask(&host, "/api/v1/status").await;
    assert_eq!(
        (&now["ready"], &now["plugins"]["active"], &now["ledger"]["writable"]),
        (&true.into(), &2.into(), &true.into())
    );
    assert_eq!(now["assets"][0]["settlement"], "ready");
    let plugins = ask(&host, "/api/v1/plugins").await;
    let of_status = plugins.as_array().expect("plugins").iter().find(|one| one["file"] == "status.wasm").expect("it");
    assert_eq!(of_status["active"]["name"], "status");
    // It works for less than a millisecond.
    assert!(of_status["usage"]["cpuMicroseconds"].as_u64().is_some_and(|used| used > 0), "{of_status}");
    assert!(
        of_status["endpoints"].as_array().expect("endpoints").iter().any(|one| one["price"] == "0.01 USDC"),
        "{of_status}"
    );
}

#[tokio::test]
async fn commands_print_what_the_listener_answers_and_end_with_a_code_of_their_own() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], ADMIN).await;
    host.buy(chain.payer(0), "/status", std::time::Duration::from_secs(60)).await;
    metrics_with(&host, &[("coinslot_state", "paid")], 1.0).await;
    let url = host.admin();
    let ask = |arguments: &[&str]| {
        let words: Vec<&str> = arguments.iter().copied().chain(["--url", &url]).collect();
        let output = run(&host.path("."), &words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("an end"), text(&output.stdout), text(&output.stderr))
    };
    let (code, json, _) = ask(&["status"]);
    assert_eq!((code, &serde_json::from_str::<Value>(&json).expect("a line of JSON")["ready"]), (0, &true.into()));
    let (_, shown, _) = ask(&["status", "--format", "table"]);
    assert!(shown.contains("payments are taken") && shown.contains("USDC   eip155:84532  ready"), "{shown}");
    let (code, json, _) = ask(&["payments"]);
    let payment: Value = serde_json::from_str(&json).expect("one line");
    assert_eq!((code, &payment["endpoint"]), (0, &"POST /status".into()));
    let id = payment["paymentId"].as_str().expect("an id");
    assert_eq!(ask(&["payments", id]).1, json);
    let plugins = ask(&["plugins", "--format", "table"]).1;
    let used = plugins.lines().nth(1).is_some_and(|row| row.contains(" µs ") || row.contains(" ms "));
    assert!(plugins.contains(" CPU ") && used, "{plugins}");
    assert!(ask(&["payments", "--format", "csv"]).1.starts_with("paymentId,state,flow,"));
    let (code, _, said) = ask(&["payments", "--state", "gone"]);
    assert!(code == 2 && said.contains("`gone` is no state"), "{said}");
    assert!(ask(&["revenue", "--by", "plugin", "--format", "table"]).1.contains("0.01 USDC"));
    assert_eq!(ask(&["owed", "--format", "table"]).1.trim(), "nothing is owed");
    assert!(ask(&["config", "--format", "table"]).1.contains("eip155:84532"));
    let (code, _, said) = ask(&["webhooks", "--resend", "http://nowhere.example/"]);
    assert!(code == 1 && said.contains("no [[webhook]] has this address"), "{said}");
    host.install("broken.wasm", b"no component");
    for _ in 0..300 {
        if ask(&["status"]).0 == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let (code, shown, said) = ask(&["status", "--format", "table"]);
    assert!(
        code == 3 && shown.contains("reload_failed  broken.wasm") && said.contains("one thing is wrong"),
        "{shown}"
    );
    let output = run(&host.path("."), &["status", "--url", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is the host running?"));
}

#[tokio::test]
async fn counters_begin_anew_with_the_host_and_the_ledger_goes_on() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], ADMIN).await;
    host.buy(chain.payer(0), "/status", std::time::Duration::from_secs(60)).await;
    metrics_with(&host, &[("coinslot_state", "paid")], 1.0).await;
    host.restart(&[]).await;
    assert_eq!(sample(&metrics(&host).await, "coinslot_payments_total", &[]), 0.0, "Prometheus adds up over restarts");
    host.buy(chain.payer(0), "/status", std::time::Duration::from_secs(60)).await;
    metrics_with(&host, &[("coinslot_state", "paid")], 1.0).await;
    assert_eq!(ask(&host, "/api/v1/revenue").await[0]["payments"], 2);
}

#[tokio::test]
async fn pages_of_strangers_and_questions_that_make_no_sense_are_refused() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], ADMIN).await;
    let (url, client) = (host.admin(), reqwest::Client::new());
    let refused = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("JSON");
        assert!(body["message"].as_str().is_some_and(|text| text.len() > 10), "{body}");
        (status, body["error"].as_str().expect("a word").to_owned())
    };
    let status = format!("{url}/api/v1/status");
    assert_eq!(refused(client.get(&status).header("host", "evil.example")).await, (421, "unknown_host".to_owned()));
    let post = client.post(&status).header("origin", "https://evil.example");
    assert_eq!(refused(post).await, (403, "cross_origin".to_owned()));
    // A question costs the host work, though a page of another origin could not read the answer.
    let question = client.get(format!("{url}/api/v1/revenue?by=payer")).header("sec-fetch-site", "cross-site");
    assert_eq!(refused(question.header("sec-fetch-mode", "no-cors")).await, (403, "cross_origin".to_owned()));
    assert_eq!(refused(client.get(format!("{url}/api/v1/nowhere"))).await, (404, "not_found".to_owned()));
    for question in ["state=gone", "limit=0", "limit=5000", "since=yesterday", "colour=red"] {
        let (code, word) = refused(client.get(format!("{url}/api/v1/payments?{question}"))).await;
        assert_eq!((code, &*word), (400, "invalid_request"), "{question}");
    }
    assert_eq!(refused(client.get(format!("{url}/api/v1/payments/abc"))).await, (404, "not_found".to_owned()));
    let description = ask(&host, "/api/v1/openapi.json").await;
    for path in ["/api/v1/status", "/api/v1/payments", "/api/v1/payments/{id}", "/api/v1/revenue", "/metrics"] {
        assert!(description["paths"][path]["get"].is_object(), "{path}: {description}");
    }
}

#[tokio::test]
async fn a_listener_that_other_machines_reach_has_a_token() {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let mut host = chain.serve_on(&guest("status"), &node).await;
    let config = host.configuration();
    host.write_configuration(&format!("{config}[admin]\nlisten = \"0.0.0.0:0\"\n"));
    host.fails_to_start("0.0.0.0:0 can be reached from other machines: name a token").await;
    host.write_configuration(&format!("{config}[admin]\nlisten = \"0.0.0.0:0\"\ntoken_env = \"OPS_TOKEN\"\n"));
    host.fails_to_start("admin: the variable OPS_TOKEN is not set").await;
    let token = "0123456789abcdef";
    host.restart(&[("OPS_TOKEN", token)]).await;
    let url = host.admin().replace("0.0.0.0", "127.0.0.1");
    let client = reqwest::Client::new();
    let answer = client.get(format!("{url}/metrics")).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["www-authenticate"]),
        (401, &"Bearer realm=\"coinslot\"".parse().expect("a value"))
    );
    let answer = client.get(format!("{url}/metrics")).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(!host.log().contains(token));
}

#[tokio::test]
async fn a_changed_configuration_is_shown_with_what_waits_and_what_is_not_used() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], ADMIN).await;
    let page =
        async || reqwest::get(format!("{}/config", host.admin())).await.expect("a page").text().await.expect("text");
    let shown = ask(&host, "/api/v1/config").await;
    assert_eq!((&shown["refused"], &shown["waitingForRestart"]), (&Value::Null, &Value::Array(Vec::new())), "{shown}");
    let good = host.configuration();

    let more = "[plugin.echo.routes]\n\"POST /echo\" = { price = \"0.002\" }\n[plugin.absent]\nmount = \"/x\"\n";
    let restart = "[server]\ndrain_timeout = \"7s\"\n";
    host.write_configuration(&format!("{good}{restart}{more}"));
    let shown =
        becomes(&host, "/api/v1/config", |report| !report["waitingForRestart"].as_array().is_none_or(Vec::is_empty))
            .await;
    assert_eq!(shown["waitingForRestart"], serde_json::json!(["server.drain_timeout"]), "{shown}");
    let warning = shown["warnings"][0].as_str().unwrap_or_default();
    assert!(warning.contains("plugin.absent: no plugin of this name"), "{shown}");
    let text = page().await;
    for part in ["Waits for a restart", "server.drain_timeout", "plugin.absent", "POST /echo", "0.002"] {
        assert!(text.contains(part), "{part} is missing from\n{text}");
    }

    host.write_configuration(&format!("{good}[server]\ndrain_timeout = \"often\"\n"));
    let status =
        becomes(&host, "/api/v1/status", |report| report["alerts"].as_array().is_some_and(|all| !all.is_empty())).await;
    let alert = &status["alerts"][0];
    assert_eq!((&alert["kind"], &alert["severe"]), (&"configuration_refused".into(), &false.into()), "{status}");
    assert!(alert["message"].as_str().expect("a message").contains("drain_timeout"), "{status}");
    let text = page().await;
    assert!(text.contains("The changed file is not used") && text.contains("0.002"), "{text}");

    host.write_configuration(&good);
    let shown = becomes(&host, "/api/v1/config", |report| {
        report["refused"].is_null() && report["warnings"] == serde_json::json!([])
    })
    .await;
    assert_eq!(shown["waitingForRestart"], serde_json::json!([]), "as at the start: {shown}");
}

/// The report of the API once this is true of it.
pub(crate) async fn becomes(host: &ServeHost, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let start = std::time::Instant::now();
    loop {
        let report = ask(host, path).await;
        if is_so(&report) {
            return report;
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "{report}\n{}", host.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// An operator saw what came in and not what it cost. The sum is that by which the chain made the wallet poorer.
#[tokio::test]
async fn gas_is_summed_by_day_over_restarts() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], ADMIN).await;
    let ether = |text: &Value| {
        let text = text.as_str().expect("a balance").strip_suffix(" ether").expect("its unit").to_owned();
        parse_ether(&text).expect("an amount")
    };
    let wallet = async |host: &ServeHost| ask(host, "/api/v1/chain").await[0]["wallets"][0].clone();
    let before = ether(&wallet(&host).await["balance"]);
    for _ in 0..2 {
        host.buy(chain.payer(0), "/status", std::time::Duration::from_secs(60)).await;
    }
    let settled =
        |facilitators: &Value| facilitators[0]["wallets"][0]["pending"] == 0 && !facilitators[0]["gas"][0].is_null();
    becomes(&host, "/api/v1/chain", settled).await;
    host.restart(&[]).await;
    let facilitators = ask(&host, "/api/v1/chain").await;
    // The balance is read from the chain at the start.
    let cost = before - ether(&facilitators[0]["wallets"][0]["balance"]);
    let days = facilitators[0]["gas"].as_array().expect("days");
    let sum: U256 = days.iter().map(|day| day["wei"].as_str().expect("wei").parse::<U256>().expect("a number")).sum();
    assert_eq!(sum, cost, "{facilitators}");
    let page = reqwest::get(format!("{}/money", host.admin())).await.expect("a page").text().await.expect("text");
    assert!(page.contains("For settling") && page.contains(&Ether(sum).to_string()), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_not_in_the_ledger_is_an_alert() {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let every = format!("{ADMIN}[ledger]\nreconcile_every = \"1s\"\n");
    let host = chain.serve(&["status"], &every).await;
    host.buy(chain.payer(0), "/status", std::time::Duration::from_secs(60)).await;
    // Another host sells for the same receiver, and neither of them was told.
    let other = chain.serve_seller(&guest("status"), &node, 1, "").await;
    assert_eq!(other.buy(chain.payer(1), "/status", std::time::Duration::from_secs(60)).await.statuses, [200]);
    let has_alert = |report: &Value| report["alerts"].as_array().is_some_and(|all| !all.is_empty());
    let status = becomes(&host, "/api/v1/status", has_alert).await;
    let alert = &status["alerts"][0];
    assert_eq!(
        (&alert["kind"], &alert["subject"]),
        (&"reconcile_difference".into(), &"eip155:84532".into()),
        "{status}"
    );
    assert!(alert["message"].as_str().expect("a text").contains("once \"received outside the ledger\""), "{status}");
    let shown = run(&host.path(""), &["ledger", "reconcile"]);
    assert_eq!(shown.status.code(), Some(3), "the command finds the same: {shown:?}");
}

/// The alert ended with the pause of the circuit, though every call had failed and none had succeeded.
#[tokio::test]
async fn a_plugin_is_unhealthy_until_a_call_succeeds() {
    let chain = TestChain::start().await;
    let health = format!("{ADMIN}[health]\nfailures = 2\npause = \"50ms\"\n");
    let host = chain.serve(&["unruly"], &health).await;
    let call =
        async |query: &str| reqwest::get(host.url(&format!("/unruly{query}"))).await.expect("an answer").status();
    let is_unhealthy = |report: &Value| report["alerts"][0]["kind"] == "plugin_unhealthy";
    while call("?recurse").await != 503 {}
    let half_open = |files: &Value| files[0]["freeCircuit"] == "half_open";
    becomes(&host, "/api/v1/plugins", half_open).await;
    let status = ask(&host, "/api/v1/status").await;
    assert!(is_unhealthy(&status), "{status}");
    assert_eq!(sample(&metrics(&host).await, "coinslot_plugin_circuit_open", &[]), 1.0);
    assert_eq!(call("").await, 200, "{}", host.log());
    let status = ask(&host, "/api/v1/status").await;
    assert!(status["alerts"].as_array().is_some_and(Vec::is_empty), "{status}");
    assert_eq!(sample(&metrics(&host).await, "coinslot_plugin_circuit_open", &[]), 0.0);
}
