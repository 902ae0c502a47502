//! Notes what happens on a connection, and ends a connection whose client neither sends requests nor reads answers.
//!
//! hyper has a clock for idle connections. It makes a timer for each request, and reads the socket once more after each
//! answer, which together cost as much as the answer to an unpaid request. Here each connection has one ticker that
//! checks flags, and a request only sets flags.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};

/// The number of checks within the shortest of the times.
const CHECKS: u32 = 8;
/// The number of HTTP/2 streams whose answers may be on their way at once on one connection. Each of them may fill its
/// send buffer, so a client that reads nothing makes the host hold 48 times 32 KiB, beside its part of what the process
/// holds for all ([`streams`](super::streams)). Further streams wait until one of these is read, reset, or set apart.
/// The number is large enough for a client that asks for a few dozen answers and reads the last one first.
pub(super) const SENDING_STREAMS: usize = 48;
/// The time after a request in which its client may close its own side and still get the answer. A client that has
/// nothing more to send closes at once; a later close is taken for a hang-up.
///
/// Within it nothing tells one from the other: both send a FIN, to which RFC 9112 gives no meaning, and only a byte of
/// the answer makes the kernel of a client that has hung up refuse the rest. So a guest may run in vain for as long as a
/// half-closed client may wait. A client that keeps its connection open has the same for the same price: the connection
/// counts for it until the answer is there.
const HALF_CLOSE_TIME: Duration = Duration::from_secs(1);
/// The bytes that a client has to take within [`Timeouts::stalled`] while the host waits for it.
const LEAST_TAKEN: usize = 16 << 10;
/// The part of an answer that is held whole which a client has to take in that time, if it is more: one in this many. A
/// client that takes next to nothing would else hold a large answer for a day.
const LEAST_PART: usize = 10;
/// The bytes that a client has to take in that time at most, whatever the size of its answer: 2.2 KB a second. The
/// slowest links that people pay from are faster, and an answer that is too large to be kept cannot be fetched again.
const MOST_ASKED: usize = 128 << 10;

/// The bytes that a client has to take within [`Timeouts::stalled`] of an answer of this size that is held whole.
pub(super) const fn least_taken(answer: usize) -> usize {
    let part = answer / LEAST_PART;
    if part > MOST_ASKED {
        MOST_ASKED
    } else if part > LEAST_TAKEN {
        part
    } else {
        LEAST_TAKEN
    }
}

/// The times that a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// From connecting to the headers of the first request, and from the first byte of a request to its last header.
    pub(super) headers: Duration,
    /// On HTTP/1, from an answer to the next request.
    pub(super) keep_alive: Duration,
    /// For taking the [`least_taken`] bytes of an answer that waits for the client.
    pub(super) stalled: Duration,
    /// On HTTP/2, from the end of the last answer to the next request.
    pub(super) unused: Duration,
}

/// The reason why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No request came in time.
    Idle,
    /// The client does not take its answer.
    Stalled,
}

/// The activity of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// The number of requests whose answers are being made.
    in_flight: AtomicUsize,
    /// Something was answered or written since the last check.
    active: AtomicBool,
    /// The bytes that were written since the last check.
    written: AtomicUsize,
    /// A write waits for the client.
    blocked: AtomicBool,
    /// On HTTP/1, the size of the answer that is being written, if it is held whole.
    answer: AtomicUsize,
    /// The connection speaks HTTP/2.
    multiplexed: AtomicBool,
    /// A request came since the last check for an unused connection.
    requested: AtomicBool,
    /// At least one request came.
    served: AtomicBool,
    /// Bytes were read that belong to no request yet.
    reading: AtomicBool,
    /// The client was told to send no more requests.
    leaving: AtomicBool,
    /// The end of a request's body was not read: bytes of it may still come.
    body_unread: AtomicBool,
    /// The request's body is still being read.
    body_expected: AtomicBool,
    /// The time until which the client of the request that is being answered may close its own side.
    half_close_until: Mutex<Option<Instant>>,
    /// Wakes the task that reads the client's side. While an answer is being made, that task keeps the end of the
    /// client's side from hyper.
    half_closed: Mutex<Option<Waker>>,
    sending: SendPermits,
}

/// The permits to send, one for each HTTP/2 stream whose answer is on its way.
#[derive(Debug)]
struct SendPermits(Arc<Semaphore>);

impl Default for SendPermits {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SENDING_STREAMS)))
    }
}

impl Activity {
    /// Notes the head of a request.
    pub(super) fn request(&self, multiplexed: bool) {
        self.reading.store(false, Relaxed);
        self.body_unread.store(false, Relaxed);
        self.requested.store(true, Relaxed);
        self.served.store(true, Relaxed);
        self.multiplexed.store(multiplexed, Relaxed);
        self.answer.store(0, Relaxed);
    }

