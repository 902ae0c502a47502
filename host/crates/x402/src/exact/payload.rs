//! The payload of an `exact` payment.

use std::str::FromStr;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::Value;

use super::Authorization;
use crate::{Object, Reason, uint256};

/// The `payload` of an `exact` payment on EVM, parsed and still untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactPayload {
    /// 65 bytes for a plain account, anything for a contract wallet.
    pub signature: Bytes,
    /// The signed authorisation.
    pub authorization: Authorization,
}

impl ExactPayload {
    /// Parses the payload. Numbers are canonical decimal strings below 2^256; addresses, the nonce and the signature
    /// are `0x` hex. Further keys are ignored.
    ///
    /// Fails with [`Reason::UnsupportedPayloadType`] for a payload of another transfer method (Permit2, ERC-7710), and
    /// with [`Reason::InvalidPayload`] for any other defect.
    pub fn parse(payload: &Object) -> Result<Self, Reason> {
        let Some(authorization) = payload.get("authorization") else {
            let other_method = ["permit2Authorization", "delegationManager"];
            return Err(if other_method.iter().any(|key| payload.contains_key(*key)) {
                Reason::UnsupportedPayloadType
            } else {
                Reason::InvalidPayload
            });
        };
        let fields = authorization.as_object().ok_or(Reason::InvalidPayload)?;
        Ok(Self {
            signature: hex_field(payload, "signature", |digits| hex::decode(digits).ok())?.into(),
            authorization: Authorization {
                from: hex_field(fields, "from", |digits| Address::from_str(digits).ok())?,
                to: hex_field(fields, "to", |digits| Address::from_str(digits).ok())?,
                value: number_field(fields, "value")?,
                valid_after: number_field(fields, "validAfter")?,
                valid_before: number_field(fields, "validBefore")?,
                nonce: hex_field(fields, "nonce", |digits| B256::from_str(digits).ok())?,
            },
        })
    }
}

fn number_field(fields: &Object, key: &str) -> Result<U256, Reason> {
    fields.get(key).and_then(Value::as_str).and_then(uint256).ok_or(Reason::InvalidPayload)
}

/// Reads a `0x` field. `read` gets the digits without the prefix, and no second prefix: the libraries accept one.
fn hex_field<T>(fields: &Object, key: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Reason> {
    fields
        .get(key)
        .and_then(Value::as_str)
        .and_then(|text| text.strip_prefix("0x"))
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(read)
        .ok_or(Reason::InvalidPayload)
}
