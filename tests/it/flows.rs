//! Settled first: the guest runs for money that has moved, and owes its answer until it has given it.

use std::time::Duration;

use alloy::primitives::U256;
use coinslot_tests::{Host, decode, guest};
use serde_json::Value;

struct Shop {
    host: Host,
    payment: String,
}

impl Shop {
    /// A host with the guest that is paid first, and a signed payment for it.
    async fn open() -> Self {
        let host = Host::builder().plugin("upfront.wasm", &guest("upfront")).start().await;
        let challenge = host.client().post(host.url("/upfront")).send().await.expect("an answer");
        let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
        assert_eq!(required["accepts"][0]["extra"]["paymentFlow"], "upfront", "it is announced");
        let payment = host.payer(0).pay(&challenge).header();
        Self { host, payment }
    }

    /// Sends the same payment, and asks the guest to do this.
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
async fn what_is_paid_first_is_answered_with_its_receipt() {
    let shop = Shop::open().await;
    let reply = shop.send("").await;
    assert_eq!(reply.status(), 200);
    let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
    assert_eq!(receipt["success"], true);
    let id = reply.headers()["x-coinslot-payment-id"].to_str().expect("ASCII").to_owned();
    let seen: Value = reply.json().await.expect("JSON");
    assert_eq!(seen["paid"], id.as_str(), "the guest knows who paid");
    assert_eq!(shop.paid_cents().await, U256::from(1));
    shop.host.ledger_becomes(&["delivered"]).await;
}

#[tokio::test]
async fn a_guest_that_fails_after_payment_owes_its_answer_to_the_same_payment() {
    let shop = Shop::open().await;
    for (order, status, code) in [("trap", 500, "plugin_failed"), ("402", 502, "plugin_broke_contract")] {
        let failed = shop.send(order).await;
        assert_eq!(failed.status(), status, "{order}");
        let receipt = decode(failed.headers()["payment-response"].to_str().expect("ASCII"));
        assert_eq!(receipt["success"], true, "{order}: it was charged, and is told so");
        let body: Value = failed.json().await.expect("JSON");
        assert_eq!(body["error"], code);
        assert!(body["message"].as_str().is_some_and(|text| text.contains("with the same payment again")), "{body}");
        assert_eq!(shop.host.ledger(), ["owed"], "{order}");
    }
    let declined = shop.send("500").await;
    assert_eq!(declined.status(), 500, "the guest's own answer");
    assert_eq!(shop.host.ledger(), ["owed"]);
    let served = shop.send("").await;
    assert_eq!(served.status(), 200);
    shop.host.ledger_becomes(&["delivered"]).await;
    let again = shop.send("").await;
    assert_eq!(again.status(), 200, "and kept");
    assert_eq!((shop.paid_cents().await, shop.runs()), (U256::from(1), 4), "one charge; no run after the answer");
}

#[tokio::test]
async fn a_debt_is_for_the_request_that_was_paid() {
    let shop = Shop::open().await;
    assert_eq!(shop.send("trap").await.status(), 500);
    let other = shop.host.client().post(shop.host.url("/upfront?other")).header("PAYMENT-SIGNATURE", &shop.payment);
    assert_eq!(other.send().await.expect("an answer").status(), 409);
    assert_eq!(shop.host.ledger(), ["owed"]);
}

#[tokio::test]
async fn copies_of_an_owed_payment_run_once_at_a_time() {
    let shop = Shop::open().await;
    assert_eq!(shop.send("trap").await.status(), 500);
    let mut copies = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let request = shop.host.client().post(shop.host.url("/upfront"));
        copies.spawn(request.header("PAYMENT-SIGNATURE", &shop.payment).send());
    }
    let mut served = 0;
    for reply in copies.join_all().await {
        let status = reply.expect("an answer").status().as_u16();
        assert!(matches!(status, 200 | 409), "{status}");
        served += usize::from(status == 200);
    }
    assert!(served >= 1);
    assert_eq!((shop.paid_cents().await, shop.runs()), (U256::from(1), 2), "the failure, and one answer");
}

#[tokio::test]
async fn an_owed_answer_that_fails_again_and_again_waits_for_its_next_run() {
    let shop = Shop::open().await;
    for _ in 0..5 {
        assert_eq!(shop.send("500").await.status(), 500);
    }
    let waits = shop.send("").await;
    assert_eq!((waits.status().as_u16(), shop.runs()), (503, 5), "it is not run");
    let seconds = waits.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    let body: Value = waits.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"answer_owed".into(), &"yes".into()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    assert_eq!(shop.send("").await.status(), 200, "as it was told");
    shop.host.ledger_becomes(&["delivered"]).await;
    assert_eq!(shop.paid_cents().await, U256::from(1), "one charge");
}

#[tokio::test]
async fn a_payer_without_money_pays_nothing_and_runs_nothing() {
    let shop = Shop::open().await;
    let challenge = shop.host.client().post(shop.host.url("/upfront")).send().await.expect("an answer");
    let payment = coinslot_tests::Wallet::poor().pay(&challenge).header();
    let request = shop.host.client().post(shop.host.url("/upfront")).header("PAYMENT-SIGNATURE", payment);
    assert_eq!(request.send().await.expect("an answer").status(), 402);
    assert_eq!((shop.paid_cents().await, shop.runs()), (U256::ZERO, 0));
}