    /// Notes the size of the answer that is written next on HTTP/1, which is held whole.
    pub(super) fn answer_of(&self, bytes: usize) {
        self.answer.store(bytes, Relaxed);
    }

    /// Notes that a request was answered.
    pub(super) fn answered(&self) {
        self.active.store(true, Relaxed);
    }

    /// Notes bytes from the client.
    pub(super) fn read(&self) {
        self.reading.store(true, Relaxed);
    }

    /// Notes bytes that the client's socket took.
    pub(super) fn wrote(&self, bytes: usize) {
        self.blocked.store(false, Relaxed);
        self.active.store(true, Relaxed);
        self.written.fetch_add(bytes, Relaxed);
    }

    /// Notes that a write waits for the client.
    pub(super) fn write_waits(&self) {
        self.blocked.store(true, Relaxed);
    }

    /// Notes that a request's body is being read, or that its end was reached.
    pub(super) fn expect_body(&self, expected: bool) {
        self.body_expected.store(expected, Relaxed);
    }

    /// Notes that a part of a request's body stays unread.
    pub(super) fn leave_body_unread(&self) {
        self.body_unread.store(true, Relaxed);
    }

    /// Notes that the rest of a request's body was read after all.
    pub(super) fn clear_unread_body(&self) {
        self.body_unread.store(false, Relaxed);
    }

    pub(super) fn has_unread_body(&self) -> bool {
        self.body_unread.load(Relaxed)
    }

    /// Notes whether the client of the request that came now may close its own side.
    pub(super) fn allow_half_close(&self, allowed: bool) {
        *self.half_close_until.lock() = allowed.then(|| Instant::now() + HALF_CLOSE_TIME);
    }

