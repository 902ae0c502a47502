//! Checks that an address of the operator is told everything, in order and signed, whatever it does meanwhile.

mod attempts;
mod crashes;
mod pages;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coinslot_tests::{Accepted, Receiver, ReceiverMode, ServeHost, TestChain};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// A host that tells this receiver, with a listener for operators.
async fn host(chain: &TestChain, guests: &[&str], receiver: &Receiver, more: &str) -> ServeHost {
    let hook = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[[webhook]]\nurl = \"{}\"\nsecret_file = \"key\"\n{more}",
        receiver.url()
    );
    chain.serve(guests, &hook).await
}

fn types(receiver: &Receiver) -> Vec<String> {
    receiver.accepted().iter().map(|message| text(&message.json(), "/type")).collect()
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn until(what: &str, host: &ServeHost, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn webhook(host: &ServeHost) -> Value {
    let url = format!("{}/api/v1/webhooks", host.admin());
    let records: Value = reqwest::get(url).await.expect("an answer").json().await.expect("JSON");
    records[0].clone()
}

#[tokio::test]
async fn a_receiver_that_fails_and_hangs_and_comes_back_after_a_restart_is_told_everything_in_order() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let mut host = host(&chain, &["status", "unruly"], &receiver, "").await;
    receiver.set(ReceiverMode::Refuse(500));
    host.buy(chain.payer(0), "/status", LIMIT).await;
    until("it is tried", &host, || receiver.tried() >= 2).await;
    let record = webhook(&host).await;
    assert_eq!((&record["attempts"][0]["status"], &record["waiting"]), (&500.into(), &1.into()), "{record}");
    crate::admin::becomes(&host, "/api/v1/webhooks", |found| found[0]["nextTry"].is_string()).await;
    receiver.set(ReceiverMode::Hang);
    host.buy(chain.payer(1), "/status?204", LIMIT).await;
    host.buy(chain.payer(1), "/unruly?recurse", LIMIT).await;
    assert!(receiver.accepted().is_empty());
    host.restart(&[]).await;
    host.buy(chain.payer(2), "/status", LIMIT).await;
    receiver.set(ReceiverMode::Accept);
    until("it is told", &host, || receiver.accepted().len() >= 4).await;
    let accepted: Vec<Value> = receiver.accepted().iter().map(|message| message.json()).collect();
    let told: Vec<_> = accepted.iter().map(|json| (text(json, "/type"), text(json, "/data/payer"))).collect();
    let payer = |index: usize| chain.payer(index).address().to_string().to_ascii_lowercase();
    let paid = |index: usize| ("payment.paid".to_owned(), payer(index));
    assert_eq!(told, [paid(0), paid(1), ("payment.failed".to_owned(), payer(1)), paid(2)], "{}", host.log());
    assert_eq!(
        (text(&accepted[0], "/data/amount"), text(&accepted[0], "/data/symbol")),
        ("0.01".into(), "USDC".into())
    );
    assert!(text(&accepted[0], "/data/transaction").starts_with("0x"), "{}", accepted[0]);
    let ids: std::collections::BTreeSet<String> = accepted.iter().map(|json| text(json, "/id")).collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn a_message_is_verified_by_the_lines_of_python_in_the_documentation() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let host = host(&chain, &["status"], &receiver, "events = [\"paid\"]\n").await;
    let secret = std::fs::read_to_string(host.path("key")).expect("the secret");
    host.buy(chain.payer(0), "/status", LIMIT).await;
    until("it is told", &host, || !receiver.accepted().is_empty()).await;
    let message = receiver.accepted()[0].clone();
    assert!(is_signed(&secret, &message) && !is_signed(&format!("{secret}x"), &message));
    let changed = Accepted { body: format!("{} ", message.body), ..message };
    assert!(!is_signed(&secret, &changed));
}

/// Says whether the message is signed with the secret, by the lines of Python in the documentation.
fn is_signed(secret: &str, message: &Accepted) -> bool {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../host/docs/admin.md")).expect("a page");
    let (_, lines) = page.split_once("```python\n").expect("a block");
    let lines = lines.split_once("```").expect("its end").0;
    let program = format!(
        "{lines}\nimport json, sys\nsecret, headers, body = json.loads(sys.stdin.read())\n\
         print(verify(secret, headers, body.encode()))"
    );
    let mut python = Command::new("python3");
    python.arg("-c").arg(program).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().expect("python3");
    let input = serde_json::json!([secret, message.headers, message.body]).to_string();
    std::io::Write::write_all(&mut python.stdin.take().expect("a pipe"), input.as_bytes()).expect("written");
    let output = python.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(["True", "False"].contains(&&*said), "{output:?}");
    said == "True"
}

/// A secret that was rotated in its file took effect at the next start only, and nothing said so.
#[tokio::test]
async fn a_secret_that_is_rotated_signs_from_the_next_reload_on() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let host = host(&chain, &["status"], &receiver, "events = [\"paid\"]\n").await;
    let secret = "another secret of thirty-two bytes";
    std::fs::write(host.path("key"), "short").expect("a file");
    host.signal("HUP");
    host.wait_for_log("the secret has less than 16 bytes", 1).await;
    std::fs::write(host.path("key"), secret).expect("a file");
    host.signal("HUP");
    host.wait_for_log("the messages of a webhook are signed with another secret", 1).await;
    host.buy(chain.payer(0), "/status", LIMIT).await;
    until("it is told", &host, || !receiver.accepted().is_empty()).await;
    assert!(is_signed(secret, &receiver.accepted()[0]));
    assert!(!host.log().contains(secret));
}

