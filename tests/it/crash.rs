//! Kills the host before and after every step of a payment and restarts it: no payment is executed twice, none is
//! charged twice, and no charged payment is lost.
//!
//! The crash points are those of `coinslot::fault_points`, named in the environment variable `COINSLOT_CRASH_AT`.

use std::time::{Duration, Instant};

use coinslot_tests::{FacilitatorMode, FaultyFacilitator, ServeHost, TestChain, guest};
use serde_json::Value;

/// The settling side of a host.
enum Settles {
    /// The host itself.
    Here,
    /// A facilitator that treats the next settlement in this mode.
    Facilitator(FacilitatorMode),
}

/// The end of the payment that the crash interrupted, after the restart.
#[derive(Debug, PartialEq, Eq)]
struct End {
    status: u16,
    error: Option<String>,
    /// In cents, the price of one answer.
    charged: usize,
    runs: usize,
    ledger: Vec<String>,
}

/// Pays for this guest on a host that dies at this crash point, restarts the host, and repeats the payment to its end.
/// `order` tells the guest what to do.
async fn crash(name: &str, point: &str, settles: Settles, order: &str) -> End {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let facilitator: Option<FaultyFacilitator> = match &settles {
        Settles::Here => None,
        Settles::Facilitator(mode) => {
            let facilitator = chain.facilitator(0).await;
            facilitator.next_settle(*mode);
            Some(facilitator)
        }
    };
    let component = guest(name);
    let mut host = match &facilitator {
        None => chain.serve_on(&component, &node).await,
        Some(facilitator) => chain.serve_watching_node(&component, facilitator, &node).await,
    };
    host.restart(&[("COINSLOT_CRASH_AT", point)]).await;
    let path = format!("/{name}");
    let client = reqwest::Client::new();
    let challenge = client.post(host.url(&path)).body("mine").send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let request = client.post(host.url(&path)).body("mine").header("PAYMENT-SIGNATURE", &payment);
    // The answer may arrive before the host dies.
    let _ = request.header("x-do", order).send().await;
    host.wait_for_exit().await;
    host.restart(&[]).await;
    let (status, error) = end(&host, &path, &payment).await;
    let charged = chain.payments_received().await;
    // What recovery can find out is written a moment after the answer has left.
    let states = || host.ledger().into_iter().map(|row| row.state).collect::<Vec<_>>();
    let deadline = Instant::now() + Duration::from_secs(10);
    while states().iter().any(|state| state == "settling") && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ledger = states();
    End { status, error, charged, runs: host.runs_of(name), ledger }
}

/// Repeats the payment while the host answers 503 or 409. Returns the last status and its error code.
async fn end(host: &ServeHost, path: &str, payment: &str) -> (u16, Option<String>) {
    let client = reqwest::Client::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let request = client.post(host.url(path)).body("mine").header("PAYMENT-SIGNATURE", payment);
        let reply = request.send().await.expect("an answer");
        let status = reply.status().as_u16();
        if !matches!(status, 503 | 409) {
            let receipt = reply.headers().contains_key("payment-response");
            assert_eq!(receipt, status == 200, "{status}: a receipt is sent exactly when the payment was charged");
            let body: Option<Value> = reply.json().await.ok();
            return (status, body.and_then(|body| body["error"].as_str().map(ToOwned::to_owned)));
        }
        assert!(Instant::now() < deadline, "no end: {status}\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl End {
    /// Asserts that the payment was served and charged once.
    #[track_caller]
    fn is_served(&self, runs: usize) {
        let settled = self.ledger == ["settled"] || self.ledger == ["delivered"];
        assert!(self.status == 200 && self.charged == 1 && self.runs == runs && settled, "{self:?}");
    }

    /// Asserts that nothing was lost in a crash around the run. The step `executing` is written beside the guest: where
    /// it was on the disk, the payment is refused, and else it is free again, and runs once more. Nothing was sent.
    #[track_caller]
    fn is_interrupted_or_served(&self, runs: usize) {
        if self.status == 402 { self.is_over(runs.min(self.runs)) } else { self.is_served(self.runs.min(runs + 1)) }
    }

    /// Asserts that the payment was refused without a charge: the guest may have run, so it never runs again for it.
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

// === The authorization flow: run, then settle. ===

crashes! {
    before_the_claim: "echo" at "before:claimed", Settles::Here, "" => is_served(1);
    after_the_claim: "echo" at "after:claimed", Settles::Here, "" => is_served(1);
    before_the_verification: "echo" at "before:verification", Settles::Here, "" => is_served(1);
    after_the_verification: "echo" at "after:verification", Settles::Here, "" => is_served(1);
    before_executing: "echo" at "before:executing", Settles::Here, "" => is_interrupted_or_served(1);
    before_settling: "echo" at "before:settling", Settles::Here, "" => is_interrupted_or_served(1);
    after_settling: "echo" at "after:settling", Settles::Here, "" => is_served(1);
    before_the_settlement: "echo" at "before:settlement", Settles::Here, "" => is_served(1);
    after_the_settlement: "echo" at "after:settlement", Settles::Here, "" => is_served(1);
    before_settled: "echo" at "before:settled", Settles::Here, "" => is_served(1);
    after_settled: "echo" at "after:settled", Settles::Here, "" => is_served(1);
    before_delivered: "echo" at "before:delivered", Settles::Here, "" => is_served(1);
    after_delivered: "echo" at "after:delivered", Settles::Here, "" => is_served(1);
    before_unknown: "echo" at "before:unknown", Settles::Facilitator(FacilitatorMode::DropAfter), "" => is_served(1);
    after_unknown: "echo" at "after:unknown", Settles::Facilitator(FacilitatorMode::DropAfter), "" => is_served(1);
    before_unknown_and_unsent: "echo" at "before:unknown", Settles::Facilitator(FacilitatorMode::DropBefore), "" => is_served(1);
    before_refused: "echo" at "before:refused", Settles::Facilitator(FacilitatorMode::Refuse), "" => is_served(1);
}

#[tokio::test]
async fn after_refused() {
    let end = crash("echo", "after:refused", Settles::Facilitator(FacilitatorMode::Refuse), "").await;
    assert_eq!((end.status, end.charged, end.runs), (402, 0, 1), "{end:?}");
    assert_eq!(end.ledger, ["refused"]);
}

#[tokio::test]
async fn before_released() {
    // Depends on whether the step `executing` was on the disk.
    let end = crash("trap", "before:released", Settles::Here, "").await;
    if end.status == 402 { end.is_over(1) } else { assert_eq!((end.status, end.charged), (500, 0), "{end:?}") }
}

#[tokio::test]
async fn after_released() {
    let end = crash("trap", "after:released", Settles::Here, "").await;
    assert_eq!((end.status, end.charged, end.runs), (500, 0, 2), "a failed run costs nothing: {end:?}");
    assert_eq!(end.ledger, [""; 0]);
}

// === The upfront flow: settle, then run. An owed answer may run again, for one charge. ===

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
    upfront_after_unknown: "upfront" at "after:unknown", Settles::Facilitator(FacilitatorMode::DropAfter), "" => is_served(1);
    upfront_before_refused: "upfront" at "before:refused", Settles::Facilitator(FacilitatorMode::Refuse), "" => is_served(1);
}
