//! Reads the head of an answer: what the result of a call says of it, and the payment requirements.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coinslot_x402::header;
use http::header::{HeaderMap, LOCATION, RETRY_AFTER};
use rmcp::model::MetaObject;
use serde_json::{Map, Value};

use super::super::trace_context::REQUEST_ID;
use crate::respond::CHARGED;

/// The settlement of a paid call, among the metadata of its result.
pub(super) const RECEIPT: &str = "x402/payment-response";
/// The facts of the answer that a result has no field for.
pub(super) const ANSWER: &str = "coinslot/answer";

/// The payment requirements of an answer, with the reason of a settlement that failed.
pub(super) fn required(headers: &HeaderMap) -> Option<Value> {
    let mut document = decoded(headers, header::PAYMENT_REQUIRED)?;
    let settlement = decoded(headers, header::PAYMENT_RESPONSE);
    if let Some(settlement) = settlement.filter(|settlement| settlement["success"] == false) {
        let reason = settlement["errorReason"].as_str().unwrap_or("unknown");
        document["error"] = format!("Payment settlement failed: {reason}").into();
    }
    Some(document)
}

/// The receipt, and what else the head of an answer says.
pub(super) fn meta(status: u16, headers: &HeaderMap) -> MetaObject {
    let mut meta = Map::new();
    let receipt = [header::PAYMENT_RESPONSE, header::X_PAYMENT_RESPONSE].into_iter();
    if let Some(receipt) = receipt.filter_map(|name| decoded(headers, name)).next() {
        meta.insert(RECEIPT.to_owned(), receipt);
    }
    let mut answer = Map::new();
    answer.insert("status".to_owned(), status.into());
    for (key, name) in [
        ("requestId", REQUEST_ID.as_str()),
        ("charged", CHARGED),
        ("paymentId", "x-coinslot-payment-id"),
        ("retryAfter", RETRY_AFTER.as_str()),
        ("location", LOCATION.as_str()),
        ("rateLimit", "ratelimit"),
    ] {
        if let Some(value) = text_of(headers, name) {
            answer.insert(key.to_owned(), value.into());
        }
    }
    meta.insert(ANSWER.to_owned(), answer.into());
    MetaObject(meta)
}

pub(super) fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The document in a header field of the host itself.
fn decoded(headers: &HeaderMap, name: &str) -> Option<Value> {
    let json = STANDARD.decode(headers.get(name)?.as_bytes()).ok()?;
    serde_json::from_slice(&json).ok().filter(Value::is_object)
}
