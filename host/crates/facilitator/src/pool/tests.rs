//! Pools of facilitators over real sockets, whose answers are scripted.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use bytes::Bytes;
use coinslot_base::breaker::BreakerSettings;
use coinslot_x402::exact::Authorization;
use coinslot_x402::price::{Amount, Asset, Price};
use coinslot_x402::{Network, X402Version, v2};
use http::Response;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::*;
use crate::remote::{Remote, RemoteConfig};
use crate::testing::{SELLER, parse, payload, serve};

const PAYER: Address = Address::repeat_byte(0xab);
const VALID: (u16, &str) = (200, "{\"isValid\":true,\"payer\":\"0xabababababababababababababababababababab\"}");
const DOWN: (u16, &str) = (502, "<html>");

fn payment(nonce: u8) -> PaymentRequest {
    payment_of(PAYER, nonce)
}

fn payment_of(payer: Address, nonce: u8) -> PaymentRequest {
    let price = Price {
        amount: Amount(U256::from(10_000)),
        asset: Arc::new(Asset::known(&Network::eip155(84532), None).expect("known")),
        pay_to: SELLER.to_string().into(),
        max_timeout_seconds: 60,
        flow: coinslot_x402::Flow::Authorization,
        quote: None,
        versions: coinslot_x402::Versions::Both,
    };
    let requirements = price.requirements();
    let authorization = Authorization {
        from: payer,
        to: SELLER,
        value: U256::from(10_000),
        valid_after: U256::ZERO,
        valid_before: U256::from(4_000_000_000_u64),
        nonce: B256::repeat_byte(nonce),
    };
    let accepted = serde_json::to_value(&requirements).expect("JSON");
    PaymentRequest::V2 {
        payload: v2::PaymentPayload {
            x402_version: X402Version,
            resource: None,
            accepted: accepted.as_object().expect("an object").clone(),
            payload: payload(&authorization, &vec![1; 65].into()),
            extensions: None,
        },
        requirements,
        declaration: None,
    }
}

/// A facilitator with scripted answers; without one it hangs.
#[derive(Clone)]
struct Scripted {
    address: SocketAddr,
    verify: Arc<Mutex<Option<(u16, String)>>>,
    settle: Arc<Mutex<Option<(u16, String)>>>,
    /// Answers 500 for every payer but one, and is in order otherwise.
    fails_for_strangers: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<(String, Bytes)>>>,
}

impl Scripted {
    /// Settles every payment by a transaction of this byte.
    async fn honest(byte: u8) -> Self {
        let hash = B256::repeat_byte(byte);
        let settled = json!({"success": true, "payer": PAYER, "transaction": hash, "network": "eip155:84532"});
        let verify = Arc::new(Mutex::new(Some((VALID.0, VALID.1.to_owned()))));
        let settle = Arc::new(Mutex::new(Some((200, settled.to_string()))));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (says, record) = ((verify.clone(), settle.clone()), heard.clone());
        let fails_for_strangers = Arc::new(AtomicBool::new(false));
        let fails = fails_for_strangers.clone();
        let address = serve(move |request| {
            let (says, record, fails) = (says.clone(), record.clone(), fails.clone());
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                record.lock().expect("not poisoned").push((path.clone(), body.clone()));
                let is_known = String::from_utf8_lossy(&body).to_lowercase().contains(&format!("{PAYER:?}"));
                let scripted = if path == "/settle" { says.1 } else { says.0 };
                let scripted = scripted.lock().expect("not poisoned").clone();
                let says = match path.as_str() {
                    "/supported" if fails.load(Relaxed) => Some((200, String::new())),
                    "/verify" if fails.load(Relaxed) && !is_known => Some((500, "{\"error\":\"no\"}".to_owned())),
                    _ => scripted,
                };
                let Some((status, text)) = says else {
                    return std::future::pending().await;
                };
                let text = if path == "/supported" && status == 200 { "{\"kinds\":[]}".to_owned() } else { text };
                Response::builder().status(status).body(Full::new(text.into())).expect("a response")
            }
        })
        .await;
        Self { address, verify, settle, fails_for_strangers, heard }
    }

    fn on_verify(&self, says: (u16, &str)) {
        *self.verify.lock().expect("not poisoned") = Some((says.0, says.1.to_owned()));
    }

    fn on_settle(&self, says: Option<(u16, Value)>) {
        *self.settle.lock().expect("not poisoned") = says.map(|(status, body)| (status, body.to_string()));
    }

    /// Bodies of the requests to this path.
    fn heard(&self, path: &str) -> Vec<Bytes> {
        let heard = self.heard.lock().expect("not poisoned");
        heard.iter().filter(|(line, _)| line == path).map(|(_, body)| body.clone()).collect()
    }

    fn member(&self, name: &str) -> Member {
        member(name, self.address)
    }
}

