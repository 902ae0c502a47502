//! Reads the payment header and the body of a request, within their limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use coinslot_plugin::RequestBody;
use coinslot_x402::header::{self, HeaderError, PaymentPayload};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::budget::{Exhausted, HeldBytes};
use super::{Payments, Problem, Purchase};

/// The longest time that a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A whole body, and its part of the budget.
#[derive(Debug)]
pub(super) struct HeldBody {
    pub(super) bytes: Bytes,
    pub(super) held: HeldBytes,
}

/// The payment that a request carries, if any. Fails on a header that cannot be read, and on two payments.
pub(super) fn credential(headers: &HeaderMap) -> Result<Option<PaymentPayload>, HeaderError> {
    let values = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    header::payment(values(header::PAYMENT_SIGNATURE), values(header::X_PAYMENT), values(AUTHORIZATION.as_str()))
}

/// Reads a body to its end. Fails when it is larger than `limit`, ends early, takes longer than [`BODY_TIMEOUT`], or
/// when the budget is used up.
pub(super) async fn read(
    payments: &Payments,
    purchase: &Purchase,
    mut body: RequestBody,
    limit: u64,
) -> Result<HeldBody, Problem> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut held = payments.budget.holder(purchase.client);
    let mut parts = BytesMut::new();
    // One deadline for the whole body: a timeout per frame would let a client send a byte at a time for ever.
    let until = Instant::now() + BODY_TIMEOUT;
    while let Some(frame) = tokio::time::timeout_at(until, body.frame()).await.map_err(|_| Problem::BodyBroken)? {
        let frame = frame.map_err(|_| Problem::BodyBroken)?;
        if let Ok(data) = frame.into_data() {
            let length = parts.len().saturating_add(data.len());
            if length > size {
                return Err(Problem::BodyTooLarge { limit });
            }
            held.grow_to(length).map_err(|Exhausted| Problem::Overloaded)?;
            parts.extend_from_slice(&data);
        }
    }
    Ok(HeldBody { bytes: parts.freeze(), held })
}
