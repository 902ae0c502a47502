//! Writes the bodies of requests to a facilitator: the payment, the requirements, and no more of the paid request than
//! the facilitator needs.

use coinslot_x402::facilitator::PaymentRequest;
use serde_json::Value;

/// The body of `/verify` and `/settle`. The same payment has the same bytes each time: keys stand in the
/// order in which they came, and nothing depends on the clock.
pub(super) fn body(payment: &PaymentRequest, strip_query: bool) -> Result<Vec<u8>, serde_json::Error> {
    if !strip_query || !has_query(payment) {
        return serde_json::to_vec(payment);
    }
    let mut payment = payment.clone();
    match &mut payment {
        PaymentRequest::V1 { requirements, .. } => strip(&mut requirements.resource),
        PaymentRequest::V2 { payload, .. } => match &mut payload.resource {
            Some(Value::Object(resource)) => {
                if let Some(Value::String(url)) = resource.get_mut("url") {
                    strip(url);
                }
            }
            // The client's echo is not an object with a URL, as the protocol wants, so it is left out whole.
            Some(_) => payload.resource = None,
            None => {}
        },
    }
    serde_json::to_vec(&payment)
}

/// True if the payment carries something that a facilitator does not need.
fn has_query(payment: &PaymentRequest) -> bool {
    match payment {
        PaymentRequest::V1 { requirements, .. } => end(&requirements.resource).is_some(),
        PaymentRequest::V2 { payload, .. } => match &payload.resource {
            Some(Value::Object(resource)) => {
                resource.get("url").and_then(Value::as_str).is_some_and(|url| end(url).is_some())
            }
            Some(_) => true,
            None => false,
        },
    }
}

/// Cuts query and fragment.
fn strip(url: &mut String) {
    if let Some(end) = end(url) {
        url.truncate(end);
    }
}

/// The index at which query or fragment begin.
fn end(url: &str) -> Option<usize> {
    url.find(['?', '#'])
}
