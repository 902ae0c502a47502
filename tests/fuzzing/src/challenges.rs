//! Challenges: the 402 of a server as `coinslot pay` reads it, up to the signed payment.
//!
//! The first byte of an input says what the others are: `1` the body of version 1, `2` the JSON of the header of
//! version 2, and `b` that header as it is sent.

use alloy::primitives::U256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coinslot::wallet::{PaymentOption, ReceivedChallenge, SpendingPolicy, sign};
use coinslot_evm::Key;
use coinslot_x402::exact::{ExactPayload, SignedBy, signed_by};
use coinslot_x402::header::{self, PaymentPayload};
use coinslot_x402::price::{Amount, Decimal};
use coinslot_x402::{Network, Object, Version};

use crate::sale::{self, NOW};

/// A key that holds nothing.
const KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// Limits of a payer, and each in the units of a token with 6 decimals.
const LIMITS: [(&str, u64); 3] = [("0", 0), ("0.10", 100_000), ("1000", 1_000_000_000)];
/// The longest text of a server that is shown, in bytes: 300 characters and what stands around them.
const TEXT: usize = 4 * 300 + 200;

/// Reads a challenge, chooses within limits, and checks that the payment says no more than the chosen entry.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let header = match kind {
        b'1' => None,
        b'b' => Some(rest.to_owned()),
        _ => Some(STANDARD.encode(rest).into_bytes()),
    };
    let body = if header.is_none() { rest } else { b"" };
    let challenge = match ReceivedChallenge::read(header.as_deref(), body) {
        Ok(challenge) => challenge,
        Err(error) => return crate::assert_printable(&error.to_string(), TEXT),
    };
    for text in challenge.error.iter().chain(&challenge.unusable) {
        crate::assert_printable(text, TEXT);
    }
    for (max, units) in LIMITS {
        let max = Decimal::parse(max).expect("an amount");
        for network in [None, Some(Network::eip155(sale::CHAIN))] {
            let policy = SpendingPolicy { max: max.clone(), networks: network.into_iter().collect() };
            match policy.choose(&challenge) {
                Ok(chosen) => {
                    assert!(chosen.amount <= Amount(U256::from(units)), "{} above {units}", chosen.amount);
                    assert!(policy.networks.is_empty() || policy.networks.contains(&chosen.asset.network));
                    check_payment(&challenge, chosen);
                }
                Err(declined) => crate::assert_printable(&declined.to_string(), 64 * (TEXT + 2)),
            }
        }
    }
}

/// The signed payment moves the amount of the entry, in a token of the table, to the entry's receiver, within an hour.
fn check_payment(challenge: &ReceivedChallenge, option: &PaymentOption) {
    let key = Key::parse(KEY, "the constant").expect("a key");
    let signed = sign(&key, challenge, option, NOW).expect("a signature");
    let read = header::decode(challenge.version, signed.value.as_bytes());
    // The server's own fields are echoed, and may be what no server of ours reads: too long or too deep.
    let Ok(payload) = read else { return };
    let (payload, amount) = match &payload {
        PaymentPayload::V1(payload) => (&payload.payload, None),
        PaymentPayload::V2(payload) => (&payload.payload, payload.accepted.get("amount").cloned()),
    };
    if challenge.version == Version::V2 {
        assert_eq!(amount, Some(option.amount.to_string().into()));
    }
    check_authorization(payload, option, &key);
}

fn check_authorization(payload: &Object, option: &PaymentOption, key: &Key) {
    let exact = ExactPayload::parse(payload).expect("our own payload");
    let authorization = &exact.authorization;
    assert_eq!((authorization.value, authorization.to), (option.amount.0, option.pay_to));
    assert_eq!(authorization.from, key.address());
    assert!(authorization.valid_before <= U256::from(NOW.plus(3_600).0));
    assert_eq!(signed_by(sale::domain(&option.asset).digest(authorization), &exact), SignedBy::Payer);
}
