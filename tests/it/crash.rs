//! `kill -9` before and after every step of a payment, and then a restart: no payment is executed twice, none
//! is charged twice, and none that was charged is lost.

use std::time::{Duration, Instant};

use coinslot_tests::{HostileFacilitator, Market, Mode, Shop, guest};
use serde_json::Value;

/// Who settles.
enum Settles {
    /// The host itself.
    Here,
    /// A facilitator, whose next settlement goes wrong in this way.
    Facilitator(Mode),
}

/// What the payment that met the crash came to, once the host ran again.
#[derive(Debug, PartialEq, Eq)]
struct End {
    status: u16,
    error: Option<String>,
    /// In cents.
    charged: usize,
    runs: usize,
    ledger: Vec<String>,
}

/// A payment for this guest, a host that dies at this point, a restart, and the same payment until it has an end.
async fn crash(name: &str, point: &str, settles: Settles, order: &str) -> End {
    let market = Market::open().await;
    let node = market.node().await;
    let facilitator: Option<HostileFacilitator> = match &settles {
        Settles::Here => None,
        Settles::Facilitator(mode) => {
            let facilitator = market.facilitator(0).await;
            facilitator.next_settle(*mode);
            Some(facilitator)
        }
    };
    let component = guest(name);
    let mut shop = match &facilitator {
        None => market.shop_on(&component, &node).await,
        Some(facilitator) => market.shop_through_and_watching(&component, facilitator, &node).await,
    };
    shop.restart(&[("COINSLOT_CRASH_AT", point)]).await;
    let path = format!("/{name}");
    let client = reqwest::Client::new();
    let challenge = client.post(shop.url(&path)).body("mine").send().await.expect("a challenge");
    let payment = market.payer(0).pay(&challenge).header();
    let request = client.post(shop.url(&path)).body("mine").header("PAYMENT-SIGNATURE", &payment);
    // It may have the answer by then, or not.
    let _ = request.header("x-do", order).send().await;
    shop.died().await;
    shop.restart(&[]).await;
    let (status, error) = end(&shop, &path, &payment).await;
    let charged = market.charges().await;
    let ledger = shop.ledger().into_iter().map(|row| row.state).collect();
    End { status, error, charged, runs: shop.runs_of(name), ledger }
}