/// The path of an address admits its senders at many receivers. It stood in the log, in the API, in the configuration that
/// is shown, and in the ledger.
#[tokio::test]
async fn no_path_of_an_address_is_shown_to_anybody() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let hook = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[[webhook]]\nurl = \"{}/t0ken-of-path?key=t0ken-of-query\"\nsecret_file = \"key\"\n",
        receiver.url()
    );
    let host = chain.serve(&["status"], &hook).await;
    receiver.set(ReceiverMode::Refuse(500));
    host.buy(chain.payer(0), "/status", LIMIT).await;
    host.install("broken.wasm", b"no component");
    until("both are tried", &host, || receiver.tried() >= 4).await;
    let record = webhook(&host).await;
    let (name, origin) = (text(&record, "/url"), receiver.url().replace("/hook", ""));
    assert!(name.starts_with(&format!("{origin}/..")) && name.len() == origin.len() + 11, "{record}");
    receiver.set(ReceiverMode::Accept);
    until("it is told", &host, || types(&receiver).contains(&"payment.paid".to_owned())).await;
    until("the alert is written", &host, || host.path(".coinslot/alerts.json").exists()).await;
    let resent = reqwest::Client::new()
        .post(format!("{}/api/v1/webhooks/resend", host.admin()))
        .json(&serde_json::json!({ "url": name, "after": 0 }));
    assert_eq!(resent.send().await.expect("an answer").status(), 202, "an address is called by its name");
    let config = reqwest::get(format!("{}/api/v1/config", host.admin())).await.expect("it").text().await.expect("it");
    assert!(config.contains(&name), "{config}");
    let mut shown = vec![("log", host.log().into_bytes()), ("configuration", config.into_bytes())];
    shown.push(("record", record.to_string().into_bytes()));
    for file in ["ledger.db", "ledger.db-wal", "alerts.json"] {
        let found = std::fs::read(host.path(&format!(".coinslot/{file}")));
        shown.push((file, found.unwrap_or_else(|error| panic!("{file}: {error}"))));
    }
    for (place, bytes) in shown {
        assert!(!bytes.windows(5).any(|part| part == b"t0ken"), "{place} has a part of the address");
    }
}

