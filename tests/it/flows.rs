//! Checks the upfront flow: the payment is settled first, and the answer is owed until the guest has given it.

use std::time::Duration;

use alloy::primitives::U256;
use coinslot_tests::{DevHost, FacilitatorMode, TestChain, decode, guest};
use serde_json::{Value, json};

struct UpfrontHost {
    host: DevHost,
    payment: String,
}

impl UpfrontHost {
    /// Starts a host with a guest of the upfront flow and signs a payment for it.
    async fn open() -> Self {
        let host = DevHost::builder().plugin("upfront.wasm", &guest("upfront")).start().await;
        let challenge = host.client().post(host.url("/upfront")).send().await.expect("an answer");
        let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
        assert_eq!(required["accepts"][0]["extra"]["paymentFlow"], "upfront", "the flow is announced");
        let payment = host.payer(0).pay(&challenge).header();
        Self { host, payment }
    }

    /// Sends the payment. `order` tells the guest what to do.
    async fn send(&self, order: &str) -> reqwest::Response {
        let request = self.host.client().post(self.host.url("/upfront")).header("PAYMENT-SIGNATURE", &self.payment);
        let request = if order.is_empty() { request } else { request.header("x-do", order) };
        request.send().await.expect("an answer")
    }

    async fn paid_cents(&self) -> U256 {
        self.host.chain().balance(self.host.seller()).await / U256::from(10_000)
    }

    fn runs(&self) -> usize {
        self.host.log().matches("upfront ran").count()
    }
}

#[tokio::test]
async fn an_upfront_answer_carries_its_receipt() {
    let upfront = UpfrontHost::open().await;
    let reply = upfront.send("").await;
    assert_eq!(reply.status(), 200);
    let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
    assert_eq!(receipt["success"], true);
    let id = reply.headers()["x-coinslot-payment-id"].to_str().expect("ASCII").to_owned();
    let seen: Value = reply.json().await.expect("JSON");
    assert_eq!(seen["paid"], id.as_str(), "the guest knows who paid");
    assert_eq!(upfront.paid_cents().await, U256::from(1));
    upfront.host.wait_for_ledger(&["delivered"]).await;
}

#[tokio::test]
async fn a_guest_that_fails_after_payment_owes_its_answer_to_the_same_payment() {
    let upfront = UpfrontHost::open().await;
    for (order, status, code) in [("trap", 500, "plugin_failed"), ("402", 502, "plugin_broke_contract")] {
        let failed = upfront.send(order).await;
        assert_eq!(failed.status(), status, "{order}");
        let receipt = decode(failed.headers()["payment-response"].to_str().expect("ASCII"));
        assert_eq!(receipt["success"], true, "{order}: the receipt says that it was charged");
        let body: Value = failed.json().await.expect("JSON");
        assert_eq!(body["error"], code);
        assert!(body["message"].as_str().is_some_and(|text| text.contains("with the same payment again")), "{body}");
        assert_eq!(upfront.host.ledger(), ["owed"], "{order}");
    }
    let declined = upfront.send("500").await;
    assert_eq!(declined.status(), 500, "the guest's own answer");
    assert_eq!(upfront.host.ledger(), ["owed"]);
    let served = upfront.send("").await;
    assert_eq!(served.status(), 200);
    upfront.host.wait_for_ledger(&["delivered"]).await;
    let again = upfront.send("").await;
    assert_eq!(again.status(), 200, "the answer is stored");
    assert_eq!((upfront.paid_cents().await, upfront.runs()), (U256::from(1), 4), "one charge; no run after the answer");
}

/// A purchase that was paid and is owed was called "not sent, nothing was charged" to another payment of its name.
#[tokio::test]
async fn a_second_payment_under_the_name_of_an_owed_purchase_does_not_hear_that_nothing_was_charged() {
    let host = DevHost::builder().plugin("upfront.wasm", &guest("upfront")).start().await;
    let challenge = host.client().post(host.url("/upfront")).send().await.expect("an answer");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    let named = || {
        let mut payment = host.payer(0).pay(&challenge);
        let mut extensions = required["extensions"].clone();
        extensions["payment-identifier"]["info"]["id"] = json!("order-0123456789");
        payment.document["extensions"] = extensions;
        payment.header()
    };
    let send = async |payment: &str, order: &str| {
        let request = host.client().post(host.url("/upfront")).header("PAYMENT-SIGNATURE", payment);
        request.header("x-do", order).send().await.expect("an answer")
    };
    let first = named();
    let owed = send(&first, "trap").await;
    assert_eq!(owed.status(), 500);
    let id = owed.headers()["x-coinslot-payment-id"].clone();
    let second = send(&named(), "trap").await;
    assert_eq!(second.status(), 503);
    assert_eq!(second.headers()["x-coinslot-charged"], "unknown");
    assert_eq!(second.headers()["x-coinslot-payment-id"], id, "the purchase that the name stands for");
    assert_eq!(second.json::<Value>().await.expect("JSON")["error"], "settlement_unknown");
    assert_eq!(host.ledger(), ["owed"], "the second payment was not taken");
}

