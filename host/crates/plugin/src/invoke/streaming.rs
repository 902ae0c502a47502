//! A guest that writes while its answer is read, and for how long it waits for a reader.
//!
//! What a guest may take and what a reader may take are counted apart: while nobody asks for the next
//! bytes, the guest's own time stands still and the reader's runs. So a slow reader cannot make a guest
//! look slow, and nobody can hold an instance for longer than twice the total.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::Fault;
use crate::instance::timed::TimedGuest;
use crate::invoke::InstancePermits;

/// Held by the body; dropped, it stops the guest at once.
pub(crate) struct StreamingGuest {
    held: Arc<Mutex<StreamState>>,
    reader_timeout: AbortHandle,
}

struct StreamState {
    /// The guest, and its places if it has some of its own. None once it has ended, or nobody read it for too long.
    guest: Option<(TimedGuest, Option<InstancePermits>)>,
    turns: ReadClock,
}

/// Whose time it is: the guest's, or the reader's.
struct ReadClock {
    /// Since when nobody has asked for more.
    unread: Option<Instant>,
    /// How much longer that may be the case, all pauses together.
    patience: Duration,
}

impl ReadClock {
    /// It is the guest's turn; how long it was the reader's.
    fn asked(&mut self, now: Instant) -> Duration {
        let waited = self.unread.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.patience = self.patience.saturating_sub(waited);
        waited
    }

    /// When it will have been the reader's turn for too long, at the earliest.
    fn over(&self, now: Instant) -> Instant {
        self.unread.unwrap_or(now) + self.patience
    }
}

impl StreamingGuest {
    pub(crate) fn new(guest: TimedGuest, slots: Option<InstancePermits>, patience: Duration) -> Self {
        let turns = ReadClock { unread: Some(Instant::now()), patience };
        let held = StreamState { guest: Some((guest, slots)), turns };
        let held = Arc::new(Mutex::new(held));
        let reader_timeout = tokio::spawn(stop_if_unread(Arc::downgrade(&held), patience)).abort_handle();
        Self { held, reader_timeout }
    }

    /// Somebody asks for more.
    pub(crate) fn asked(&self) {
        let mut held = lock(&self.held);
        let waited = held.turns.asked(Instant::now());
        if let Some((guest, _)) = &mut held.guest {
            guest.extend(waited);
        }
    }

    /// Something was handed out: the next move is the reader's.
    pub(crate) fn handed(&self) {
        lock(&self.held).turns.unread = Some(Instant::now());
    }

    /// Lets the guest run until it waits or ends. When this is ready the guest is gone.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut held = lock(&self.held);
        let Some((guest, _)) = &mut held.guest else { return Poll::Ready(Err(Fault::Unread)) };
        let polled = guest.poll(cx);
        if polled.is_ready() {
            held.guest = None;
        }
        polled
    }
}

impl Drop for StreamingGuest {
    fn drop(&mut self) {
        self.reader_timeout.abort();
        // The reader_timeout may be holding the rest at this moment.
        let guest = lock(&self.held).guest.take();
        drop(guest);
    }
}

/// Stops the guest when it has not been read for too long. A body that nobody reads is not polled, so this
/// is a task of its own.
async fn stop_if_unread(held: Weak<Mutex<StreamState>>, patience: Duration) {
    let mut wake = Instant::now() + patience;
    loop {
        tokio::time::sleep_until(wake).await;
        let Some(held) = held.upgrade() else { return };
        // Held elsewhere, it is being read.
        let Ok(mut held) = held.try_lock() else {
            wake = Instant::now() + Duration::from_secs(1);
            continue;
        };
        let now = Instant::now();
        wake = held.turns.over(now);
        if wake <= now {
            let guest = held.guest.take();
            drop(held);
            drop(guest);
            return;
        }
    }
}

fn lock(held: &Mutex<StreamState>) -> MutexGuard<'_, StreamState> {
    // After a panic within the guest's future it is not polled again: its body ends with the connection.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_of_a_reader_add_up_and_are_given_back_to_the_guest() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut turns = ReadClock { unread: Some(start), patience: Duration::from_secs(10) };
        assert_eq!(turns.over(at(0)), at(10));
        assert_eq!(turns.asked(at(4)), Duration::from_secs(4));
        assert_eq!(turns.asked(at(100)), Duration::ZERO, "it was the guest's turn all the time");
        assert_eq!(turns.over(at(100)), at(106), "and is");
        turns.unread = Some(at(100));
        assert_eq!(turns.over(at(105)), at(106));
        assert_eq!(turns.asked(at(105)), Duration::from_secs(5));
        turns.unread = Some(at(200));
        assert_eq!(turns.over(at(200)), at(201), "a second is left of ten");
    }
}
