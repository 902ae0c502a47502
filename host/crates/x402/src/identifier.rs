//! The extension `payment-identifier`: the client's own name for a purchase.
//!
//! A client that signs again after a time-out repeats the identifier to say that it means the same purchase. Source:
//! x402 specification, extensions.

use serde_json::{Value, json};

use super::v2::PaymentPayload;

/// The extension's key in `extensions`.
pub const KEY: &str = "payment-identifier";

/// The extension's value in a challenge: identifiers are understood and not required.
pub fn advertised() -> Value {
    json!({
        "info": { "required": false },
        "schema": {
            "type": "object",
            "properties": { "id": { "type": "string", "pattern": "^[A-Za-z0-9_-]{16,128}$" } },
        },
    })
}

/// The error of a payment whose identifier has another form than the extension prescribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("extensions.payment-identifier.info.id: write 16 to 128 letters, digits, `_` and `-`")]
pub struct BadIdentifier;

/// Reads the identifier of a payment, if it has one.
pub fn of(payload: &PaymentPayload) -> Result<Option<&str>, BadIdentifier> {
    let extension = payload.extensions.as_ref().and_then(|extensions| extensions.get(KEY));
    match extension.and_then(|extension| extension.get("info")?.get("id")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if is_identifier(id) => Ok(Some(id)),
        Some(_) => Err(BadIdentifier),
    }
}

fn is_identifier(id: &str) -> bool {
    (16..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Object, X402Version};

    fn payload(extensions: Value) -> PaymentPayload {
        let Value::Object(extensions) = extensions else { panic!("an object") };
        PaymentPayload {
            x402_version: X402Version,
            resource: None,
            accepted: Object::new(),
            payload: Object::new(),
            extensions: Some(extensions),
        }
    }

    #[test]
    fn an_identifier_is_read_from_info() {
        let named = |id: Value| payload(json!({ "payment-identifier": { "info": { "required": false, "id": id } } }));
        assert_eq!(of(&named(json!("order-0123456789"))), Ok(Some("order-0123456789")));
        assert_eq!(of(&payload(json!({ "payment-identifier": advertised() }))), Ok(None));
        assert_eq!(of(&payload(json!({}))), Ok(None));
        for bad in [
            json!("short"),
            json!(7),
            json!("x".repeat(129)),
            json!("with space 123456"),
            json!("\u{e4}23456789012345678"),
        ] {
            assert_eq!(of(&named(bad.clone())), Err(BadIdentifier), "{bad}");
        }
    }
}