pub(super) fn member(name: &str, address: SocketAddr) -> Member {
    let mut config = RemoteConfig::new(parse(&format!("http://{address}")));
    config.verify_timeout = Duration::from_millis(400);
    config.settle_timeout = Duration::from_millis(400);
    let pause = Duration::from_millis(200);
    let settings = BreakerSettings { pause, longest: pause, ..MEMBER_BREAKER };
    Member::remote(name, Arc::new(Remote::new(config).expect("usable")), settings)
}

/// An address at which no server listens.
async fn closed_address() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    listener.local_addr().expect("an address")
}

async fn pair() -> (Scripted, Scripted, FacilitatorPool) {
    let (a, b) = (Scripted::honest(0xa0).await, Scripted::honest(0xb0).await);
    let pool = FacilitatorPool::new(vec![a.member("a"), b.member("b")]);
    (a, b, pool)
}

#[track_caller]
fn assert_settled_by(settlement: &Settlement, byte: u8) {
    match settlement {
        Settlement::Settled { settlement: settled, .. } => {
            assert_eq!(settled.transaction, B256::repeat_byte(byte).to_string())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_the_preferred_member_is_called() {
    let (a, b, pool) = pair().await;
    assert!(matches!(pool.verify(&payment(1)).await, Verification::Valid { .. }));
    assert_settled_by(&pool.settle(&payment(1)).await, 0xa0);
    assert_eq!((a.heard("/verify").len(), a.heard("/settle").len()), (1, 1));
    assert!(b.heard("/verify").is_empty() && b.heard("/settle").is_empty());
}

#[tokio::test]
async fn a_verification_goes_to_the_next_member_and_its_settlement_with_it() {
    let (a, b, pool) = pair().await;
    a.on_verify(DOWN);
    assert!(matches!(pool.verify(&payment(1)).await, Verification::Valid { .. }));
    assert_settled_by(&pool.settle(&payment(1)).await, 0xb0);
    assert!(a.heard("/settle").is_empty(), "it has not seen the payment valid");
    a.on_verify((200, "{\"isValid\":false,\"invalidReason\":\"insufficient_funds\"}"));
    let verification = pool.verify(&payment(2)).await;
    assert!(matches!(verification, Verification::Invalid { .. }), "a refusal is an answer: {verification:?}");
    assert_eq!(b.heard("/verify").len(), 1);
    a.on_verify(DOWN);
    b.on_verify(DOWN);
    let Verification::Unavailable(error) = pool.verify(&payment(3)).await else { panic!("no member answers") };
    assert!(error.message.contains("a: ") && error.message.contains("b: "), "{error}");
}

#[tokio::test]
async fn a_settlement_that_was_never_sent_goes_to_the_next_member() {
    let b = Scripted::honest(0xb0).await;
    let pool = FacilitatorPool::new(vec![member("a", closed_address().await), b.member("b")]);
    assert_settled_by(&pool.settle(&payment(1)).await, 0xb0);
    // From then on the payment stays at the second member, even if the first answers again.
    assert_settled_by(&pool.settle(&payment(1)).await, 0xb0);
    assert_eq!(b.heard("/settle").len(), 2);
}

#[tokio::test]
async fn a_settlement_that_may_have_arrived_never_goes_elsewhere() {
    for says in [
        None,
        Some((500, json!("broken"))),
        Some((200, json!({"success": true}))),
        Some((200, json!({"success": false, "errorReason": "settlement_pending"}))),
    ] {
        let (a, b, pool) = pair().await;
        a.on_settle(says.clone());
        assert!(matches!(pool.verify(&payment(1)).await, Verification::Valid { .. }));
        for _ in 0..2 {
            let settlement = pool.settle(&payment(1)).await;
            assert!(matches!(settlement, Settlement::Unknown { .. }), "{says:?}: {settlement:?}");
        }
        // The member answers again, and reports the end of the settlement.
        let hash = B256::repeat_byte(0xa0);
        a.on_settle(Some((
            200,
            json!({"success": true, "payer": PAYER, "transaction": hash, "network": "eip155:84532"}),
        )));
        assert_settled_by(&pool.settle(&payment(1)).await, 0xa0);
        assert!(b.heard("/settle").is_empty(), "{says:?}");
        let bodies = a.heard("/settle");
        // What is pending is asked for once more by each of the first two calls.
        let is_pending = says.as_ref().is_some_and(|(_, body)| body["errorReason"] == "settlement_pending");
        let expected = if is_pending { 5 } else { 3 };
        assert!(bodies.len() == expected && bodies.iter().all(|body| *body == bodies[0]), "{says:?}: the same bytes");
    }
}

#[tokio::test]
async fn failures_open_a_members_circuit_and_a_trial_closes_it() {
    let (a, b, pool) = pair().await;
    a.on_verify(DOWN);
    for nonce in 0..6 {
        assert!(matches!(pool.verify(&payment(nonce)).await, Verification::Valid { .. }));
    }
    assert_eq!(a.heard("/verify").len(), 3, "and no more");
    assert_eq!(b.heard("/verify").len(), 6);
    tokio::time::sleep(Duration::from_millis(250)).await;
    a.on_verify(VALID);
    assert!(matches!(pool.verify(&payment(7)).await, Verification::Valid { .. }));
    assert!(matches!(pool.verify(&payment(8)).await, Verification::Valid { .. }));
    assert_eq!((a.heard("/verify").len(), b.heard("/verify").len()), (5, 6));
}

#[tokio::test]
async fn a_payment_waits_for_the_member_that_may_have_it_while_its_circuit_is_open() {
    let (a, b, pool) = pair().await;
    a.on_settle(None);
    assert!(matches!(pool.settle(&payment(1)).await, Settlement::Unknown { .. }));
    a.on_verify(DOWN);
    for nonce in 2..5 {
        assert!(matches!(pool.verify(&payment(nonce)).await, Verification::Valid { .. }));
    }
    let settlement = pool.settle(&payment(1)).await;
    let Settlement::Unknown { message, .. } = settlement else { panic!("{settlement:?}") };
    assert!(message.contains("a: its circuit is open"), "{message}");
    assert_eq!(a.heard("/settle").len(), 1);
    assert_settled_by(&pool.settle(&payment(5)).await, 0xb0);
    assert_eq!(b.heard("/settle").len(), 1, "another payment does not wait");
}

#[tokio::test]
async fn a_settlement_is_tried_even_if_every_circuit_is_open() {
    let a = Scripted::honest(0xa0).await;
    let pool = FacilitatorPool::new(vec![a.member("a")]);
    assert!(matches!(pool.verify(&payment(1)).await, Verification::Valid { .. }));
    a.on_verify(DOWN);
    for nonce in 2..6 {
        assert!(matches!(pool.verify(&payment(nonce)).await, Verification::Unavailable(_)));
    }
    assert_eq!(a.heard("/verify").len(), 4, "the last was not asked");
    assert_settled_by(&pool.settle(&payment(1)).await, 0xa0);
}

#[tokio::test]
async fn pools_share_the_circuit_of_a_member() {
    let (a, b) = (Scripted::honest(0xa0).await, Scripted::honest(0xb0).await);
    let (first, second) = (a.member("a"), b.member("b"));
    let one = FacilitatorPool::new(vec![first.clone(), second.clone()]);
    let other = FacilitatorPool::new(vec![first, second]);
    a.on_verify(DOWN);
    for nonce in 0..3 {
        assert!(matches!(one.verify(&payment(nonce)).await, Verification::Valid { .. }));
    }
    assert!(matches!(other.verify(&payment(4)).await, Verification::Valid { .. }));
    assert_eq!(a.heard("/verify").len(), 3);
}

/// A host asked for money although its only facilitator did not answer: its readiness did not know.
#[tokio::test]
async fn a_pool_is_down_while_no_member_answers_and_a_look_closes_the_circuit() {
    let a = Scripted::honest(0xa0).await;
    let pool = Arc::new(FacilitatorPool::new(vec![a.member("a")]));
    assert_eq!(pool.readiness(), Readiness::Ready);
    a.on_verify(DOWN);
    for nonce in 1..4 {
        assert!(matches!(pool.verify(&payment(nonce)).await, Verification::Unavailable(_)));
    }
    assert_eq!(pool.readiness(), Readiness::Down);
    // The pause of the circuit alone shows nothing.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pool.readiness(), Readiness::Down);
    let watched = pool.clone();
    let watch = tokio::spawn(async move { watched.watch().await });
    while a.heard("/supported").is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(pool.readiness(), Readiness::Down);
    a.on_verify(VALID);
    while pool.readiness() != Readiness::Ready {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    watch.abort();
    assert_eq!(a.heard("/verify").len(), 3, "no payment was needed for it");
}

#[tokio::test]
async fn what_was_provably_not_sent_is_told_from_what_is_unknown() {
    let gone = closed_address().await;
    for members in [vec![member("a", gone)], vec![member("a", gone), member("b", gone)]] {
        let pool = FacilitatorPool::new(members);
        for _ in 0..2 {
            let settlement = pool.settle(&payment(1)).await;
            assert!(matches!(settlement, Settlement::NotSent { .. }), "{settlement:?}");
        }
    }
    // After one settlement that may have arrived, no later one of the payment is called unsent.
    let a = Scripted::honest(0xa0).await;
    let pool = FacilitatorPool::new(vec![a.member("a")]);
    a.on_settle(None);
    assert!(matches!(pool.settle(&payment(1)).await, Settlement::Unknown { .. }));
    a.on_verify(DOWN);
    for nonce in 2..6 {
        drop(pool.verify(&payment(nonce)).await);
    }
    let settlement = pool.settle(&payment(1)).await;
    assert!(matches!(settlement, Settlement::Unknown { .. }), "{settlement:?}");
}

#[tokio::test]
async fn one_transaction_for_two_payments_is_no_failure_of_the_circuit() {
    let a = Scripted::honest(0xa0).await;
    let pool = FacilitatorPool::new(vec![a.member("a")]);
    assert_settled_by(&pool.settle(&payment(1)).await, 0xa0);
    for nonce in 2..8 {
        let settlement = pool.settle(&payment(nonce)).await;
        let Settlement::Unknown { transaction, .. } = settlement else { panic!("{settlement:?}") };
        assert_eq!(transaction, Some(B256::repeat_byte(0xa0).to_string()));
    }
    assert_eq!(pool.readiness(), Readiness::Ready);
    assert_settled_by(&pool.settle(&payment(1)).await, 0xa0);
}

/// A client paused the only facilitator for everybody, with payments that the facilitator could not read.
#[tokio::test]
async fn an_objection_to_one_payment_is_no_failure_of_the_circuit() {
    let a = Scripted::honest(0xa0).await;
    let pool = FacilitatorPool::new(vec![a.member("a")]);
    for (status, body) in
        [(400, "{\"error\":\"bad request\"}"), (422, "<html>"), (413, ""), (400, "{\"isValid\":true}")]
    {
        a.on_verify((status, body));
        a.on_settle(Some((status, json!("not as agreed"))));
        for nonce in 1..5 {
            let verdict = pool.verify(&payment(nonce)).await;
            assert!(matches!(verdict, Verification::Unavailable(_)), "{status}: {verdict:?}");
            let settlement = pool.settle(&payment(nonce)).await;
            assert!(matches!(settlement, Settlement::Unknown { .. }), "{status}: {settlement:?}");
        }
    }
    assert_eq!(pool.readiness(), Readiness::Ready);
    assert_eq!((a.heard("/verify").len(), a.heard("/settle").len()), (16, 16), "each was asked for");
}

#[tokio::test]
async fn a_status_that_is_about_the_facilitator_opens_its_circuit() {
    for status in [401, 402, 403, 404, 408, 429, 500, 503] {
        let a = Scripted::honest(0xa0).await;
        let pool = FacilitatorPool::new(vec![a.member("a")]);
        a.on_verify((status, "{\"error\":\"no\"}"));
        for nonce in 1..5 {
            assert!(matches!(pool.verify(&payment(nonce)).await, Verification::Unavailable(_)), "{status}");
        }
        assert_eq!((pool.readiness(), a.heard("/verify").len()), (Readiness::Down, 3), "{status}");
    }
}

fn stranger(number: u16) -> PaymentRequest {
    payment_of(Address::left_padding_from(&number.to_be_bytes()), 1)
}

/// A few verifications by keys without money, at which a facilitator failed with 500, stopped the sales to everybody.
#[tokio::test]
async fn a_facilitator_that_fails_for_some_payers_is_there_for_the_others() {
    let a = Scripted::honest(0xa0).await;
    a.fails_for_strangers.store(true, Relaxed);
    let pool = FacilitatorPool::new(vec![a.member("a")]);
    let begun = Instant::now();
    for number in 0..300 {
        assert!(matches!(pool.verify(&stranger(number)).await, Verification::Unavailable(_)));
        assert_eq!(pool.readiness(), Readiness::Ready, "after {number}");
    }
    let looks = a.heard("/supported").len();
    assert!((1..=1 + begun.elapsed().as_secs() as usize).contains(&looks), "{looks} looks");
    assert_eq!(a.heard("/verify").len(), 300, "each was asked for");
    assert!(matches!(pool.verify(&payment(1)).await, Verification::Valid { .. }));
    assert_settled_by(&pool.settle(&payment(1)).await, 0xa0);
}

/// One payer, who had eight payments verified with the money for one, and a facilitator that answers 500 to a
/// settlement without money: the circuit opened, and recovery, which sent the payments again, kept it open for minutes.
#[tokio::test]
async fn settlements_of_one_payer_that_fail_do_not_open_the_circuit_however_often_they_are_sent() {
    for is_answered in [true, false] {
        let a = Scripted::honest(0xa0).await;
        a.on_settle(is_answered.then(|| (500, json!({"error": "no"}))));
        let pool = FacilitatorPool::new(vec![a.member("a")]);
        for sendings in 1..=2 {
            for nonce in 1..=4 {
                assert!(matches!(pool.settle(&payment(nonce)).await, Settlement::Unknown { .. }));
                assert_eq!(pool.readiness(), Readiness::Ready);
            }
            assert_eq!(a.heard("/settle").len(), 4 * sendings, "each was sent");
        }
        for number in 1..=2 {
            assert_eq!(pool.readiness(), Readiness::Ready);
            assert!(matches!(pool.settle(&stranger(number)).await, Settlement::Unknown { .. }));
        }
        assert_eq!(pool.readiness(), Readiness::Down, "three payers in a row");
    }
}

/// The verification before each settlement was a success, which ended the failures in a row: a facilitator that
/// verified everything and settled nothing was sold through for ever, to clients that waited 25 seconds each.
#[tokio::test]
async fn a_facilitator_that_verifies_and_settles_nothing_has_its_circuit_opened() {
    let a = Scripted::honest(0xa0).await;
    a.on_settle(Some((500, json!({"error": "no"}))));
    let pool = FacilitatorPool::new(vec![a.member("a")]);
    for number in 1..=3 {
        assert_eq!(pool.readiness(), Readiness::Ready);
        assert!(matches!(pool.verify(&payment(1)).await, Verification::Valid { .. }));
        assert!(matches!(pool.settle(&stranger(number)).await, Settlement::Unknown { .. }));
    }
    assert_eq!(pool.readiness(), Readiness::Down, "three payers in a row");
}

/// A payment that is sent again took the place of every trial, and failed it.
#[tokio::test]
async fn a_settlement_that_is_sent_again_is_never_the_trial_of_an_open_circuit() {
    let a = Scripted::honest(0xa0).await;
    a.on_settle(Some((500, json!({"error": "no"}))));
    let pool = FacilitatorPool::new(vec![a.member("a")]);
    assert!(matches!(pool.settle(&payment(1)).await, Settlement::Unknown { .. }));
    for number in 1..=2 {
        drop(pool.settle(&stranger(number)).await);
    }
    assert_eq!(pool.readiness(), Readiness::Down);
    tokio::time::sleep(Duration::from_millis(250)).await;
    let settlement = pool.settle(&payment(1)).await;
    let Settlement::Unknown { message, .. } = settlement else { panic!("{settlement:?}") };
    assert!(message.contains("its circuit is open"), "{message}");
    assert!(matches!(pool.verify(&payment(2)).await, Verification::Valid { .. }), "the trial");
    assert_eq!(pool.readiness(), Readiness::Ready);
    assert!(matches!(pool.settle(&payment(1)).await, Settlement::Unknown { .. }));
    assert_eq!((a.heard("/settle").len(), pool.readiness()), (4, Readiness::Ready), "sent, and not counted");
}

/// The same payments as the trial of a circuit that was open for a better reason.
#[tokio::test]
async fn a_trial_that_fails_for_its_own_payer_closes_the_circuit_if_the_facilitator_answers() {
    let a = Scripted::honest(0xa0).await;
    a.fails_for_strangers.store(true, Relaxed);
    *a.verify.lock().expect("not poisoned") = None;
    let pool = FacilitatorPool::new(vec![a.member("a")]);
    for nonce in 1..4 {
        assert!(matches!(pool.verify(&payment(nonce)).await, Verification::Unavailable(_)));
    }
    assert_eq!(pool.readiness(), Readiness::Down, "it hangs");
    a.on_verify(VALID);
    while a.heard("/verify").len() < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(matches!(pool.verify(&stranger(1)).await, Verification::Unavailable(_)));
    }
    for number in 2..20 {
        assert!(matches!(pool.verify(&stranger(number)).await, Verification::Unavailable(_)));
    }
    assert_eq!(pool.readiness(), Readiness::Ready);
    assert!(matches!(pool.verify(&payment(4)).await, Verification::Valid { .. }));
}

#[tokio::test]
async fn a_facilitator_that_answers_500_to_everything_has_its_circuit_opened() {
    let a = Scripted::honest(0xa0).await;
    let pool = FacilitatorPool::new(vec![a.member("a")]);
    for down in [(500, "{\"error\":\"no\"}"), DOWN] {
        // It answers, and later fails altogether: a look of a moment ago does not count for long.
        a.on_verify(VALID);
        a.fails_for_strangers.store(true, Relaxed);
        for number in 0..10 {
            drop(pool.verify(&stranger(number)).await);
        }
        while !matches!(pool.verify(&payment(1)).await, Verification::Valid { .. }) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(pool.readiness(), Readiness::Ready);
        a.fails_for_strangers.store(false, Relaxed);
        a.on_verify(down);
        let begun = Instant::now();
        while pool.readiness() != Readiness::Down {
            assert!(matches!(pool.verify(&payment(2)).await, Verification::Unavailable(_)));
            assert!(begun.elapsed() < Duration::from_secs(20), "{down:?}: the circuit stays closed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