#[tokio::test]
async fn a_new_address_is_told_what_happens_from_now_on_and_again_if_the_operator_asks() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let mut host = chain.serve(&["status"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    host.buy(chain.payer(0), "/status", LIMIT).await;
    until("it is written", &host, || host.count("delivered") == 1).await;
    let hook = format!("[[webhook]]\nurl = \"{}\"\nsecret_file = \"key\"\n", receiver.url());
    host.write_configuration(&format!("{}{hook}", host.configuration()));
    host.restart(&[]).await;
    host.buy(chain.payer(1), "/status", LIMIT).await;
    until("it is told", &host, || !receiver.accepted().is_empty()).await;
    assert_eq!(types(&receiver), ["payment.paid"], "the payment before was not told");
    let url = format!("{}/api/v1/webhooks/resend", host.admin());
    let ask = async |body: Value| {
        reqwest::Client::new().post(&url).json(&body).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(ask(serde_json::json!({ "url": "http://elsewhere.example/", "after": 0 })).await, 404);
    assert_eq!(ask(serde_json::json!({ "url": receiver.url() })).await, 400);
    assert_eq!(ask(serde_json::json!({ "url": receiver.url(), "after": 0 })).await, 202);
    until("it is told again", &host, || receiver.accepted().len() >= 3).await;
    let ids: Vec<String> = receiver.accepted().iter().map(|message| text(&message.json(), "/id")).collect();
    assert!(ids[0] == ids[2] && ids[1] != ids[2], "{ids:?}");
}

#[tokio::test]
async fn an_alert_is_told_when_it_begins_and_when_it_ends() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let host = host(&chain, &["status"], &receiver, "events = [\"alert\"]\n").await;
    host.install("broken.wasm", b"no component");
    until("it is raised", &host, || types(&receiver) == ["alert.raised"]).await;
    let alert = receiver.accepted()[0].json();
    assert_eq!(
        (text(&alert, "/data/kind"), text(&alert, "/data/subject")),
        ("reload_failed".into(), "broken.wasm".into())
    );
    assert!(!text(&alert, "/data/advice").is_empty(), "{alert}");
    std::fs::remove_file(host.plugin_dir().join("broken.wasm")).expect("removed");
    until("it is cleared", &host, || types(&receiver) == ["alert.raised", "alert.cleared"]).await;
}

/// A message that was not accepted held the alerts back for three days, and an alert that ended with its host stayed open
/// at the receiver for ever.
#[tokio::test]
async fn alerts_wait_for_no_payment_and_end_over_a_restart() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    receiver.set(ReceiverMode::RefusePayments);
    let mut host = host(&chain, &["status"], &receiver, "").await;
    host.buy(chain.payer(0), "/status", LIMIT).await;
    until("the payment is tried", &host, || receiver.tried() > 0).await;
    for file in ["one.wasm", "two.wasm"] {
        host.install(file, b"no component");
    }
    until("both are raised", &host, || types(&receiver) == ["alert.raised", "alert.raised"]).await;
    let ids: std::collections::BTreeSet<String> =
        receiver.accepted().iter().map(|message| text(&message.json(), "/id")).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    for file in ["one.wasm", "two.wasm"] {
        std::fs::remove_file(host.plugin_dir().join(file)).expect("removed");
    }
    host.restart(&[]).await;
    until("both are cleared", &host, || types(&receiver)[2..] == ["alert.cleared", "alert.cleared"]).await;
}

/// Each attempt to tell an alert had an id of its own, so that a receiver could not tell a repetition from another alert.
#[tokio::test]
async fn an_alert_that_is_told_again_has_the_same_id_also_after_a_restart() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    receiver.set(ReceiverMode::Refuse(500));
    let mut host = host(&chain, &["status"], &receiver, "events = [\"alert\"]\n").await;
    host.install("broken.wasm", b"no component");
    let attempts = async |least: usize| -> Vec<String> {
        let path = "/api/v1/webhooks/attempts";
        let enough = |found: &Value| found.as_array().is_some_and(|found| found.len() >= least);
        let found = crate::admin::becomes(&host, path, enough).await;
        found.as_array().expect("a list").iter().map(|attempt| text(attempt, "/id")).collect()
    };
    let ids = attempts(2).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    host.restart(&[]).await;
    receiver.set(ReceiverMode::Accept);
    until("it is raised", &host, || types(&receiver) == ["alert.raised"]).await;
    assert_eq!(text(&receiver.accepted()[0].json(), "/id"), ids[0]);
}

/// Each restart told that a low wallet was mended, and a few seconds later that it was low.
#[tokio::test]
async fn a_restart_mends_no_wallet() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let key = coinslot_tests::random_word().to_string();
    let refunds = "[refunds]\nkey_file = \"refunds\"\ndaily_budget = \"$1\"\nlow_balance = 5000\n";
    let mut host = host(&chain, &["status"], &receiver, "events = [\"wallet_low\"]\n").await;
    std::fs::write(host.path("refunds"), key).expect("a key file");
    host.write_configuration(&format!("{}{refunds}", host.configuration()));
    host.restart(&[]).await;
    until("it is raised", &host, || types(&receiver) == ["alert.raised"]).await;
    host.restart(&[]).await;
    let is_low = |status: &Value| status["alerts"].to_string().contains("wallet_low");
    crate::admin::becomes(&host, "/api/v1/status", is_low).await;
    // The next look for alerts is within five seconds.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(types(&receiver), ["alert.raised"], "{}", host.log());
}

#[tokio::test]
async fn a_webhook_that_could_not_work_is_refused_at_the_start() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], "").await;
    let config = host.configuration();
    for (keys, reason) in [
        ("url = \"https://ops.example\"\n", "name the secret that signs its messages"),
        ("url = \"ftp://ops.example\"\nsecret_file = \"key\"\n", "an address with http or https"),
        ("url = \"https://ops.example\"\nsecret_file = \"nowhere\"\n", "nowhere: No such file"),
        ("url = \"https://ops.example\"\nsecret_file = \"key\"\nevents = [\"sold\"]\n", "`sold` is none of `paid`"),
    ] {
        host.write_configuration(&format!("{config}[[webhook]]\n{keys}"));
        host.fails_to_start(reason).await;
    }
}
