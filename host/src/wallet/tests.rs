use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use super::{ChallengeError, Declined, ReceivedChallenge, SpendingPolicy, sign};
use coinslot_evm::Key;
use coinslot_x402::exact::{Domain, ExactPayload, ExpectedTerms, SignedBy, signed_by};
use coinslot_x402::header::{self, PaymentPayload};
use coinslot_x402::price::Decimal;
use coinslot_x402::{Network, UnixTime, Version};

const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
const SELLER: Address = Address::repeat_byte(0x5e);
const NOW: UnixTime = UnixTime(1_800_000_000);

fn entry(amount: &str) -> Value {
    json!({
        "scheme": "exact", "network": "eip155:84532", "amount": amount, "asset": USDC,
        "payTo": SELLER, "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2", "own": [1]},
    })
}

fn v2(accepts: Vec<Value>) -> ReceivedChallenge {
    let document = json!({
        "x402Version": 2, "error": "Payment required", "resource": {"url": "http://127.0.0.1/x"},
        "accepts": accepts, "extensions": {"e": {"info": {}}},
    });
    ReceivedChallenge::read(Some(header::encode(&document).as_bytes()), b"").expect("readable")
}

fn v1(accepts: Vec<Value>) -> ReceivedChallenge {
    let document = json!({"x402Version": 1, "error": "", "accepts": accepts});
    ReceivedChallenge::read(None, document.to_string().as_bytes()).expect("readable")
}

fn policy(max: &str) -> SpendingPolicy {
    SpendingPolicy { max: Decimal::parse(max).expect("an amount"), networks: Vec::new() }
}

#[test]
fn a_version_2_payment_echoes_the_chosen_entry_and_is_signed_by_the_payer() {
    let challenge = v2(vec![entry("10000")]);
    let chosen = policy("0.10").choose(&challenge).expect("affordable");
    let key = Key::random();
    let signed = sign(&key, &challenge, chosen, NOW).expect("signed");
    assert_eq!(signed.header, header::PAYMENT_SIGNATURE);
    let Ok(PaymentPayload::V2(payload)) = header::decode(Version::V2, signed.value.as_bytes()) else {
        panic!("our own rules refuse it");
    };
    assert_eq!(Value::Object(payload.accepted), entry("10000"));
    assert_eq!(payload.resource, Some(json!({"url": "http://127.0.0.1/x"})));
    assert!(payload.extensions.is_some());
    check(&payload.payload, &key);
    assert!(!format!("{signed:?}").contains(&signed.value));
}

#[test]
fn a_version_1_payment_names_scheme_and_network() {
    let challenge = v1(vec![json!({
        "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "10000", "asset": USDC,
        "resource": "http://127.0.0.1/x", "description": "", "mimeType": "", "payTo": SELLER,
        "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"},
    })]);
    let chosen = policy("0.01").choose(&challenge).expect("affordable");
    let key = Key::random();
    let signed = sign(&key, &challenge, chosen, NOW).expect("signed");
    assert_eq!(signed.header, header::X_PAYMENT);
    let Ok(PaymentPayload::V1(payload)) = header::decode(Version::V1, signed.value.as_bytes()) else {
        panic!("our own rules refuse it");
    };
    assert_eq!((payload.scheme.as_str(), payload.network.as_str()), ("exact", "base-sepolia"));
    check(&payload.payload, &key);
}

fn check(payload: &coinslot_x402::Object, key: &Key) {
    let payload = ExactPayload::parse(payload).expect("well-formed");
    let terms = ExpectedTerms { pay_to: SELLER, amount: U256::from(10_000), max_timeout_seconds: 60, skew_seconds: 0 };
    assert_eq!(payload.authorization.check(&terms, NOW), Ok(()));
    assert_eq!(payload.authorization.from, key.address());
    let domain = Domain::new("USDC", "2", 84532, USDC.parse().expect("an address"));
    let digest = domain.digest(&payload.authorization);
    assert_eq!(signed_by(digest, &payload), SignedBy::Payer);
}

#[test]
fn two_payments_never_share_a_nonce() {
    let challenge = v2(vec![entry("1")]);
    let key = Key::random();
    let nonces: std::collections::HashSet<_> =
        (0..50).map(|_| sign(&key, &challenge, &challenge.options[0], NOW).expect("signed").nonce).collect();
    assert_eq!(nonces.len(), 50);
}

