//! Checks the log of attempts: over restarts, by payment, and while the disk does not answer.

use coinslot_tests::{Receiver, ReceiverMode, ServeHost, TestChain, run};
use serde_json::{Value, json};

use super::{LIMIT, host, text, types, until, webhook};
use crate::admin::{ask, becomes};

/// The webhook once this is true of it.
async fn webhook_becomes(host: &ServeHost, is_so: impl Fn(&Value) -> bool) -> Value {
    becomes(host, "/api/v1/webhooks", |found| is_so(&found[0])).await[0].clone()
}

fn command(host: &ServeHost, arguments: &[&str]) -> (Option<i32>, String, String) {
    let url = host.admin();
    let all: Vec<&str> = arguments.iter().copied().chain(["--url", &url]).collect();
    let output = run(&host.path("."), &all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The log was the last fifty attempts of the process, and a restart lost it.
#[tokio::test]
async fn attempts_are_shown_after_a_restart_however_the_host_ended_and_by_payment() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let mut host = host(&chain, &["status"], &receiver, "events = [\"paid\"]\n").await;
    receiver.set(ReceiverMode::Refuse(500));
    host.buy(chain.payer(0), "/status", LIMIT).await;
    let before = webhook_becomes(&host, |record| record["failures"].as_u64() >= Some(2)).await;
    host.signal("TERM");
    host.wait_for_exit().await;
    receiver.set(ReceiverMode::Hang);
    host.restart(&[]).await;
    let record = webhook(&host).await;
    let attempts = record["attempts"].as_array().expect("attempts");
    let earlier = before["attempts"].as_array().expect("attempts");
    assert!(attempts.ends_with(earlier), "{record}\n{before}");
    assert!(record["failures"].as_u64() >= Some(2) && record["waiting"] == 1, "{record}");
    let payment = text(&attempts[0], "/paymentId");
    assert_eq!((&attempts[0]["event"], &attempts[0]["status"]), (&json!(1), &json!(500)));

    // What was written before the host is killed is there, too.
    receiver.set(ReceiverMode::Accept);
    host.restart(&[]).await;
    until("it is told", &host, || receiver.accepted().len() == 1).await;
    let log = becomes(&host, "/api/v1/webhooks/attempts", |found| found[0]["status"] == 200).await;
    host.signal("KILL");
    host.wait_for_exit().await;
    host.restart(&[]).await;
    assert_eq!(ask(&host, "/api/v1/webhooks/attempts").await, log);
    assert_eq!(receiver.accepted().len(), 1, "its place was written with the attempt");
    assert_eq!(webhook(&host).await["failures"], 0);

    host.buy(chain.payer(1), "/status", LIMIT).await;
    becomes(&host, "/api/v1/webhooks/attempts", |found| found[0]["event"] == 2).await;
    let of_first = ask(&host, &format!("/api/v1/webhooks/attempts?payment={payment}")).await;
    assert_eq!(of_first, log, "those of the other payment are left out");
    let name = text(&webhook(&host).await, "/url");
    let (code, listed, _) = command(&host, &["webhooks", "--attempts", "--webhook", &name, "--limit", "2"]);
    let lines: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((code, lines.len(), &lines[1]), (Some(0), 2, &log[0]), "{listed}");
    let (code, listed, _) = command(&host, &["webhooks", "--attempts", "--payment", "0", "--format", "table"]);
    assert_eq!((code, listed.trim()), (Some(0), "no webhook was told anything"));
    let (_, listed, _) = command(&host, &["webhooks", "--format", "table"]);
    assert!(listed.contains("0 failures in a row") && listed.contains("payment.paid"), "{listed}");
}

/// A delivery waited for its place to be on the disk: one that did not answer stopped every webhook.
#[tokio::test]
async fn a_ledger_that_cannot_be_written_stops_no_delivery() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let mut host = host(&chain, &["status"], &receiver, "events = [\"paid\"]\n").await;
    receiver.set(ReceiverMode::Refuse(500));
    for payer in 0..3 {
        host.buy(chain.payer(payer), "/status", LIMIT).await;
    }
    until("it is tried", &host, || receiver.tried() >= 1).await;
    let ledger = rusqlite::Connection::open(host.path(".coinslot/ledger.db")).expect("the ledger");
    ledger.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes from now on");
    receiver.set(ReceiverMode::Accept);
    until("all are told", &host, || receiver.accepted().len() == 3).await;
    assert_eq!(types(&receiver), ["payment.paid"; 3]);
    let told = webhook_becomes(&host, |record| record["place"] == 3).await;
    assert_eq!((&told["waiting"], &told["attempts"][0]["status"]), (&json!(0), &json!(200)), "{told}");
    host.wait_for_log("the attempts of a webhook cannot be written", 1).await;
    ledger.execute_batch("ROLLBACK").expect("others write again");
    let log = becomes(&host, "/api/v1/webhooks/attempts", |found| found[0]["event"] == 3).await;
    assert!(log.as_array().expect("attempts").len() >= 4, "the one that failed, and three: {log}");
    host.restart(&[]).await;
    assert_eq!(webhook_becomes(&host, |record| record["place"] == 3).await["waiting"], 0);
    assert_eq!(receiver.accepted().len(), 3, "nothing is told twice");
}

