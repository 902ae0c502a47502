//! Checks the circuit breakers of a plugin: it sells nothing while that of paid calls is open, and neither unpaid calls
//! nor one payer can open that circuit.

use std::time::{Duration, Instant};

use coinslot_tests::{SELLER, ServeHost, TestChain, component, raw, run};
use serde_json::Value;

use crate::admin::{ask, becomes};
use crate::audit::{changes, text};

/// Opens the circuit after two failures, for longer than a test takes.
const LONG_PAUSE: &str =
    "[plugin.upfront.health]\nfailures = 2\npause = \"3000000ms\"\nlongest_pause = \"3000000ms\"\n";

async fn call_free_route(host: &ServeHost, order: &str) -> reqwest::Response {
    let request = reqwest::Client::new().get(host.url("/upfront"));
    let request = if order.is_empty() { request } else { request.header("x-do", order) };
    request.send().await.expect("an answer")
}

/// Pays for one answer of `upfront` with a payment of its own.
async fn pay(chain: &TestChain, host: &ServeHost, payer: usize, order: &str) -> reqwest::Response {
    pay_at(chain, host, payer, "/upfront", order).await
}

async fn pay_at(chain: &TestChain, host: &ServeHost, payer: usize, path: &str, order: &str) -> reqwest::Response {
    let ask = || reqwest::Client::new().post(host.url(path));
    let challenge = ask().send().await.expect("a challenge");
    let request = ask().header("PAYMENT-SIGNATURE", chain.payer(payer).pay(&challenge).header());
    let request = if order.is_empty() { request } else { request.header("x-do", order) };
    request.send().await.expect("an answer")
}

/// Asserts a refusal with `Retry-After` that says that nothing was charged, without a challenge.
async fn assert_circuit_open(reply: reqwest::Response) {
    assert_eq!(reply.status(), 503);
    let wait: u64 = reply.headers()["retry-after"].to_str().expect("ASCII").parse().expect("seconds");
    assert!(wait > 1000, "{wait}");
    assert!(!reply.headers().contains_key("payment-required"), "no challenge");
    let body: Value = reply.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"plugin_unhealthy".into(), &"no".into()));
    assert!(body.get("accepts").is_none(), "{body}");
}

#[tokio::test]
async fn a_plugin_with_an_open_circuit_neither_runs_nor_sells() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["upfront", "echo"], LONG_PAUSE).await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/upfront")).send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    for payer in [1, 2] {
        assert_eq!(pay(&chain, &host, payer, "trap").await.status(), 500);
    }
    assert_circuit_open(client.post(host.url("/upfront")).send().await.expect("an answer")).await;
    assert_circuit_open(client.post(host.url("/upfront?query")).send().await.expect("an answer")).await;
    let paid = client.post(host.url("/upfront")).header("PAYMENT-SIGNATURE", &payment);
    assert_circuit_open(paid.send().await.expect("an answer")).await;
    assert_eq!(host.runs_of("upfront"), 2, "nothing that is paid runs while the circuit is open");
    assert_eq!((chain.balance(SELLER).await, host.count("owed"), host.ledger().len()), (20_000, 2, 2));
    assert_eq!(call_free_route(&host, "").await.status(), 200, "free routes have a circuit of their own");
    assert_eq!(
        host.log().matches("failed repeatedly: its circuit is open").count(),
        1,
        "the log says it once:\n{}",
        host.log()
    );
    let neighbour = reqwest::get(host.url("/echo")).await.expect("an answer");
    assert_eq!(neighbour.status(), 200);
}

/// One input that made a free route fail took the paid routes off sale for all clients, at no cost.
#[tokio::test]
async fn free_calls_that_fail_take_nothing_off_sale() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["upfront"], LONG_PAUSE).await;
    for _ in 0..2 {
        assert_eq!(call_free_route(&host, "trap").await.status(), 500);
    }
    assert_circuit_open(call_free_route(&host, "").await).await;
    assert_eq!(pay(&chain, &host, 0, "").await.status(), 200, "{}", host.log());
    assert_circuit_open(call_free_route(&host, "").await).await;
}