#[test]
fn the_first_affordable_entry_is_chosen_and_nothing_above_the_limit() {
    let challenge = v2(vec![entry("200000"), entry("90000"), entry("1")]);
    let chosen = policy("0.10").choose(&challenge).expect("affordable");
    assert_eq!(chosen.amount.0, U256::from(90_000));
    let declined = |max: &str| policy(max).choose(&v2(vec![entry("100001")])).expect_err("dear");
    assert_eq!(declined("0.10").to_string(), "the price is 0.100001 USDC on eip155:84532, above the limit of 0.10");
    assert!(matches!(declined("0"), Declined::TooDear { .. }));
    // A limit in another token says nothing about this one.
    assert!(matches!(declined("5 EURC"), Declined::NothingUsable(_)));
}

/// A server that has learnt an account by its sign-in could ask it for more.
#[test]
fn an_account_that_has_signed_in_pays_no_more_than_before() {
    let (before, cheaper, dearer) = (v2(vec![entry("1000")]), v2(vec![entry("999")]), v2(vec![entry("90000")]));
    let first = policy("0.10").to_sign_in(&before).expect("an option");
    assert!(policy("0.10").choose(&cheaper).expect("affordable").is_at_most(first));
    assert!(policy("0.10").choose(&before).expect("affordable").is_at_most(first));
    assert!(!policy("0.10").choose(&dearer).expect("affordable").is_at_most(first));
    // A pass costs nothing, so an account signs in also where the price is above its limit, but on its networks alone.
    assert!(policy("0").to_sign_in(&before).is_some());
    let elsewhere = SpendingPolicy { networks: vec![Network::eip155(8453)], ..policy("0.10") };
    assert_eq!(elsewhere.to_sign_in(&before), None);
}

#[test]
fn the_limit_is_inclusive() {
    let challenge = v2(vec![entry("100000")]);
    assert!(policy("0.10").choose(&challenge).is_ok());
}

#[test]
fn what_the_wallet_does_not_know_it_does_not_pay() {
    let changed = |key: &str, value: Value| {
        let mut changed = entry("1");
        changed[key] = value;
        changed
    };
    let cases = [
        changed("asset", json!(SELLER)),
        changed("asset", json!(7)),
        changed("scheme", json!("upto")),
        changed("network", json!("eip155:1234567")),
        changed("network", json!("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1")),
        changed("amount", json!(1)),
        changed("amount", json!("-1")),
        changed("amount", json!("1.5")),
        changed("payTo", json!("me")),
        changed("maxTimeoutSeconds", json!(0)),
        changed("extra", json!({"assetTransferMethod": "permit2"})),
        changed("extra", json!({"paymentFlow": "escrow"})),
        json!("entry"),
    ];
    for case in cases {
        let challenge = v2(vec![case.clone()]);
        assert!(challenge.options.is_empty(), "{case}");
        let declined = policy("1").choose(&challenge).expect_err("unknown");
        assert!(matches!(declined, Declined::NothingUsable(_)));
        assert!(!declined.to_string().is_empty());
    }
}

/// A seller may offer many ways to pay, of which the wallet reads the first 64.
#[test]
fn the_reason_why_nothing_is_paid_stays_short() {
    let mut odd = entry("1");
    odd["scheme"] = json!("upto");
    let challenge = v2(vec![odd; 64]);
    let declined = policy("1").choose(&challenge).expect_err("unknown").to_string();
    assert!(declined.ends_with("; and 59 more") && declined.len() < 500, "{declined}");
}

#[test]
fn a_network_can_be_insisted_on() {
    let challenge = v2(vec![entry("1")]);
    let mut policy = policy("1");
    policy.networks = vec![Network::eip155(84532)];
    assert!(policy.choose(&challenge).is_ok());
    policy.networks = vec![Network::eip155(8453)];
    let declined = policy.choose(&challenge).expect_err("elsewhere");
    assert!(declined.to_string().contains("eip155:8453"), "{declined}");
}

#[test]
fn an_authorisation_is_never_valid_for_days() {
    let mut long = entry("1");
    long["maxTimeoutSeconds"] = json!(u64::MAX);
    let challenge = v2(vec![long]);
    let signed = sign(&Key::random(), &challenge, &challenge.options[0], NOW).expect("signed");
    assert_eq!(signed.expires, NOW.plus(3_600));
}

#[test]
fn a_402_that_says_nothing_is_told_apart_from_one_that_says_nonsense() {
    let read = |header: Option<&str>, body: &str| {
        ReceivedChallenge::read(header.map(str::as_bytes), body.as_bytes()).expect_err("unreadable")
    };
    for body in ["", "payment required", "{}", "{\"x402Version\":2,\"accepts\":[]}"] {
        assert_eq!(read(None, body), ChallengeError::Missing, "{body}");
    }
    let wrong = header::encode(&json!({"x402Version": 1, "accepts": []}));
    for header in ["", "%%", "e30=", &wrong] {
        assert_eq!(read(Some(header), ""), ChallengeError::Malformed, "{header}");
    }
}