#[tokio::test]
async fn an_owed_answer_is_given_only_for_the_request_that_was_paid() {
    let upfront = UpfrontHost::open().await;
    assert_eq!(upfront.send("trap").await.status(), 500);
    let other =
        upfront.host.client().post(upfront.host.url("/upfront?other")).header("PAYMENT-SIGNATURE", &upfront.payment);
    assert_eq!(other.send().await.expect("an answer").status(), 409);
    assert_eq!(upfront.host.ledger(), ["owed"]);
}

#[tokio::test]
async fn concurrent_copies_of_an_owed_payment_run_once() {
    let upfront = UpfrontHost::open().await;
    assert_eq!(upfront.send("trap").await.status(), 500);
    let mut copies = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let request = upfront.host.client().post(upfront.host.url("/upfront"));
        copies.spawn(request.header("PAYMENT-SIGNATURE", &upfront.payment).send());
    }
    let mut served = 0;
    for reply in copies.join_all().await {
        let status = reply.expect("an answer").status().as_u16();
        assert!(matches!(status, 200 | 409), "{status}");
        served += usize::from(status == 200);
    }
    assert!(served >= 1);
    assert_eq!((upfront.paid_cents().await, upfront.runs()), (U256::from(1), 2), "the failure, and one answer");
}

/// A client that had paid once could repeat a request that makes the guest fail, without end and without paying again.
/// From the fifth failure on the next run waits, first 2 seconds and then twice as long each time, up to five minutes.
#[tokio::test]
async fn an_owed_answer_that_keeps_failing_is_retried_with_increasing_delay() {
    let upfront = UpfrontHost::open().await;
    for _ in 0..5 {
        assert_eq!(upfront.send("500").await.status(), 500);
    }
    let waits = upfront.send("").await;
    assert_eq!((waits.status().as_u16(), upfront.runs()), (503, 5), "it is not run");
    let seconds = waits.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    let body: Value = waits.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"answer_owed".into(), &"yes".into()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    assert_eq!(upfront.send("").await.status(), 200, "after the time of Retry-After");
    upfront.host.wait_for_ledger(&["delivered"]).await;
    assert_eq!(upfront.paid_cents().await, U256::from(1), "one charge");
}

#[tokio::test]
async fn an_upfront_payment_without_funds_runs_nothing() {
    let upfront = UpfrontHost::open().await;
    let challenge = upfront.host.client().post(upfront.host.url("/upfront")).send().await.expect("an answer");
    let payment = coinslot_tests::Wallet::poor().pay(&challenge).header();
    let request = upfront.host.client().post(upfront.host.url("/upfront")).header("PAYMENT-SIGNATURE", payment);
    assert_eq!(request.send().await.expect("an answer").status(), 402);
    assert_eq!((upfront.paid_cents().await, upfront.runs()), (U256::ZERO, 0));
}

/// Money was taken for an answer for which no client waited: the work of a payment went on without its client before
/// the payment was sent, and recovery took the work that waited for 25 seconds for a client.
#[tokio::test]
async fn money_is_not_taken_upfront_from_a_client_that_has_left() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("upfront"), &[&facilitator]).await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/upfront")).send().await.expect("a challenge");
    for (name, sent) in [("during the verification", 0), ("when its settlement is unknown", 1)] {
        let payment = chain.payer(0).pay(&challenge).header();
        let ask = || client.post(host.url("/upfront")).header("PAYMENT-SIGNATURE", &payment);
        let (settled, moved) = (facilitator.settles().len(), chain.payments_received().await);
        match sent {
            0 => facilitator.next_verify(FacilitatorMode::Slow(Duration::from_millis(1_500))),
            _ => facilitator.next_settle(FacilitatorMode::Hang),
        }
        ask().timeout(Duration::from_millis(700)).send().await.expect_err("it hangs up");
        // Recovery looks after one second, and would send the payment again for a client that waits.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(facilitator.settles().len(), settled + sent, "{name}: {}", host.log());
        assert_eq!(chain.payments_received().await, moved, "{name}");
        let served = ask().send().await.expect("an answer");
        assert_eq!(served.status(), 200, "{name}: the same payment still buys it: {}", host.log());
        assert_eq!(chain.payments_received().await, moved + 1, "{name}");
    }
}

/// The wait for a settlement went on when it had ended: a plugin that took longer was charged for, and its client heard
/// that the end of the settlement was unknown.
#[tokio::test]
async fn a_plugin_that_works_longer_than_a_settlement_is_waited_for_answers_its_client() {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let host = chain.serve_seller(&guest("crowd"), &node, 0, "flows = [\"upfront\"]\n").await;
    let ask = || reqwest::Client::new().post(host.url("/crowd?wait=26000"));
    let payment = chain.payer(0).pay(&ask().send().await.expect("a challenge")).header();
    let bought = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    let status = bought.status();
    assert_eq!(status, 200, "{}", bought.text().await.expect("text"));
}