/// Any client can send bodies that make a free route or a quote fail.
#[tokio::test]
async fn quotes_go_on_while_free_calls_and_other_quotes_fail() {
    let chain = TestChain::start().await;
    let health = "[health]\nfailures = 2\npause = \"3000000ms\"\nlongest_pause = \"3000000ms\"\n";
    let host = chain.serve(&["keeper", "quoter"], health).await;
    let send = async |path: &str, body: &'static [u8]| {
        reqwest::Client::new().post(host.url(path)).body(body).send().await.expect("an answer")
    };
    for _ in 0..2 {
        assert_eq!(send("/keeper", b"\xff").await.status(), 500);
    }
    assert_circuit_open(send("/keeper", b"").await).await;
    let quoted: Value = send("/keeper/quoted", b"two").await.json().await.expect("JSON");
    assert_eq!(quoted["error"], "reached", "its quote refuses what it is asked, and is asked");
    for _ in 0..5 {
        assert_eq!(send("/quoter/page?panic", b"").await.status(), 500);
    }
    assert_eq!(pay_at(&chain, &host, 0, "/quoter/page", "").await.status(), 200, "{}", host.log());
}

/// A paid call that fails is not charged, so one payment was enough to have a plugin fail until its circuit was open
/// for all payers.
#[tokio::test]
async fn a_payer_who_repeats_a_paid_call_that_fails_is_refused_alone() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["crowd"], &LONG_PAUSE.replace("upfront", "crowd")).await;
    let ask = |path: &str| reqwest::Client::new().post(host.url(path));
    let challenge = ask("/crowd").send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let send = async |path: &str| ask(path).header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    for _ in 0..2 {
        assert_eq!(send("/crowd?trap").await.status(), 500);
    }
    for path in ["/crowd?trap", "/crowd"] {
        assert_circuit_open(send(path).await).await;
    }
    assert_eq!(host.log().matches("crowd got").count(), 2, "nothing runs for this payer");
    assert_eq!((chain.balance(SELLER).await, host.ledger().len()), (0, 0));
    for payer in [1, 2] {
        let bought = host.buy(chain.payer(payer), "/crowd", Duration::from_secs(30)).await;
        assert_eq!(bought.statuses, [200], "{}", host.log());
    }
    assert_eq!(host.log().matches("for one payer, who is refused").count(), 1, "{}", host.log());
}

#[tokio::test]
async fn answers_bought_earlier_are_served_while_the_circuit_is_open() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["upfront"], LONG_PAUSE).await;
    let client = reqwest::Client::new();
    let ask = || client.post(host.url("/upfront"));
    let sign = async |payer| chain.payer(payer).pay(&ask().send().await.expect("a challenge")).header();
    let (bought, owed, other) = (sign(0).await, sign(1).await, sign(2).await);
    let first = ask().header("PAYMENT-SIGNATURE", &bought).send().await.expect("an answer");
    assert_eq!(first.status(), 200);
    for payment in [&owed, &other] {
        let failed = ask().header("PAYMENT-SIGNATURE", payment).header("x-do", "trap").send().await.expect("an answer");
        assert_eq!(failed.status(), 500);
    }
    let again = ask().header("PAYMENT-SIGNATURE", &bought).send().await.expect("an answer");
    assert_eq!(again.status(), 200);
    assert_eq!(again.text().await.expect("a body"), first.text().await.expect("a body"));
    // The owed answer stays owed.
    let still = ask().header("PAYMENT-SIGNATURE", &owed).send().await.expect("an answer");
    assert_eq!(still.status(), 503);
    assert!(still.headers().contains_key("retry-after") && still.headers().contains_key("payment-response"));
    let body: Value = still.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"plugin_unhealthy".into(), &"yes".into()));
    assert_eq!(host.count("owed"), 2);
    assert_eq!(chain.balance(SELLER).await, 30_000);
}

