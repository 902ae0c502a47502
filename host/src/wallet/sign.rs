//! Signs payments.

use alloy::primitives::{Address, B256, U256};
use coinslot_evm::{Key, KeyError};
use coinslot_x402::exact::{Authorization, Domain};
use coinslot_x402::{Object, UnixTime, Version, header};
use serde_json::{Value, json};

use super::{PaymentOption, ReceivedChallenge};

/// The longest validity of an authorisation in seconds, whatever the seller asks for.
const MAX_VALIDITY: u64 = 3_600;

/// The age of an authorisation that version 1 sellers expect, in seconds.
const V1_AGE: u64 = 600;

/// A signed payment. To send it again is the same payment, which moves money once.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPayment {
    /// The name of its header: `payment-signature` or `x-payment`.
    pub header: &'static str,
    /// The value of its header.
    pub value: String,
    pub payer: Address,
    pub nonce: B256,
    /// The time until which the seller can take the money.
    pub expires: UnixTime,
}

impl std::fmt::Debug for SignedPayment {
    /// Leaves out the signature, which is as good as the money.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedPayment").field("payer", &self.payer).field("nonce", &self.nonce).finish_non_exhaustive()
    }
}

/// Signs the payment of one option of the challenge.
///
/// Version 1 sellers expect an authorisation that has been valid for ten minutes, version 2 sellers one without a
/// beginning.
pub fn sign(
    key: &Key,
    challenge: &ReceivedChallenge,
    option: &PaymentOption,
    now: UnixTime,
) -> Result<SignedPayment, KeyError> {
    let valid_after = match challenge.version {
        Version::V1 => now.0.saturating_sub(V1_AGE),
        Version::V2 => 0,
    };
    let expires = now.plus(option.max_timeout_seconds.min(MAX_VALIDITY));
    let authorization = Authorization {
        from: key.address(),
        to: option.pay_to,
        value: option.amount.0,
        valid_after: U256::from(valid_after),
        valid_before: U256::from(expires.0),
        nonce: B256::from(secp256k1::rand::random::<[u8; 32]>()),
    };
    let domain = Domain::new(&option.domain.name, &option.domain.version, option.chain_id, option.token);
    let signature = key.sign(domain.digest(&authorization))?;
    let payload = json!({
        "signature": format!("0x{}", hex::encode(signature.as_bytes())),
        "authorization": {
            "from": authorization.from.to_string(),
            "to": authorization.to.to_string(),
            "value": authorization.value.to_string(),
            "validAfter": authorization.valid_after.to_string(),
            "validBefore": authorization.valid_before.to_string(),
            "nonce": authorization.nonce.to_string(),
        },
    });
    let (header, document) = match challenge.version {
        Version::V1 => (header::X_PAYMENT, document_v1(option, payload)),
        Version::V2 => (header::PAYMENT_SIGNATURE, document_v2(challenge, option, payload)),
    };
    Ok(SignedPayment {
        header,
        value: header::encode(&document),
        payer: authorization.from,
        nonce: authorization.nonce,
        expires,
    })
}

/// The document of version 1, which names scheme and network.
fn document_v1(option: &PaymentOption, payload: Value) -> Object {
    let mut document = Object::new();
    document.insert("x402Version".to_owned(), 1.into());
    for key in ["scheme", "network"] {
        document.insert(key.to_owned(), option.raw.get(key).cloned().unwrap_or_default());
    }
    document.insert("payload".to_owned(), payload);
    document
}

/// The document of version 2, which echoes the challenge.
fn document_v2(challenge: &ReceivedChallenge, option: &PaymentOption, payload: Value) -> Object {
    let mut document = Object::new();
    document.insert("x402Version".to_owned(), 2.into());
    if let Some(resource) = &challenge.resource {
        document.insert("resource".to_owned(), resource.clone());
    }
    document.insert("accepted".to_owned(), option.raw.clone().into());
    document.insert("payload".to_owned(), payload);
    if let Some(extensions) = &challenge.extensions {
        document.insert("extensions".to_owned(), extensions.clone());
    }
    document
}
