//! Answers of facilitators: `/verify`, `/settle` and `/supported`.
//!
//! The first byte of an input says what was asked: `v`, `s` or `p`. The second is the version of the payment, `1` or
//! `2`. Three digits of the status follow, and then the body: `s2200{"success":true}`.

use alloy::primitives::Address;
use coinslot_facilitator::remote::fuzzing;
use coinslot_facilitator::{Finality, Settlement, Verification};
use coinslot_x402::facilitator::{PaymentRequest, Supported};
use coinslot_x402::{Network, Object, Version, X402Version, v1, v2};
use serde_json::{Value, json};

use crate::sale;

const PAYER: Address = Address::repeat_byte(0xab);
/// The longest texts that are kept of an answer, in bytes: 128 and 512 characters, and our own words before them.
const REASON: usize = 4 * 128;
const MESSAGE: usize = 4 * 512 + 100;
/// The longest JSON of a success that is passed on, in bytes. It ends in one header.
const SUCCESS: usize = 4 * 1_024;

/// Reads an answer, and checks that no success is believed that the body does not say of this very payment.
pub fn run(data: &[u8]) {
    let Some((head, body)) = data.split_at_checked(5) else { return };
    // A typed reader skips fields that it does not know, whatever escapes their texts have; this one refuses them. Then
    // nothing is compared.
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let request = request(if head[1] % 2 == 1 { Version::V1 } else { Version::V2 });
    let Ok(status) = std::str::from_utf8(&head[2..]).unwrap_or_default().parse() else { return };
    match head[0] {
        b'v' => {
            let verdict = fuzzing::verification(&request, status, body);
            let (Some(verdict), Some(said)) = (verdict, said) else { return };
            check_verdict(&verdict, status, &said);
        }
        b's' => {
            let settlement = fuzzing::settlement(&request, status, body);
            let (Some(settlement), Some(said)) = (settlement, said) else { return };
            check_settlement(&settlement, &request, status, &said);
        }
        _ => check_supported(body),
    }
}

fn request(version: Version) -> PaymentRequest {
    let payload = json!({ "signature": "0x01", "authorization": { "from": PAYER.to_string() } });
    let payload = payload.as_object().cloned().unwrap_or_default();
    let price = sale::price();
    match version {
        Version::V1 => PaymentRequest::V1 {
            payload: v1::PaymentPayload {
                x402_version: X402Version,
                scheme: "exact".to_owned(),
                network: "base-sepolia".to_owned(),
                payload,
            },
            requirements: price.requirements_v1("http://127.0.0.1/", "", "").expect("the network has a name"),
        },
        Version::V2 => PaymentRequest::V2 {
            payload: v2::PaymentPayload {
                x402_version: X402Version,
                resource: None,
                accepted: Object::new(),
                payload,
                extensions: None,
            },
            requirements: price.requirements(),
            declaration: None,
        },
    }
}

/// A payer that is named is the one that we know.
fn is_ours(payer: &Value) -> bool {
    match payer.as_str() {
        None => payer.is_null(),
        Some(named) => named.is_empty() || named.eq_ignore_ascii_case(&PAYER.to_string()),
    }
}

fn check_verdict(verdict: &Verification, status: u16, said: &Value) {
    match verdict {
        Verification::Valid { payer, .. } => {
            assert_eq!((status, &said["isValid"]), (200, &true.into()));
            assert!(is_ours(&said["payer"]) && payer.eq_ignore_ascii_case(&PAYER.to_string()));
        }
        Verification::Invalid { reason, message, payer } => {
            assert_eq!(said["isValid"], Value::from(false));
            assert!(!reason.is_empty() && reason.len() <= REASON);
            assert!(message.as_ref().is_none_or(|text| text.len() <= MESSAGE));
            assert!(payer.as_ref().is_none_or(|text| text.len() <= REASON));
        }
        Verification::Unavailable(why) => assert!(!why.message.is_empty()),
    }
}

fn check_settlement(settlement: &Settlement, request: &PaymentRequest, status: u16, said: &Value) {
    match settlement {
        Settlement::Settled { settlement, .. } => {
            assert_eq!((status, &said["success"]), (200, &true.into()));
            let network = &said["network"];
            assert_eq!(network.as_str().and_then(|name| Network::parse_v1(name).ok()), request.network());
            assert!(is_ours(&said["payer"]), "another payer");
            let amount = &said["amount"];
            assert!(amount.is_null() || *amount == request.amount(), "another amount");
            assert!(is_hash(&settlement.transaction));
            let said = &said["transaction"];
            assert_eq!(said.as_str().map(str::to_ascii_lowercase).as_ref(), Some(&settlement.transaction));
            assert!(serde_json::to_vec(settlement).is_ok_and(|json| json.len() <= SUCCESS));
        }
        Settlement::Refused { reason, message, transaction, finality } => {
            assert_eq!(said["success"], Value::from(false));
            assert!(!reason.is_empty() && reason.len() <= REASON);
            assert!(message.as_ref().is_none_or(|text| text.len() <= MESSAGE));
            assert!(transaction.is_empty() || is_hash(transaction));
            let said = &said["transaction"];
            let nothing = said.is_null() || *said == "";
            assert!(*finality != Finality::Final || nothing, "final, and a transaction was sent");
        }
        Settlement::Unknown { transaction, message, .. } => {
            assert!(transaction.as_deref().is_none_or(is_hash));
            assert!(!message.is_empty() && message.len() <= MESSAGE);
        }
        Settlement::SettledElsewhere { .. } | Settlement::NotSent { .. } => panic!("no answer says so: {settlement:?}"),
    }
}

/// A transaction of an EVM chain in the one spelling that the ledger knows.
fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_supported(body: &[u8]) {
    let Ok(supported) = serde_json::from_slice::<Supported>(body) else { return };
    let json = serde_json::to_vec(&supported).expect("JSON with string keys");
    let again: Supported = serde_json::from_slice(&json).expect("what was written");
    assert_eq!(again, supported);
    let network = Network::eip155(sale::CHAIN);
    for version in Version::ALL {
        if supported.has(version, "exact", &network) {
            assert!(supported.kinds.iter().any(|kind| kind.x402_version == version.number() && kind.scheme == "exact"));
        }
    }
    let _ = supported.kinds.iter().filter(|kind| kind.shares_transactions()).count();
}
