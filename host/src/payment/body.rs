//! Reads the payment header and the body of a request, within their limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use coinslot_plugin::RequestBody;
use coinslot_x402::header::{self, HeaderError, PaymentPayload};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::Problem;

/// The longest time that a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The content of a request: still to be read from the connection, or whole.
pub(super) enum RequestContent {
    Unread(RequestBody),
    Whole(Bytes),
}

/// The payment that a request carries, if any. Fails on a header that cannot be read, and on two payments.
pub(super) fn credential(headers: &HeaderMap) -> Result<Option<PaymentPayload>, HeaderError> {
    let values = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    header::payment(values(header::PAYMENT_SIGNATURE), values(header::X_PAYMENT), values(AUTHORIZATION.as_str()))
}

/// The request with its whole body, at most `limit` bytes of it.
pub(super) async fn whole(request: Request<RequestContent>, limit: u64) -> Result<Request<Bytes>, Problem> {
    let (head, content) = request.into_parts();
    let bytes = match content {
        RequestContent::Unread(body) => read(body, limit).await?,
        RequestContent::Whole(bytes) => bytes,
    };
    Ok(Request::from_parts(head, bytes))
}

/// Reads a body to its end. Fails when it is larger than `limit`, ends early, or takes longer than [`BODY_TIMEOUT`].
pub(super) async fn read(mut body: RequestBody, limit: u64) -> Result<Bytes, Problem> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts = BytesMut::new();
    // One deadline for the whole body: a timeout per frame would let a client send a byte at a time for ever.
    let until = Instant::now() + BODY_TIMEOUT;
    while let Some(frame) = tokio::time::timeout_at(until, body.frame()).await.map_err(|_| Problem::BodyBroken)? {
        let frame = frame.map_err(|_| Problem::BodyBroken)?;
        if let Ok(data) = frame.into_data() {
            if parts.len().saturating_add(data.len()) > size {
                return Err(Problem::BodyTooLarge { limit });
            }
            parts.extend_from_slice(&data);
        }
    }
    Ok(parts.freeze())
}
