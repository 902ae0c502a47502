//! Checks that a failed plugin is not charged for and that the answer shows no detail of the failure.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, guest, run};
use serde_json::Value;

/// Pays for a request to a guest and returns the answer.
async fn pay(host: &DevHost, path: &str) -> reqwest::Response {
    let challenge = host.client().post(host.url(path)).send().await.expect("an answer");
    assert_eq!(challenge.status(), 402, "{path}");
    let payment = host.payer(0).pay(&challenge).header();
    let request = host.client().post(host.url(path)).header("PAYMENT-SIGNATURE", payment);
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn a_failed_plugin_is_not_charged() {
    let names = ["trap", "spin", "grow", "flood", "silent"];
    let mut builder = DevHost::builder();
    for name in names {
        builder = builder.plugin(&format!("{name}.wasm"), &guest(name));
    }
    let host = builder.start().await;
    let expected = [500, 504, 500, 500, 502];
    for (name, expected) in names.into_iter().zip(expected) {
        let reply = pay(&host, &format!("/{name}")).await;
        assert_eq!(reply.status(), expected, "{name}");
        assert!(!reply.headers().contains_key("payment-response"), "{name}");
        let body: Value = reply.json().await.expect("JSON");
        assert!(body["message"].as_str().is_some_and(|text| text.contains("nothing was charged")), "{name}: {body}");
        assert!(!body.to_string().contains("wasm"), "{name} leaks: {body}");
    }
    assert_eq!(host.chain().balance(host.seller()).await, U256::ZERO);
    assert_eq!(host.ledger(), [""; 0], "every claim is released");
    // The log names the payments, and so does the ledger.
    let failed = run(&host.path(""), &["ledger", "failed", "--file", ".coinslot/dev-ledger.db", "--format", "json"]);
    let failed = String::from_utf8(failed.stdout).expect("text");
    let failed = failed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_logged = |one: &Value| host.log().contains(&format!("payment={}", text(&one["paymentId"])));
    let listed: Vec<_> = failed
        .inspect(|one| assert!(is_logged(one) && text(&one["reason"]).starts_with("the plugin"), "{one}"))
        .map(|one| text(&one["endpoint"]))
        .collect();
    let newest_first: Vec<_> = names.iter().rev().map(|name| format!("POST /{name}")).collect();
    assert_eq!(listed, newest_first);
}

#[tokio::test]
async fn a_wasi_0_3_guest_that_fails_after_its_response_head_is_not_charged() {
    let host = DevHost::builder().plugin("echo3.wasm", &guest("echo3")).start().await;
    for (how, expected) in [("trap", 500), ("spin", 504)] {
        let reply = pay(&host, &format!("/echo3?{how}")).await;
        assert_eq!(reply.status(), expected, "{how}");
        assert!(!reply.headers().contains_key("payment-response") && !reply.headers().contains_key("x-payer"), "{how}");
    }
    assert_eq!(host.chain().balance(host.seller()).await, U256::ZERO);
    assert_eq!(host.ledger(), [""; 0]);
}

#[tokio::test]
async fn a_status_below_400_is_charged_and_any_other_is_not() {
    let host = DevHost::builder().plugin("status.wasm", &guest("status")).start().await;
    let mut paid = 0_u64;
    for (status, seen, charged) in [
        (200, 200, true),
        (201, 201, true),
        (302, 302, true),
        (404, 404, false),
        (422, 422, false),
        (500, 500, false),
        (402, 502, false),
    ] {
        let reply = pay(&host, &format!("/status?{status}")).await;
        assert_eq!(reply.status(), seen, "{status}");
        assert_eq!(reply.headers().contains_key("payment-response"), charged, "{status}");
        assert!(!reply.headers().values().any(|value| value == "forged"), "{status}: a guest forged a header");
        if charged {
            let cache = reply.headers()["cache-control"].to_str().expect("ASCII");
            assert!(cache.contains("private") && !cache.contains("public"), "{status}: {cache}");
        }
        paid += u64::from(charged);
        assert_eq!(host.chain().balance(host.seller()).await, U256::from(paid * 10_000), "{status}");
    }
}

#[tokio::test]
async fn the_same_payment_may_be_tried_again_after_a_failure() {
    let host = DevHost::builder().plugin("trap.wasm", &guest("trap")).start().await;
    let challenge = host.client().post(host.url("/trap")).send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge).header();
    for _ in 0..2 {
        let request = host.client().post(host.url("/trap")).header("PAYMENT-SIGNATURE", &payment);
        assert_eq!(request.send().await.expect("an answer").status(), 500);
    }
    assert_eq!(host.ledger(), [""; 0]);
}

/// The log said "a plugin failed" and not which: with several plugins the line helped nobody.
#[tokio::test]
async fn the_log_names_plugin_endpoint_and_payment_of_a_failure() {
    let host = DevHost::builder().plugin("trap.wasm", &guest("trap")).plugin("status.wasm", &guest("status"));
    let host = host.start().await;
    assert_eq!(pay(&host, "/trap").await.status(), 500);
    assert_eq!(pay(&host, "/status?402").await.status(), 502);
    let log = host.log();
    for (what, plugin) in [("a plugin failed", "trap"), ("a plugin broke its contract", "status")] {
        let line = log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}:\n{log}"));
        let names = [format!("plugin=\"{plugin}\""), format!("endpoint=\"POST /{plugin}\"")];
        assert!(names.iter().all(|name| line.contains(name)), "{line}");
        let payment = line.split_once(" payment=").expect("a payment").1;
        let id = payment.get(..32).expect("its id");
        assert!(id.chars().all(|digit| digit.is_ascii_hexdigit()), "{line}");
    }
    let line = log.lines().find(|line| line.contains("a plugin failed")).expect("found above");
    assert!(line.contains("unreachable") && line.contains("backtrace"), "the cause and the place, in one line: {line}");
}
