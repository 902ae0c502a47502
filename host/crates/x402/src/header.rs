//! Encodes and decodes x402 documents in HTTP headers: padded standard Base64 of UTF-8 JSON.
//!
//! Every published client reads the form that is written. Headers that are read come from outside: a header is measured
//! before it is decoded, must be a JSON object without duplicate keys, and is refused with a sentence that names fields
//! and never repeats their values.

mod json;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use serde::Serialize;
use serde_json::Value;

use super::{Object, Reason, Version, X402Version, v1, v2};

pub use json::MAX_DEPTH;

/// Response header of a 402 with a version 2 challenge.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// Request header with a version 2 payment.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// Response header with a version 2 settlement.
pub const PAYMENT_RESPONSE: &str = "payment-response";
/// Request header with a version 1 payment.
pub const X_PAYMENT: &str = "x-payment";
/// Response header with a version 1 settlement.
pub const X_PAYMENT_RESPONSE: &str = "x-payment-response";

/// Response header by which a handler tells a reference middleware the amount to settle. It never leaves the server.
const SETTLEMENT_OVERRIDES: &str = "settlement-overrides";
/// Response header of a facilitator with the results of extensions. It is for the server and never reaches a buyer.
const EXTENSION_RESPONSES: &str = "extension-responses";

/// True if a header, named in lower case, is one of payments: a header of the protocol, and every name that is
/// `payment` or begins with `payment-`, also after `x-`, since the protocol may use it one day.
pub fn is_payment_header(name: &str) -> bool {
    let payment = name.strip_prefix("x-").unwrap_or(name).strip_prefix("payment");
    payment.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        || matches!(name, SETTLEMENT_OVERRIDES | EXTENSION_RESPONSES)
}

/// The largest payment header that is decoded, in bytes. A payment echoes the challenge, which stays under 4 KiB, and
/// adds a signature, which has a few KiB for contract wallets.
pub const MAX_PAYMENT_HEADER: usize = 16 * 1024;

/// The payment of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentPayload {
    /// From `X-PAYMENT`.
    V1(v1::PaymentPayload),
    /// From `PAYMENT-SIGNATURE`.
    V2(v2::PaymentPayload),
}

/// The reason why a payment header cannot be read. Nothing was looked up or sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The request has more than one payment header, of either version.
    #[error("more than one payment header: send exactly one of PAYMENT-SIGNATURE and X-PAYMENT, once")]
    Ambiguous,
    /// The request has a credential of another payment protocol as well.
    #[error("an x402 payment and an `Authorization: Payment` credential in one request: send the x402 payment alone")]
    OtherProtocol,
    /// The header is longer than [`MAX_PAYMENT_HEADER`].
    #[error("the payment header has {0} bytes; at most {MAX_PAYMENT_HEADER} are read")]
    TooLarge(usize),
    /// The header is not standard Base64.
    #[error(
        "the payment header is not standard Base64: encode the JSON payload with the alphabet A-Z a-z 0-9 + / (not - and _, which are base64url)"
    )]
    NotBase64,
    /// The header looks like a transaction hash or another proof that x402 does not use.
    #[error(
        "the payment header is a transaction hash: x402 takes a signed authorization, Base64 of a JSON PaymentPayload, and settles it itself"
    )]
    TransactionHash,
    /// The header is Base64 of something else than a JSON object of the expected shape.
    #[error("the payment header is not a PaymentPayload: {0}")]
    NotPayload(String),
    /// The header belongs to another version than `x402Version` says.
    #[error(
        "the payment header carries x402Version {found}: version 1 goes into X-PAYMENT, version 2 into PAYMENT-SIGNATURE"
    )]
    Version { found: String },
}

impl HeaderError {
    /// The protocol's reason that is nearest to this error.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Version { .. } => Reason::InvalidX402Version,
            Self::Ambiguous
            | Self::OtherProtocol
            | Self::TooLarge(_)
            | Self::NotBase64
            | Self::TransactionHash
            | Self::NotPayload(_) => Reason::InvalidPayload,
        }
    }
}

/// Reads one JSON object by the rules of this module. None if it is none.
pub(crate) fn object(json: &[u8]) -> Option<Object> {
    json::object(json).ok()
}

/// Encodes a document for a header.
pub fn encode<T: Serialize>(document: &T) -> String {
    let json = serde_json::to_vec(document).expect("our documents have string keys and no failing serializers");
    STANDARD.encode(json)
}

