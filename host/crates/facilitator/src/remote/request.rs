//! Writes the bodies of requests to a facilitator: the payment, the requirements, and nothing else that a client wrote.
//!
//! A client may put anything beside its payment. A facilitator that validates what it gets would refuse our request for
//! it, which looks like a failure of the facilitator and closes the shop for everybody; one that keeps a catalogue would
//! list it in the seller's name.

use coinslot_x402::Object;
use coinslot_x402::facilitator::PaymentRequest;
use serde_json::Value;
use url::Url;

/// The signed parts of an EIP-3009 payment. Source: x402 specification of the scheme `exact` on EVM.
const PAYLOAD: &[&str] = &["signature", "authorization"];
const AUTHORIZATION: &[&str] = &["from", "to", "value", "validAfter", "validBefore", "nonce"];

/// The texts that describe a resource. Source: x402 specification v2, section 5.1.2.
const RESOURCE: &[&str] = &["url", "description", "mimeType"];

/// The body of `/verify` and `/settle`. The same payment has the same bytes each time: keys stand in the
/// order in which they came, and nothing depends on the clock.
pub(super) fn body(payment: &PaymentRequest, strip_query: bool) -> Result<Vec<u8>, serde_json::Error> {
    let mut payment = payment.clone();
    match &mut payment {
        PaymentRequest::V1 { payload, requirements } => {
            keep_signed(&mut payload.payload);
            if strip_query {
                strip(&mut requirements.resource);
            }
        }
        PaymentRequest::V2 { payload, requirements } => {
            keep_signed(&mut payload.payload);
            payload.accepted = serde_json::from_value(serde_json::to_value(requirements)?)?; // the echo equals it
            payload.resource = payload.resource.take().and_then(|echo| resource(echo, strip_query));
            payload.extensions = None; // we advertise none that a facilitator acts on
        }
    }
    serde_json::to_vec(&payment)
}

/// Keeps the fields of an EIP-3009 payment. Payments of other kinds are the facilitator's to read.
fn keep_signed(payload: &mut Object) {
    if let Some(Value::Object(authorization)) = payload.get_mut("authorization") {
        authorization.retain(|key, _| AUTHORIZATION.contains(&key.as_str()));
        payload.retain(|key, _| PAYLOAD.contains(&key.as_str()));
    }
}

/// The client's echo of the resource, if it has the form that the protocol wants: a web address, and texts.
fn resource(echo: Value, strip_query: bool) -> Option<Value> {
    let Value::Object(mut resource) = echo else { return None };
    resource.retain(|key, value| RESOURCE.contains(&key.as_str()) && value.is_string());
    let Some(Value::String(url)) = resource.get_mut("url") else { return None };
    if !Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
        return None;
    }
    if strip_query {
        strip(url);
    }
    Some(Value::Object(resource))
}

/// Cuts query and fragment.
fn strip(url: &mut String) {
    if let Some(end) = url.find(['?', '#']) {
        url.truncate(end);
    }
}
