//! Notes what happens on a connection, so that one whose client neither sends requests nor reads answers is ended.
//!
//! hyper has a clock for idle connections. It makes a timer for each request, and reads the socket once more after each
//! answer, which together cost as much as the answer to an unpaid request. Here each connection has one ticker that
//! checks flags, and a request only sets flags.

mod overdue;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};

pub(super) use overdue::{Timeouts, least_taken};

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
/// the answer makes the kernel of a client that has hung up refuse the rest. So a guest may run in vain for as long as
/// a half-closed client may wait. A client that keeps its connection open has the same for the same price: the
/// connection counts for it until the answer is there.
const HALF_CLOSE_TIME: Duration = Duration::from_secs(1);

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