/// Reads the payment of a request from the values of its `PAYMENT-SIGNATURE` (`signatures`) and `X-PAYMENT` (`legacy`)
/// headers. `None` if there is neither.
///
/// One request carries one payment: two values, of one header or of both, are refused before either is decoded, because
/// a proxy in front may have looked at the other one. A payment of another protocol among the values of `Authorization`
/// is refused, too; other credentials there are not about money.
pub fn payment<'h>(
    mut signatures: impl Iterator<Item = &'h [u8]>,
    mut legacy: impl Iterator<Item = &'h [u8]>,
    mut authorizations: impl Iterator<Item = &'h [u8]>,
) -> Result<Option<PaymentPayload>, HeaderError> {
    let (version, value) = match (signatures.next(), legacy.next()) {
        (None, None) => return Ok(None),
        (Some(value), None) => (Version::V2, value),
        (None, Some(value)) => (Version::V1, value),
        (Some(_), Some(_)) => return Err(HeaderError::Ambiguous),
    };
    if signatures.next().is_some() || legacy.next().is_some() {
        return Err(HeaderError::Ambiguous);
    }
    if authorizations.any(is_other_protocol) {
        return Err(HeaderError::OtherProtocol);
    }
    decode(version, value).map(Some)
}

/// Decodes one payment header of the given version.
///
/// The alphabet is the standard one; missing padding is tolerated, base64url and white space are not.
pub fn decode(version: Version, value: &[u8]) -> Result<PaymentPayload, HeaderError> {
    if value.len() > MAX_PAYMENT_HEADER {
        return Err(HeaderError::TooLarge(value.len()));
    }
    if is_joined(value) {
        return Err(HeaderError::Ambiguous);
    }
    if is_transaction_hash(value) {
        return Err(HeaderError::TransactionHash);
    }
    let json = STANDARD_PAD_INDIFFERENT.decode(value).map_err(|_| HeaderError::NotBase64)?;
    match json::object(&json) {
        Ok(document) => payload(version, document),
        Err(_) if is_solana_signature(value) => Err(HeaderError::TransactionHash),
        Err(error) => Err(HeaderError::NotPayload(error.to_string())),
    }
}

/// Gives a document its type, by hand: the errors of a derived `Deserialize` would quote the payload.
fn payload(version: Version, mut document: Object) -> Result<PaymentPayload, HeaderError> {
    expect_version(version, &document)?;
    let payload = take_object(&mut document, "payload")?;
    match version {
        Version::V1 => Ok(PaymentPayload::V1(v1::PaymentPayload {
            x402_version: X402Version,
            scheme: take_string(&mut document, "scheme")?,
            network: take_string(&mut document, "network")?,
            payload,
        })),
        Version::V2 => Ok(PaymentPayload::V2(v2::PaymentPayload {
            x402_version: X402Version,
            resource: document.shift_remove("resource").filter(|v| !v.is_null()),
            accepted: take_object(&mut document, "accepted")?,
            payload,
            extensions: match document.shift_remove("extensions") {
                None | Some(Value::Null) => None,
                Some(Value::Object(extensions)) => Some(extensions),
                Some(_) => return Err(not_payload("`extensions` is not an object")),
            },
        })),
    }
}

/// Checks that the document's version is a number, and that of its header.
fn expect_version(version: Version, document: &Object) -> Result<(), HeaderError> {
    let found = match document.get("x402Version") {
        Some(Value::Number(number)) if number.as_u64() == Some(version.number()) => return Ok(()),
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => format!("as {}", kind(other)),
        None => return Err(not_payload("`x402Version` is missing")),
    };
    Err(HeaderError::Version { found })
}

fn take_object(document: &mut Object, key: &str) -> Result<Object, HeaderError> {
    match document.shift_remove(key) {
        Some(Value::Object(object)) => Ok(object),
        other => Err(unusable(key, "an object", other.as_ref())),
    }
}

fn take_string(document: &mut Object, key: &str) -> Result<String, HeaderError> {
    match document.shift_remove(key) {
        Some(Value::String(text)) => Ok(text),
        other => Err(unusable(key, "a string", other.as_ref())),
    }
}

fn unusable(key: &str, expected: &str, found: Option<&Value>) -> HeaderError {
    HeaderError::NotPayload(match found {
        None => format!("`{key}` is missing"),
        Some(found) => format!("`{key}` is {}, not {expected}", kind(found)),
    })
}

fn not_payload(why: &str) -> HeaderError {
    HeaderError::NotPayload(why.to_owned())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// True if a proxy joined several header values into one. Base64 has no comma. Raw JSON has some, and is recognised so
/// that its sender learns the real mistake.
fn is_joined(value: &[u8]) -> bool {
    value.contains(&b',') && !matches!(value.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
}

/// True if a value of `Authorization` has a credential of the scheme `Payment`, alone or joined to another.
fn is_other_protocol(authorization: &[u8]) -> bool {
    authorization.split(|&byte| byte == b',').any(|credential| {
        let scheme = credential.trim_ascii_start().split(|&byte| byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"Payment")
    })
}

/// True if the value is 32 bytes of hex, with or without `0x`: payers who made an ordinary transfer send its hash.
fn is_transaction_hash(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"0x").unwrap_or(value);
    digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit)
}

/// True if the value may be 64 bytes of Base58. Base64 may look the same, so only values that do not decode to an
/// object are tested.
fn is_solana_signature(value: &[u8]) -> bool {
    (86..=88).contains(&value.len())
        && value.iter().all(|b| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l'))
}