    /// True if a client that closes its side now has sent everything, and waits for its answer.
    pub(super) fn half_close_is_allowed(&self) -> bool {
        self.is_answering()
            && !self.multiplexed.load(Relaxed)
            && !self.body_expected.load(Relaxed)
            && self.half_close_until.lock().is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn is_answering(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    /// Has this task woken when the answer is there.
    pub(super) fn wake_when_answered(&self, waker: &Waker) {
        *self.half_closed.lock() = Some(waker.clone());
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    /// The permits to send, one for each HTTP/2 stream whose answer is on its way.
    pub(super) fn sending(&self) -> &Arc<Semaphore> {
        &self.sending.0
    }

    /// Notes that an answer is being made, until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Returns when the client took longer than it may, counted from the last byte that was written to it. At most an
    /// eighth of the shortest time late.
    pub(super) async fn overdue(&self, timeouts: Timeouts) -> Overdue {
        let shortest = timeouts.headers.min(timeouts.keep_alive).min(timeouts.stalled);
        let mut ticks = ticker(shortest);
        let mut check = Check::new(Instant::now());
        loop {
            ticks.tick().await;
            if let Some(overdue) = check.look(self, timeouts, Instant::now()) {
                return overdue;
            }
        }
    }

    /// Returns when no request of an HTTP/2 connection came for this long, and none is being answered. From then on the
    /// connection counts as idle.
    pub(super) async fn unused(&self, timeout: Duration) {
        let mut ticks = ticker(timeout);
        let mut since = Instant::now();
        loop {
            ticks.tick().await;
            let requested = self.requested.swap(false, Relaxed);
            if requested || self.in_flight.load(Relaxed) > 0 || !self.multiplexed.load(Relaxed) {
                since = Instant::now();
            } else if since.elapsed() >= timeout {
                self.leaving.store(true, Relaxed);
                return;
            }
        }
    }
}

fn ticker(timeout: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval((timeout / CHECKS).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The state between two checks of a connection.
#[derive(Debug)]
struct Check {
    /// The beginning of the time in which a request has to come.
    idle_since: Instant,
    was_reading: bool,
    was_leaving: bool,
    /// The beginning of a time in which a write waited at each check, and the bytes that were taken since.
    stalled_since: Option<(Instant, usize)>,
}

impl Check {
    const fn new(now: Instant) -> Self {
        Self { idle_since: now, was_reading: false, was_leaving: false, stalled_since: None }
    }

    fn look(&mut self, activity: &Activity, timeouts: Timeouts, now: Instant) -> Option<Overdue> {
        if self.is_stalled(activity, timeouts.stalled, now) {
            return Some(Overdue::Stalled);
        }
        self.is_idle(activity, timeouts, now).then_some(Overdue::Idle)
    }

    fn is_stalled(&mut self, activity: &Activity, timeout: Duration, now: Instant) -> bool {
        let written = activity.written.swap(0, Relaxed);
        if !activity.blocked.load(Relaxed) {
            self.stalled_since = None;
            return false;
        }
        let (since, taken) = self.stalled_since.map_or((now, 0), |(since, taken)| (since, taken + written));
        let least = least_taken(activity.answer.load(Relaxed));
        let (is_over, is_enough) = (now - since >= timeout, taken >= least);
        self.stalled_since = Some(if is_over { (now, 0) } else { (since, taken) });
        is_over && !is_enough
    }

    fn is_idle(&mut self, activity: &Activity, timeouts: Timeouts, now: Instant) -> bool {
        let served = activity.served.load(Relaxed);
        let active = activity.active.swap(false, Relaxed) && served;
        let leaving = activity.leaving.load(Relaxed);
        let multiplexed = activity.multiplexed.load(Relaxed);
        let reading = activity.reading.load(Relaxed) && served && !multiplexed;
        let begins = (reading && !self.was_reading) || (leaving && !self.was_leaving);
        (self.was_reading, self.was_leaving) = (reading, leaving);
        // A connection that is told to end writes on: it answers pings.
        let is_alive = if multiplexed { !leaving } else { active && !reading };
        if activity.in_flight.load(Relaxed) > 0 || begins || is_alive {
            self.idle_since = now;
        }
        let limit = if served && !reading && !leaving { timeouts.keep_alive } else { timeouts.headers };
        now - self.idle_since >= limit
    }
}

/// A request whose answer is being made, until its body was handed to the connection or is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl InFlight {
    pub(super) const fn activity(&self) -> &Arc<Activity> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.reading.store(false, Relaxed);
        // In this order: a check in between must not see a connection that is idle since the last check.
        self.0.active.store(true, Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
        if let Some(waker) = self.0.half_closed.lock().take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Timeouts = Timeouts {
        headers: Duration::from_secs(30),
        keep_alive: Duration::from_secs(75),
        stalled: Duration::from_secs(60),
        unused: Duration::from_secs(300),
    };

    /// Checks once a second from second 1 on, after `each`. Returns the second at which the connection is overdue.
    fn ends(activity: &Activity, seconds: u64, each: impl Fn(u64)) -> Option<(u64, Overdue)> {
        let start = Instant::now();
        let mut check = Check::new(start);
        (1..=seconds).find_map(|second| {
            each(second);
            let overdue = check.look(activity, TIMES, start + Duration::from_secs(second));
            overdue.map(|overdue| (second, overdue))
        })
    }

    #[test]
    fn a_connection_waits_longer_for_the_next_request_than_for_headers() {
        assert_eq!(ends(&Activity::default(), 100, |_| ()), Some((30, Overdue::Idle)), "no request came");
        let kept = Activity::default();
        kept.request(false);
        kept.answered();
        assert_eq!(ends(&kept, 100, |_| ()), Some((76, Overdue::Idle)), "none came after the first");
        let slow = Activity::default();
        slow.request(false);
        slow.answered();
        let drips = ends(&slow, 100, |second| {
            if second >= 40 {
                slow.read()
            }
        });
        assert_eq!(drips, Some((70, Overdue::Idle)), "the next one began, and its headers do not end");
    }

    #[test]
    fn an_http_2_connection_without_a_request_is_idle_whatever_it_writes() {
        let pinging = Activity::default();
        assert_eq!(ends(&pinging, 100, |_| pinging.wrote(17)), Some((30, Overdue::Idle)));
        let served = Activity::default();
        served.request(true);
        assert_eq!(ends(&served, 1_000, |_| served.wrote(17)), None);
        served.leaving.store(true, Relaxed);
        assert_eq!(ends(&served, 100, |_| served.wrote(17)), Some((31, Overdue::Idle)), "it was told to go");
    }

    #[test]
    fn a_reader_that_takes_nothing_or_next_to_nothing_is_overdue_while_its_answer_is_made() {
        let activity = Arc::new(Activity::default());
        activity.request(false);
        let _work = activity.begin();
        assert_eq!(ends(&activity, 1_000, |_| ()), None, "the plugin takes its time, not the client");
        activity.write_waits();
        assert_eq!(ends(&activity, 1_000, |_| ()), Some((61, Overdue::Stalled)));
        let drip = |bytes| {
            let activity = &activity;
            move |_| {
                activity.wrote(bytes);
                activity.write_waits();
            }
        };
        assert_eq!(ends(&activity, 1_000, drip(1)), Some((61, Overdue::Stalled)));
        assert_eq!(ends(&activity, 1_000, drip(300)), None, "a slow reader is served");
        activity.answer_of(10 << 20);
        assert_eq!(ends(&activity, 1_000, drip(300)), Some((61, Overdue::Stalled)), "not for hours");
        assert_eq!(ends(&activity, 1_000, drip(2_200)), None, "on a slow link an answer of ten megabytes arrives");
        activity.answer_of(1 << 30);
        assert_eq!(ends(&activity, 1_000, drip(2_200)), None, "and any other");
    }
}
