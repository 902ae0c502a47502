//! Reads the payment header and the body of a request, within their limits.

use std::time::Duration;

use bytes::Bytes;
use coinslot_plugin::RequestBody;
use coinslot_x402::header::{self, HeaderError, PaymentPayload};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::budget::{Exhausted, HeldBytes};
use super::held_buffer::HeldBuffer;
use super::{ClientAddress, Payments, Problem};

/// The time over which the least rate of a body is measured. A connection of a phone may pause for some of it.
const RATE_PERIOD: Duration = Duration::from_secs(10);

/// The longest silence where the operator has set no rate.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// The part of what is held of a body that each period must bring: a body that comes at a constant rate has sixty
/// periods. A client that sends much at once and then little would else hold it for as long as the little takes.
const PART_OF_HELD: usize = 60;

/// The payment that a request carries, if any. Fails on a header that cannot be read, and on two payments.
pub(super) fn credential(headers: &HeaderMap) -> Result<Option<PaymentPayload>, HeaderError> {
    let values = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    header::payment(values(header::PAYMENT_SIGNATURE), values(header::X_PAYMENT), values(AUTHORIZATION.as_str()))
}

/// Reads a body to its end. Fails when it is larger than `limit`, ends early, comes more slowly than it has to, or when
/// the budget is used up. The body counts for the budget until its last copy is dropped.
pub(super) async fn read(
    payments: &Payments,
    held: HeldBytes,
    mut body: RequestBody,
    limit: u64,
) -> Result<Bytes, Problem> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let declared = body.size_hint().upper().and_then(|declared| usize::try_from(declared).ok());
    let mut parts = HeldBuffer::new(held, declared.map_or(size, |declared| declared.min(size)));
    let mut pace = Pace::new(payments.config.min_body_rate, Instant::now());
    loop {
        let frame = match tokio::time::timeout_at(pace.period_ends, body.frame()).await {
            Ok(Some(frame)) => Some(frame.map_err(|_| Problem::BodyBroken)?),
            Ok(None) => return Ok(parts.whole()),
            Err(_) => None,
        };
        if let Some(Ok(data)) = frame.map(Frame::into_data) {
            if data.len() > size - parts.len() {
                return Err(Problem::BodyTooLarge { limit });
            }
            parts.push(&data).map_err(|Exhausted| Problem::Overloaded)?;
        }
        // Also after a frame: a client that sends a byte at a time lets no timeout end.
        if pace.is_late(Instant::now(), parts.len()) {
            return Err(Problem::BodyLate);
        }
    }
}

/// Reads a message that is not for one endpoint, as those of agents are, within the share that a client without a payment
/// has of the budget.
pub async fn read_message(
    payments: &Payments,
    client: ClientAddress,
    body: RequestBody,
    limit: u64,
) -> Result<Bytes, Problem> {
    read(payments, payments.budget.client(client.ip), body, limit).await
}

/// Tells a body that comes too slowly.
///
/// Each period is measured alone: over the whole body a client could send much at once, and then hold it for as long as
/// the average allows. No time limits the whole body: a large one that comes steadily is not late.
struct Pace {
    period: Duration,
    /// The bytes that each period must bring.
    least: usize,
    period_ends: Instant,
    /// The bytes that were there when the period began.
    before: usize,
}

impl Pace {
    fn new(bytes_per_second: u64, now: Instant) -> Self {
        let (period, least) = match bytes_per_second {
            0 => (LONGEST_SILENCE, 1),
            rate => (RATE_PERIOD, rate.saturating_mul(RATE_PERIOD.as_secs())),
        };
        let least = usize::try_from(least).unwrap_or(usize::MAX);
        Self { period, least, period_ends: now + period, before: 0 }
    }

    /// True if the body, of which so much is there, does not come in time.
    fn is_late(&mut self, now: Instant, length: usize) -> bool {
        if now < self.period_ends {
            return false;
        }
        let least = if self.least > 1 { self.least.max(self.before / PART_OF_HELD) } else { self.least };
        let late = length.saturating_sub(self.before) < least;
        self.before = length;
        self.period_ends = now + self.period;
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_keep_its_rate_in_each_period() {
        let start = Instant::now();
        let mut pace = Pace::new(1_024, start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!pace.is_late(after(9), 0), "it may begin slowly");
        assert!(!pace.is_late(after(10), 100_000));
        assert!(!pace.is_late(after(19), 100_000));
        assert!(pace.is_late(after(20), 100_000 + 10_239), "what came early does not count for later");
        let mut none = Pace::new(0, start);
        assert!(!none.is_late(after(59), 0) && none.is_late(after(60), 0), "silence ends where there is no rate");
    }

    #[test]
    fn a_large_body_that_comes_steadily_is_in_time_whatever_it_takes() {
        let start = Instant::now();
        let mut steady = Pace::new(1_024, start);
        let late =
            (1..=590).find(|second| steady.is_late(start + Duration::from_secs(*second), 100_000 * *second as usize));
        assert_eq!(late, None);
    }

    #[test]
    fn the_rest_of_a_body_of_which_much_is_held_must_come_faster() {
        let start = Instant::now();
        let mut pace = Pace::new(1_024, start);
        assert!(!pace.is_late(start + Duration::from_secs(10), 9 << 20));
        assert!(pace.is_late(start + Duration::from_secs(20), (9 << 20) + 100_000), "9 MiB take 157,286 bytes");
    }
}
