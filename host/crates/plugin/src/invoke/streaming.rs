//! Runs a guest that writes while its response is read, with two clocks: the guest's time and the reader's time.
//!
//! While a frame is wanted, the guest's deadline runs. From the moment at which a frame has been handed out, until the
//! next one is wanted, the guest's time stands still and the reader's runs. So a slow reader cannot make a guest look
//! slow, and no reader can hold an instance for longer than twice the total limit.
//!
//! A body that is not read is not polled, so the reader's clock is watched by a task of its own. That task and the
//! body share the guest behind a lock. The task only tries the lock: while the body holds it, the body is being polled,
//! and so is not unread.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::instance::permits::InstancePermits;
use crate::instance::timed::TimedGuest;

/// A guest tied to its response body. Dropping it stops the guest at once.
pub(super) struct StreamingGuest {
    state: Arc<Mutex<StreamState>>,
    reader_timeout: AbortHandle,
}

struct StreamState {
    /// The guest, and its permits if it has some of its own. None once it has ended, or was not read for too long.
    guest: Option<(TimedGuest, Option<InstancePermits>)>,
    clock: ReadClock,
}

/// The reader's clock.
struct ReadClock {
    /// The time at which the last frame was handed out. None while the next one is wanted.
    unread: Option<Instant>,
    /// The rest of the reader's time, all pauses together.
    left: Duration,
}

impl ReadClock {
    /// Stops the clock, and returns how long it ran.
    fn stop(&mut self, now: Instant) -> Duration {
        let waited = self.unread.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.left = self.left.saturating_sub(waited);
        waited
    }

    /// The earliest time at which the reader's time can be over.
    fn over(&self, now: Instant) -> Instant {
        self.unread.unwrap_or(now) + self.left
    }
}

impl StreamingGuest {
    /// Begins with the reader's time, of which there is as much as `reader_time`.
    pub(super) fn new(guest: TimedGuest, permits: Option<InstancePermits>, reader_time: Duration) -> Self {
        let clock = ReadClock { unread: Some(Instant::now()), left: reader_time };
        guest.meter().set_unread(true);
        let state = Arc::new(Mutex::new(StreamState { guest: Some((guest, permits)), clock }));
        let reader_timeout = tokio::spawn(stop_if_unread(Arc::downgrade(&state), reader_time)).abort_handle();
        Self { state, reader_timeout }
    }

    /// Begins the guest's time: the next frame is wanted.
    pub(super) fn frame_wanted(&self) {
        let mut state = self.state.lock();
        let waited = state.clock.stop(Instant::now());
        if let Some((guest, _)) = &mut state.guest {
            guest.extend(waited);
            guest.meter().set_unread(false);
        }
    }

    /// Begins the reader's time: a frame was handed out.
    pub(super) fn frame_handed_out(&self) {
        let mut state = self.state.lock();
        state.clock.unread = Some(Instant::now());
        if let Some((guest, _)) = &state.guest {
            guest.meter().set_unread(true);
        }
    }

    /// Lets the guest run until it waits or ends. When this is ready the guest is gone.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut state = self.state.lock();
        let Some((guest, _)) = &mut state.guest else { return Poll::Ready(Err(Fault::Unread)) };
        let polled = guest.poll(cx);
        if polled.is_ready() {
            state.guest = None;
        }
        polled
    }
}

impl Drop for StreamingGuest {
    fn drop(&mut self) {
        self.reader_timeout.abort();
        // Taken out of the state, so that the guest is dropped here even if the task holds another reference to the
        // state at this moment. It is dropped outside of the lock, because it may free much memory.
        let guest = self.state.lock().guest.take();
        drop(guest);
    }
}

/// Stops the guest when its response has not been read for too long.
async fn stop_if_unread(state: Weak<Mutex<StreamState>>, reader_time: Duration) {
    let mut wake = Instant::now() + reader_time;
    loop {
        tokio::time::sleep_until(wake).await;
        // Weak, so that this task does not keep a guest whose body has gone.
        let Some(state) = state.upgrade() else { return };
        // Locked: the body is being polled at this moment, and is not unread.
        let Some(mut state) = state.try_lock() else {
            wake = Instant::now() + Duration::from_secs(1);
            continue;
        };
        let now = Instant::now();
        wake = state.clock.over(now);
        if wake <= now {
            let guest = state.guest.take();
            drop(state);
            drop(guest);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_of_a_reader_add_up_and_are_given_back_to_the_guest() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = ReadClock { unread: Some(start), left: Duration::from_secs(10) };
        assert_eq!(clock.over(at(0)), at(10));
        assert_eq!(clock.stop(at(4)), Duration::from_secs(4));
        assert_eq!(clock.stop(at(100)), Duration::ZERO, "it was the guest's time in between");
        assert_eq!(clock.over(at(100)), at(106), "and it still is");
        clock.unread = Some(at(100));
        assert_eq!(clock.over(at(105)), at(106));
        assert_eq!(clock.stop(at(105)), Duration::from_secs(5));
        clock.unread = Some(at(200));
        assert_eq!(clock.over(at(200)), at(201), "a second is left of ten");
    }
}