/// Sends the payment again for as long as it is told to.
async fn end(shop: &Shop, path: &str, payment: &str) -> (u16, Option<String>) {
    let client = reqwest::Client::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let request = client.post(shop.url(path)).body("mine").header("PAYMENT-SIGNATURE", payment);
        let reply = request.send().await.expect("an answer");
        let status = reply.status().as_u16();
        if !matches!(status, 503 | 409) {
            let receipt = reply.headers().contains_key("payment-response");
            assert_eq!(receipt, status == 200, "{status}: who is charged is told so, and nobody else");
            let body: Option<Value> = reply.json().await.ok();
            return (status, body.and_then(|body| body["error"].as_str().map(ToOwned::to_owned)));
        }
        assert!(Instant::now() < deadline, "no end: {status}\n{}", shop.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl End {
    /// Served, for one charge.
    #[track_caller]
    fn is_served(&self, runs: usize) {
        let settled = self.ledger == ["settled"] || self.ledger == ["delivered"];
        assert!(self.status == 200 && self.charged == 1 && self.runs == runs && settled, "{self:?}");
    }

    /// Over, for nothing: the guest may have run, so it never runs for this payment again.
    #[track_caller]
    fn is_over(&self, runs: usize) {
        let refused = self.ledger == ["refused"];
        let said = self.error.as_deref() == Some("interrupted");
        assert!(self.status == 402 && self.charged == 0 && self.runs == runs && refused && said, "{self:?}");
    }
}

macro_rules! crashes {
    ($($name:ident: $guest:literal at $point:literal, $settles:expr, $order:literal => $end:ident($runs:literal);)*) => {
        $(#[tokio::test]
        async fn $name() {
            crash($guest, $point, $settles, $order).await.$end($runs);
        })*
    };
}

// === Run, then settle. ===

crashes! {
    before_the_claim: "echo" at "before:claimed", Settles::Here, "" => is_served(1);
    after_the_claim: "echo" at "after:claimed", Settles::Here, "" => is_served(1);
    before_the_verification: "echo" at "before:verification", Settles::Here, "" => is_served(1);
    after_the_verification: "echo" at "after:verification", Settles::Here, "" => is_served(1);
    before_executing: "echo" at "before:executing", Settles::Here, "" => is_served(1);
    after_executing: "echo" at "after:executing", Settles::Here, "" => is_over(0);
    before_settling: "echo" at "before:settling", Settles::Here, "" => is_over(1);
    after_settling: "echo" at "after:settling", Settles::Here, "" => is_served(1);
    before_the_settlement: "echo" at "before:settlement", Settles::Here, "" => is_served(1);
    after_the_settlement: "echo" at "after:settlement", Settles::Here, "" => is_served(1);
    before_settled: "echo" at "before:settled", Settles::Here, "" => is_served(1);
    after_settled: "echo" at "after:settled", Settles::Here, "" => is_served(1);
    before_delivered: "echo" at "before:delivered", Settles::Here, "" => is_served(1);
    after_delivered: "echo" at "after:delivered", Settles::Here, "" => is_served(1);
    before_unknown: "echo" at "before:unknown", Settles::Facilitator(Mode::DropAfter), "" => is_served(1);
    after_unknown: "echo" at "after:unknown", Settles::Facilitator(Mode::DropAfter), "" => is_served(1);
    before_unknown_and_unsent: "echo" at "before:unknown", Settles::Facilitator(Mode::DropBefore), "" => is_served(1);
    before_refused: "echo" at "before:refused", Settles::Facilitator(Mode::Refuse), "" => is_served(1);
}

#[tokio::test]
async fn after_refused() {
    let end = crash("echo", "after:refused", Settles::Facilitator(Mode::Refuse), "").await;
    assert_eq!((end.status, end.charged, end.runs), (402, 0, 1), "{end:?}");
    assert_eq!(end.ledger, ["refused"]);
}

#[tokio::test]
async fn before_released() {
    let end = crash("trap", "before:released", Settles::Here, "").await;
    end.is_over(1);
}

#[tokio::test]
async fn after_released() {
    let end = crash("trap", "after:released", Settles::Here, "").await;
    assert_eq!((end.status, end.charged, end.runs), (500, 0, 2), "a failed run costs nothing: {end:?}");
    assert_eq!(end.ledger, [""; 0]);
}

// === Settle, then run: a debt may be executed again, for one charge. ===

crashes! {
    upfront_after_the_claim: "upfront" at "after:claimed", Settles::Here, "" => is_served(1);
    upfront_before_settling: "upfront" at "before:settling", Settles::Here, "" => is_served(1);
    upfront_after_settling: "upfront" at "after:settling", Settles::Here, "" => is_served(1);
    upfront_before_the_settlement: "upfront" at "before:settlement", Settles::Here, "" => is_served(1);
    upfront_after_the_settlement: "upfront" at "after:settlement", Settles::Here, "" => is_served(1);
    upfront_before_settled: "upfront" at "before:settled", Settles::Here, "" => is_served(1);
    upfront_after_settled: "upfront" at "after:settled", Settles::Here, "" => is_served(1);
    upfront_before_answered: "upfront" at "before:answered", Settles::Here, "" => is_served(2);
    upfront_after_answered: "upfront" at "after:answered", Settles::Here, "" => is_served(1);
    upfront_before_delivered: "upfront" at "before:delivered", Settles::Here, "" => is_served(1);
    upfront_before_owed: "upfront" at "before:owed", Settles::Here, "trap" => is_served(2);
    upfront_after_owed: "upfront" at "after:owed", Settles::Here, "trap" => is_served(2);
    upfront_after_unknown: "upfront" at "after:unknown", Settles::Facilitator(Mode::DropAfter), "" => is_served(1);
    upfront_before_refused: "upfront" at "before:refused", Settles::Facilitator(Mode::Refuse), "" => is_served(1);
}
