//! What a facilitator is told: the payment and what we ask for, and of the request that is paid for no
//! more than it needs.

use serde_json::Value;

use coinslot_x402::facilitator::PaymentRequest;

/// The body of `/verify` and `/settle`. The same payment has the same bytes each time: keys stand in the
/// order in which they came, and nothing depends on the clock.
pub(super) fn body(payment: &PaymentRequest, strip_query: bool) -> Result<Vec<u8>, serde_json::Error> {
    if !strip_query || !tells_more(payment) {
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
            // The client's echo, and no resource as the protocol knows it.
            Some(_) => payload.resource = None,
            None => {}
        },
    }
    serde_json::to_vec(&payment)
}

/// Whether there is anything that a facilitator does not need.
fn tells_more(payment: &PaymentRequest) -> bool {
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

/// Where query or fragment begin.
fn end(url: &str) -> Option<usize> {
    url.find(['?', '#'])
}
