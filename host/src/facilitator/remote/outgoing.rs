//! What a facilitator is told: the payment and what we ask for, and of the request that is paid for no
//! more than it needs.

use serde_json::Value;

use crate::x402::facilitator::PaymentRequest;

/// The body of `/verify` and `/settle`. The same payment has the same bytes each time: keys stand in the
/// order in which they came, and nothing depends on the clock.
pub(super) fn body(payment: &PaymentRequest, strip_query: bool) -> Result<Vec<u8>, serde_json::Error> {
    if !strip_query {
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

/// Cuts query and fragment.
fn strip(url: &mut String) {
    if let Some(end) = url.find(['?', '#']) {
        url.truncate(end);
    }
}