#[tokio::test]
async fn one_success_after_the_pause_closes_the_circuit() {
    let chain = TestChain::start().await;
    let health = "[plugin.upfront.health]\nfailures = 2\npause = \"200ms\"\nlongest_pause = \"400ms\"\n";
    let host = chain.serve(&["upfront"], health).await;
    for _ in 0..2 {
        assert_eq!(call_free_route(&host, "trap").await.status(), 500);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    // The trial request fails and opens the circuit again; the next trial succeeds.
    for (order, end) in [("trap", 500), ("", 200)] {
        while call_free_route(&host, order).await.status() != end {
            assert!(Instant::now() < deadline, "there is no trial request:\n{}", host.log());
        }
    }
    for expected in ["its circuit stays open", "the plugin answers again"] {
        assert!(host.log().contains(expected), "{expected}:\n{}", host.log());
    }
    assert!(host.log().lines().any(|line| line.contains("answers again") && line.contains("unpaid")), "{}", host.log());
}

#[tokio::test]
async fn a_new_build_starts_with_a_closed_circuit() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["upfront"], LONG_PAUSE).await;
    for _ in 0..2 {
        assert_eq!(call_free_route(&host, "trap").await.status(), 500);
    }
    assert_eq!(call_free_route(&host, "").await.status(), 503);
    host.install_another_build("upfront");
    let deadline = Instant::now() + Duration::from_secs(60);
    while call_free_route(&host, "").await.status() != 200 {
        assert!(Instant::now() < deadline, "the new build is not called:\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_new_build_that_keeps_failing_is_rolled_back_once() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["upfront"], &format!("{LONG_PAUSE}rollback = true\n")).await;
    host.install_another_build("upfront");
    host.wait_for_log("active file=upfront.wasm", 2).await;
    let builds = || -> Vec<String> {
        let log = host.log();
        let lines = log.lines().filter(|line| line.contains("active file=upfront.wasm"));
        lines.filter_map(|line| Some(line.split_once("sha256=")?.1.to_owned())).collect()
    };
    // Any client can have a free route fail, and one payer each paid call of its own.
    for _ in 0..2 {
        assert_eq!(call_free_route(&host, "trap").await.status(), 500);
        assert_eq!(pay(&chain, &host, 0, "trap").await.status(), 500);
    }
    assert_eq!(call_free_route(&host, "").await.status(), 503);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(host.log().matches("is put back").count(), 0, "{}", host.log());
    assert_eq!(pay(&chain, &host, 1, "trap").await.status(), 500);
    host.wait_for_log("the build before it is put back", 1).await;
    host.wait_for_log("active file=upfront.wasm", 3).await;
    assert_eq!(builds()[0], builds()[2], "{}", host.log());
    assert_eq!(call_free_route(&host, "").await.status(), 200);
    // The build was not the reason: no other build is left to roll back to.
    for payer in [0, 1] {
        assert_eq!(pay(&chain, &host, payer, "trap").await.status(), 500);
    }
    let unpaid = reqwest::Client::new().post(host.url("/upfront")).send().await.expect("an answer");
    assert_eq!(unpaid.status(), 503);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!((builds().len(), host.log().matches("is put back").count()), (3, 1), "{}", host.log());
}

/// After a rollback by the host the advice of its alert and the command led back to the build that had failed, and the audit
/// log told of a file that somebody had replaced.
#[tokio::test]
async fn a_rollback_by_the_host_is_told_and_does_not_lead_back_unsaid() {
    let chain = TestChain::start().await;
    let admin = "rollback = true\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    let host = chain.serve(&["upfront"], &format!("{LONG_PAUSE}{admin}")).await;
    host.install_another_build("upfront");
    host.wait_for_log("active file=upfront.wasm", 2).await;
    for payer in [0, 1] {
        assert_eq!(pay(&chain, &host, payer, "trap").await.status(), 500);
    }
    let back = changes(&host, "plugin_rolled_back", 1).await[0].clone();
    assert_eq!((text(&back, "who"), text(&back, "subject")), ("health", "upfront.wasm"));
    assert!(text(&back, "before").starts_with("upfront ") && back["before"] != back["after"], "{back}");
    assert_eq!(changes(&host, "plugin_replaced", 1).await.len(), 1, "by the new build alone");

    let is_told = |status: &Value| status["alerts"].to_string().contains("was rolled back");
    let status = becomes(&host, "/api/v1/status", is_told).await;
    let alert = status["alerts"].as_array().expect("a list").iter().find(|alert| alert["kind"] == "plugin_unhealthy");
    let alert = alert.expect("an alert").clone();
    assert!(text(&alert, "advice").starts_with("replace upfront.wasm with a mended build"), "{alert}");

    let tried = run(&host.path("."), &["plugins", "rollback", "upfront", "--dry-run"]);
    let warning = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert!(
        tried.status.success() && warning.contains("failed again and again and was rolled back before"),
        "{warning}"
    );
    let tried = run(&host.path("."), &["plugins", "rollback", "upfront", "--dry-run", "--json"]);
    let report: Value = serde_json::from_slice(&tried.stdout).expect("JSON");
    assert_eq!(report["hasFailed"], true, "{report}");
    let page =
        reqwest::get(format!("{}/plugins", host.admin())).await.expect("an answer").text().await.expect("a page");
    assert!(page.contains("failed again and again and was rolled back"), "{page}");

    // Either remedy ends it: the build that failed is forbidden, or the file gets another one.
    let config = host.configuration();
    let active = ask(&host, "/api/v1/plugins").await[0]["active"]["sha256"].as_str().expect("a digest").to_owned();
    host.write_configuration(&config.replace(
        "[plugin.upfront.health]",
        &format!("[plugin.upfront]\nsha256 = \"{active}\"\n[plugin.upfront.health]"),
    ));
    becomes(&host, "/api/v1/status", |status| !is_told(status)).await;
    host.write_configuration(&config);
    becomes(&host, "/api/v1/status", is_told).await;
    let mended = [&component("upfront")[..], &[0, 3, 1, b'y', 1]].concat();
    host.install("upfront.wasm", &mended);
    becomes(&host, "/api/v1/status", |status| !is_told(status)).await;
}

/// A link says where a release is: the failing build stays, and the log says what to do.
#[tokio::test]
async fn a_build_that_keeps_failing_is_not_rolled_back_through_a_link() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["upfront"], &format!("{LONG_PAUSE}rollback = true\n")).await;
    let (file, release) = (host.plugin_dir().join("upfront.wasm"), host.path("release.wasm"));
    host.install_another_build("upfront");
    host.wait_for_log("active file=upfront.wasm", 2).await;
    let bytes = std::fs::read(&file).expect("a file");
    std::fs::rename(&file, &release).expect("a move");
    std::os::unix::fs::symlink(&release, &file).expect("a link");
    for payer in [0, 1] {
        assert_eq!(pay(&chain, &host, payer, "trap").await.status(), 500);
    }
    host.wait_for_log("it is a link, which is not replaced: change what it leads to", 1).await;
    assert_eq!(std::fs::read_link(&file).expect("a link"), release);
    assert!(std::fs::read(&release).expect("a file") == bytes && !host.log().contains("is put back"), "{}", host.log());
}

