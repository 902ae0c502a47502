//! What a paid request costs before anything remote is asked: decode the header, match the offer,
//! parse the authorisation, check its window, hash it and recover its signer. The goal is below
//! 150 microseconds for the whole.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::str::FromStr;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256, keccak256};
use coinslot_x402::exact::{self, Authorization, Domain, ExactPayload, ExpectedTerms, SignedBy};
use coinslot_x402::header::{self, PaymentPayload};
use coinslot_x402::price::{Amount, Asset, Offer, Price};
use coinslot_x402::{Flow, Network, UnixTime, Version, Versions, v2};
use criterion::{Criterion, criterion_group, criterion_main};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::json;

const NOW: UnixTime = UnixTime(1_750_000_000);

struct Payments {
    offered: v2::PaymentRequirements,
    domain: Domain,
    terms: ExpectedTerms,
}

impl Payments {
    /// The whole local verification, as a paid request goes through it.
    fn verify(&self, value: &[u8]) -> bool {
        let Ok(PaymentPayload::V2(payment)) = header::decode(Version::V2, value) else {
            return false;
        };
        if !payment.accepts(&self.offered) {
            return false;
        }
        let Ok(payload) = ExactPayload::parse(&payment.payload) else {
            return false;
        };
        if payload.authorization.check(&self.terms, NOW).is_err() {
            return false;
        }
        let digest = self.domain.digest(&payload.authorization);
        exact::signed_by(digest, &payload) == SignedBy::Payer
    }
}

fn till() -> Payments {
    let network = Network::eip155(84532);
    let asset = Asset::known(&network, None).expect("Base Sepolia is known");
    let contract = Address::from_str(&asset.address).expect("an address");
    let pay_to = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    let amount = U256::from(10_000);
    let price = Price {
        amount: Amount(amount),
        asset: Arc::new(asset),
        pay_to: pay_to.into(),
        max_timeout_seconds: 60,
        flow: Flow::Authorization,
        quote: None,
        versions: Versions::Both,
    };
    let offer = Offer::new(vec![price]).expect("one price");
    Payments {
        offered: offer.prices()[0].requirements(),
        domain: Domain::new("USDC", "2", 84532, contract),
        terms: ExpectedTerms {
            pay_to: Address::from_str(pay_to).expect("an address"),
            amount,
            max_timeout_seconds: 60,
            skew_seconds: 30,
        },
    }
}

/// A payment as a stock client sends it, its resource and extensions included.
fn payment(till: &Payments) -> String {
    let key = SecretKey::from_byte_array([7; 32]).expect("below the order");
    let public = key.public_key(SECP256K1).serialize_uncompressed();
    let authorization = Authorization {
        from: Address::from_word(keccak256(&public[1..])),
        to: till.terms.pay_to,
        value: till.terms.amount,
        valid_after: U256::ZERO,
        valid_before: U256::from(NOW.0 + 60),
        nonce: B256::repeat_byte(0x5a),
    };
    let digest = till.domain.digest(&authorization);
    let (id, compact) = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &key).serialize_compact();
    let signature = format!("0x{}{:02x}", hex::encode(compact), 27 + i32::from(id));
    header::encode(&json!({
        "x402Version": 2,
        "resource": {
            "url": "http://127.0.0.1:8402/api/gitignore?stack=rust",
            "description": "A .gitignore for any union of stacks",
            "mimeType": "text/plain"
        },
        "accepted": till.offered,
        "payload": {
            "signature": signature,
            "authorization": {
                "from": authorization.from.to_checksum(None),
                "to": authorization.to.to_checksum(None),
                "value": authorization.value.to_string(),
                "validAfter": authorization.valid_after.to_string(),
                "validBefore": authorization.valid_before.to_string(),
                "nonce": authorization.nonce.to_string()
            }
        },
        "extensions": {}
    }))
}

fn verify(c: &mut Criterion) {
    let till = till();
    let value = payment(&till);
    assert!(till.verify(value.as_bytes()), "the payment must be good, or this measures a refusal");

    let mut group = c.benchmark_group("verify");
    group.bench_function("whole", |b| b.iter(|| till.verify(black_box(value.as_bytes()))));
    group.bench_function("decode", |b| {
        b.iter(|| header::decode(Version::V2, black_box(value.as_bytes())));
    });

    let Ok(PaymentPayload::V2(decoded)) = header::decode(Version::V2, value.as_bytes()) else {
        unreachable!("it was good above")
    };
    group.bench_function("match", |b| b.iter(|| black_box(&decoded).accepts(&till.offered)));
    let payload = ExactPayload::parse(&decoded.payload).expect("it was good above");
    group.bench_function("digest", |b| b.iter(|| till.domain.digest(black_box(&payload.authorization))));
    let digest = till.domain.digest(&payload.authorization);
    group.bench_function("recover", |b| b.iter(|| exact::signed_by(digest, black_box(&payload))));
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