#[tokio::test]
async fn a_dry_run_of_a_resend_says_how_many_messages_and_tells_none() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let host = host(&chain, &["status", "unruly"], &receiver, "events = [\"paid\"]\n").await;
    for path in ["/status", "/unruly?recurse", "/status"] {
        host.buy(chain.payer(0), path, LIMIT).await;
    }
    until("it is told", &host, || receiver.accepted().len() == 2).await;
    let name = text(&webhook(&host).await, "/url");
    let (code, said, _) = command(&host, &["webhooks", "--resend", &name, "--dry-run", "--format", "json"]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let expected = json!({ "webhook": name, "after": 0, "last": 3, "messages": 2, "applied": false });
    assert_eq!((code, &report), (Some(0), &expected));
    let (_, said, _) = command(&host, &["webhooks", "--resend", &receiver.url(), "--after", "1", "--dry-run"]);
    assert!(said.contains("would be told again what came after event 1: 1 message; nothing is changed"), "{said}");
    // What would be refused is refused, with the same code.
    for (arguments, code, reason) in [
        (&["--resend", "http://nowhere.example/"][..], 1, "no [[webhook]] has this address"),
        (&["--resend", &name, "--after", "9"], 2, "`after` is at most 3"),
    ] {
        for dry in [&[][..], &["--dry-run"]] {
            let (ended, _, said) = command(&host, &[&["webhooks"], arguments, dry].concat());
            assert!(ended == Some(code) && said.contains(reason), "{arguments:?} {dry:?}: {ended:?} {said}");
        }
    }
    assert_eq!(ask(&host, "/api/v1/audit?kind=webhook_resent").await, json!([]));
    assert_eq!((receiver.accepted().len(), &webhook(&host).await["place"]), (2, &json!(3)));
    let (code, said, _) = command(&host, &["webhooks", "--resend", &name]);
    assert!(code == Some(0) && said.contains("is told again what came after event 0: 2 messages"), "{said}");
    until("it is told again", &host, || receiver.accepted().len() == 4).await;
    let changes = becomes(&host, "/api/v1/audit?kind=webhook_resent", |found| !found[0].is_null()).await;
    assert_eq!((&changes[0]["subject"], &changes[0]["after"]), (&json!(name), &json!("after event 0")));
}

/// An order to tell an address again from an event that it was not told yet lost those before it.
#[tokio::test]
async fn a_resend_passes_over_nothing_that_waits() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let host = host(&chain, &["status"], &receiver, "events = [\"paid\"]\n").await;
    host.buy(chain.payer(0), "/status", LIMIT).await;
    until("it is told", &host, || receiver.accepted().len() == 1).await;
    receiver.set(ReceiverMode::Refuse(500));
    for payer in [1, 2] {
        host.buy(chain.payer(payer), "/status", LIMIT).await;
    }
    let record =
        webhook_becomes(&host, |record| record["waiting"] == 2 && record["failures"].as_u64() >= Some(1)).await;
    let newest = record["newest"].as_u64().expect("a number").to_string();
    let (code, _, error) = command(&host, &["webhooks", "--resend", &receiver.url(), "--after", &newest]);
    let refused = "the newest event that it was told: what follows waits for it";
    assert!(code != Some(0) && error.contains(refused), "{code:?} {error}");
    receiver.set(ReceiverMode::Accept);
    until("both are told", &host, || receiver.accepted().len() == 3).await;
}
