//! Reads the payment header and the body of a request, within their limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use coinslot_plugin::RequestBody;
use coinslot_x402::header::{self, HeaderError, PaymentPayload};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::budget::{Exhausted, HeldBytes};
use super::{Payments, Problem};

/// The longest time that a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The time over which the least rate of a body is measured. A connection of a phone may pause for some of it.
const RATE_PERIOD: Duration = Duration::from_secs(10);

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

/// Reads a body to its end. Fails when it is larger than `limit`, ends early, takes longer than [`BODY_TIMEOUT`], comes
/// more slowly than the configured rate, or when the budget is used up.
pub(super) async fn read(
    payments: &Payments,
    mut held: HeldBytes,
    mut body: RequestBody,
    limit: u64,
) -> Result<HeldBody, Problem> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts = BytesMut::new();
    let mut pace = Pace::new(payments.config.min_body_rate, Instant::now());
    loop {
        let frame = match tokio::time::timeout_at(pace.next_look(), body.frame()).await {
            Ok(Some(frame)) => Some(frame.map_err(|_| Problem::BodyBroken)?),
            Ok(None) => return Ok(HeldBody { bytes: parts.freeze(), held }),
            Err(_) => None,
        };
        if let Some(Ok(data)) = frame.map(Frame::into_data) {
            let length = parts.len().saturating_add(data.len());
            if length > size {
                return Err(Problem::BodyTooLarge { limit });
            }
            held.grow_to(length).map_err(|Exhausted| Problem::Overloaded)?;
            parts.extend_from_slice(&data);
        }
        // Also after a frame: a client that sends a byte at a time lets no timeout end.
        if pace.is_late(Instant::now(), parts.len()) {
            return Err(Problem::BodyLate);
        }
    }
}

/// Tells a body that comes too slowly.
///
/// Each period is measured alone: over the whole body a client could send much at once, and then hold it for as long as
/// the average allows.
struct Pace {
    /// The end of the whole body: a timeout for each frame would let a client send a byte at a time for ever.
    until: Instant,
    /// The bytes that each period must bring.
    least: usize,
    period_ends: Instant,
    /// The bytes that were there when the period began.
    before: usize,
}

impl Pace {
    fn new(bytes_per_second: u64, now: Instant) -> Self {
        let least = usize::try_from(bytes_per_second.saturating_mul(RATE_PERIOD.as_secs())).unwrap_or(usize::MAX);
        Self { until: now + BODY_TIMEOUT, least, period_ends: now + RATE_PERIOD, before: 0 }
    }

    fn next_look(&self) -> Instant {
        self.until.min(self.period_ends)
    }

    /// True if the body, of which so much is there, does not come in time.
    fn is_late(&mut self, now: Instant, length: usize) -> bool {
        if now >= self.until {
            return true;
        }
        if now < self.period_ends {
            return false;
        }
        let late = length.saturating_sub(self.before) < self.least;
        self.before = length;
        self.period_ends = now + RATE_PERIOD;
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_keep_its_rate_in_each_period_and_end_in_time() {
        let start = Instant::now();
        let mut pace = Pace::new(1_024, start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!pace.is_late(after(9), 0), "it may begin slowly");
        assert!(!pace.is_late(after(10), 1 << 20));
        assert!(!pace.is_late(after(19), 1 << 20));
        assert!(pace.is_late(after(20), (1 << 20) + 10_239), "what came early does not count for later");
        let mut steady = Pace::new(1_024, start);
        assert!((1..60).all(|second| !steady.is_late(after(second), 1_024 * second as usize)));
        assert!(steady.is_late(after(60), 1_024 * 60), "a minute is the most");
        let mut any = Pace::new(0, start);
        assert!(!any.is_late(after(59), 0) && any.is_late(after(60), 0));
    }
}
