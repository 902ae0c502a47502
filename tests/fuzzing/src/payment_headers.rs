//! Payment headers: `X-PAYMENT` of version 1 and `PAYMENT-SIGNATURE` of version 2, decoded and matched with a price.
//!
//! The first byte of an input says what the others are: `1` and `2` the JSON of a payment of that version, and `a` and
//! `b` the value of the header of version 1 and 2 as it is sent.

use alloy::primitives::U256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coinslot_x402::exact::{ExactPayload, SETTLE_MARGIN_SECONDS, SignedBy, signed_by};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::header::{self, HeaderError, MAX_PAYMENT_HEADER, PaymentPayload};
use coinslot_x402::price::{Amount, ChallengeSecret, extensions};
use coinslot_x402::{Object, Version, identifier, v1, v2};
use serde_json::Value;

use crate::sale::{self, NOW};

/// Reads a payment, and checks that it says the same when it is written again, and buys nothing but what it pays for.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let version = if kind % 2 == 1 { Version::V1 } else { Version::V2 };
    let value = if kind.is_ascii_alphabetic() { rest.to_owned() } else { STANDARD.encode(rest).into_bytes() };
    let read = header::decode(version, &value);
    check_presence(version, &value, &read);
    match read {
        Err(error) => crate::assert_printable(&error.to_string(), 400),
        Ok(payload) => {
            check_written_again(version, &payload);
            check_exact(match &payload {
                PaymentPayload::V1(payload) => &payload.payload,
                PaymentPayload::V2(payload) => &payload.payload,
            });
            match payload {
                PaymentPayload::V1(payload) => check_v1(payload),
                PaymentPayload::V2(payload) => check_v2(payload),
            }
        }
    }
}

/// One header is what decoding it gives, and a second one of either version makes it ambiguous.
fn check_presence(version: Version, value: &[u8], read: &Result<PaymentPayload, HeaderError>) {
    let one = || std::iter::once(value);
    let none = || std::iter::empty::<&[u8]>();
    let alone = match version {
        Version::V1 => header::payment(none(), one(), none()),
        Version::V2 => header::payment(one(), none(), none()),
    };
    assert_eq!(alone, read.clone().map(Some));
    assert_eq!(header::payment(one(), one(), none()), Err(HeaderError::Ambiguous));
    assert_eq!(header::payment(one().chain(one()), none(), none()), Err(HeaderError::Ambiguous));
}

/// A payment is kept in the ledger and sent to facilitators as JSON: both must read the payment that was checked here.
fn check_written_again(version: Version, payload: &PaymentPayload) {
    let written = match payload {
        PaymentPayload::V1(payload) => header::encode(payload),
        PaymentPayload::V2(payload) => header::encode(payload),
    };
    if written.len() <= MAX_PAYMENT_HEADER {
        assert_eq!(header::decode(version, written.as_bytes()).as_ref(), Ok(payload));
    }
}

/// An authorisation that meets the terms moves exactly their amount, to their receiver, within their time.
fn check_exact(payload: &Object) {
    let Ok(exact) = ExactPayload::parse(payload) else { return };
    let (authorization, terms) = (&exact.authorization, sale::terms());
    if authorization.check(&terms, NOW).is_ok() {
        assert_eq!((authorization.value, authorization.to), (terms.amount, terms.pay_to));
        assert!(authorization.valid_after < U256::from(NOW.plus(terms.skew_seconds).0));
        assert!(authorization.valid_before >= U256::from(NOW.plus(SETTLE_MARGIN_SECONDS).0));
        let latest = NOW.plus(terms.skew_seconds + terms.max_timeout_seconds);
        assert!(authorization.valid_before <= U256::from(latest.0));
    }
    let domain = sale::domain(&sale::asset());
    let digest = domain.digest(authorization);
    if signed_by(digest, &exact) == SignedBy::Payer {
        let mut dearer = authorization.clone();
        dearer.value = dearer.value.wrapping_add(U256::from(1));
        assert_eq!(signed_by(domain.digest(&dearer), &exact), SignedBy::PerhapsContract, "one signature, two amounts");
    }
}

fn check_v1(payload: v1::PaymentPayload) {
    let requirements = sale::price().requirements_v1("http://127.0.0.1/", "", "").expect("the network has a name");
    check_request(&PaymentRequest::V1 { payload, requirements });
}

/// The echo of a client is of one price, and the secret leaves it whole.
fn check_v2(mut payload: v2::PaymentPayload) {
    let mut price = sale::price();
    let requirements = price.requirements();
    if payload.accepts(&requirements) {
        let field = |key: &str| payload.accepted.get(key).and_then(Value::as_str);
        assert_eq!(field("amount"), Some(requirements.amount.as_str()));
        assert_eq!(field("payTo"), Some(requirements.pay_to.as_str()));
        price.amount = Amount(U256::from(sale::AMOUNT + 1));
        assert!(!payload.accepts(&price.requirements()), "one echo, two amounts");
    }
    payload.echoes(Some(extensions()));
    if let Ok(Some(id)) = identifier::of(&payload) {
        crate::assert_printable(id, 128);
    }
    if ChallengeSecret::take(&mut payload.accepted).is_some() {
        assert_eq!(ChallengeSecret::take(&mut payload.accepted), None);
        assert!(payload.accepted["extra"].get("secret").is_none());
    }
    check_request(&PaymentRequest::V2 { payload, requirements, declaration: None });
}

/// The request to a facilitator reads as it was written, and keeps its fingerprint.
fn check_request(request: &PaymentRequest) {
    let json = serde_json::to_vec(request).expect("JSON with string keys");
    let again: PaymentRequest = serde_json::from_slice(&json).expect("what was written");
    assert_eq!(again, *request);
    assert_eq!(again.fingerprint(), request.fingerprint());
    assert_eq!(request.amount(), sale::AMOUNT.to_string());
    let _ = (request.named_payer(), request.payment_scheme(), request.payment_network());
}