/// A guest that cannot go on without the whole body traps, and anybody could send such bodies: five of them took the
/// plugin off sale, and with `rollback` its new build with it.
#[tokio::test]
async fn bodies_that_break_off_or_are_too_large_neither_open_the_circuit_nor_roll_a_build_back() {
    let chain = TestChain::start().await;
    let config = "[limits]\nrequest_body = \"1KiB\"\n[health]\nfailures = 2\nrollback = true\n";
    let host = chain.serve(&["keeper", "upfront"], config).await;
    host.install_another_build("keeper");
    host.wait_for_log("active file=keeper.wasm", 2).await;
    let head = "POST /keeper HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    for _ in 0..5 {
        let broken = raw(&host.url("/"), format!("{head}4\r\nopen\r\nZZ\r\n").as_bytes()).await;
        assert!(broken.starts_with("HTTP/1.1 400") && broken.contains("body_incomplete"), "{broken}");
        let large = format!("{head}1000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x1000));
        let large = raw(&host.url("/"), large.as_bytes()).await;
        assert!(large.starts_with("HTTP/1.1 413") && large.contains("body_too_large"), "{large}");
    }
    let post = async |path| reqwest::Client::new().post(host.url(path)).send().await.expect("an answer").status();
    assert_eq!((post("/keeper").await.as_u16(), post("/keeper/quoted").await.as_u16()), (200, 402), "{}", host.log());
    assert_eq!(host.log().matches("is put back").count(), 0, "{}", host.log());
    // What a guest does with a whole body is its own fault.
    for _ in 0..2 {
        assert_eq!(call_free_route(&host, "trap").await.status(), 500);
    }
    assert_eq!(call_free_route(&host, "").await.status(), 503);
}
