//! Reads the bodies of requests.

#![expect(
    clippy::disallowed_types,
    reason = "`coinslot facilitator` is a server of its own, with the protocol's statuses"
)]

use coinslot_x402::facilitator::PaymentRequest;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::READ_TIMEOUT;
use super::reply::{JsonResponse, failure};

/// The largest request that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Reads a payment request. The error is the answer.
pub(super) async fn read(request: Request<Incoming>) -> Result<PaymentRequest, Box<JsonResponse>> {
    let refuse = |status, text: &str| Err(Box::new(failure(status, text)));
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = match tokio::time::timeout(READ_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "at most 64 KiB are read: a payment request has a few");
        }
        Ok(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "the body ended early"),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
    };
    match serde_json::from_slice(&body) {
        Ok(payment) => Ok(payment),
        Err(error) => refuse(
            StatusCode::BAD_REQUEST,
            &format!("not a payment request, which is {{x402Version, paymentPayload, paymentRequirements}}: {error}"),
        ),
    }
}
