//! Measures whether a client or a plugin has lately used more than its part of the processors, and has it wait for
//! turns.
//!
//! The use is a level that rises by the time that was used and falls by that part of the time that passes. A level above
//! [`WINDOW`] is much. A pause shortens it, and however much was used, it is little again after two windows.
//!
//! A worker thread of the runtime polls the ready tasks one after the other, and polls for I/O events and timers in
//! between. The time between two polls for I/O events is a *round*, and such a poll is a *look*. A user with hundreds
//! of ready tasks delays all other tasks of the worker by the polls of its own. So a user that uses much has [`QUOTA`]
//! of each round, and its other tasks wait for the next round. A user whose ready tasks fit into the quota never waits,
//! and loses nothing.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;

/// The time for which more than the part must have been used.
const WINDOW: Duration = Duration::from_millis(50);

/// Use of more than one part in this many of all processors is much.
const PARTS: u64 = 4;

/// The time of one worker that a user which uses much has in one round.
const QUOTA: Duration = Duration::from_micros(300);

/// The most rounds for which a task at the head of its queue waits.
const MAX_ROUNDS: usize = 8;

/// The use of the processors by one user.
#[derive(Debug)]
pub struct RecentUse {
    base: Instant,
    processors: u64,
    /// The time at which the level is zero again, in nanoseconds after `base`.
    empty_at: AtomicU64,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

/// The use of one worker since its last look.
#[derive(Default)]
struct Worker {
    looks: Arc<Looks>,
    /// The count of looks in the round to which `used` belongs.
    last: u64,
    /// The nanoseconds that each user which uses much has used in this round, by the user's address.
    used: Vec<(usize, u64)>,
}

/// The looks of one worker for which a task waited.
#[derive(Default)]
struct Looks {
    count: AtomicU64,
    awaited: AtomicBool,
    /// Notified when no look is awaited any more.
    ended: Notify,
}

/// Marks a look as awaited until this is dropped.
struct AwaitedLook(Arc<Looks>);

impl Default for RecentUse {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { base: Instant::now(), processors: u64::try_from(processors).unwrap_or(1), empty_at: AtomicU64::new(0) }
    }
}

impl RecentUse {
    /// Notes time of one processor that was used until now.
    pub fn note(&self, used: Duration) {
        self.note_until(Instant::now(), used);
    }

    /// Notes the time of one processor since `begun`.
    pub fn note_since(&self, begun: Instant) {
        let now = Instant::now();
        self.note_until(now, now.saturating_duration_since(begun));
    }

    fn note_until(&self, now: Instant, used: Duration) {
        let (now, used) = (nanos(now.saturating_duration_since(self.base)), nanos(used));
        self.note_at(now, used);
        if self.is_much_at(now) {
            WORKER.with_borrow_mut(|worker| worker.note(self.address(), used));
        }
    }

    /// True if more than the part was used lately.
    pub fn is_much(&self) -> bool {
        // The clock is not read for those that use little.
        self.empty_at.load(Relaxed) > nanos(WINDOW) && self.is_much_at(nanos(self.base.elapsed()))
    }

    fn is_much_at(&self, now: u64) -> bool {
        self.empty_at.load(Relaxed).saturating_sub(nanos(WINDOW)) > now
    }

    /// True if the user's next task has to wait for the next round of this worker: the user uses much, and has used up
    /// its quota of this round. Reads the clock only for such a user.
    pub fn has_to_wait(&self) -> bool {
        WORKER.with_borrow_mut(|worker| worker.has_used_quota(self.address())) && self.is_much()
    }

    /// Waits for further rounds while `has_to_wait` is true, but for a few of them at most: other tasks of the user may
    /// use up the quota of every round.
    pub async fn wait_for_quota(has_to_wait: impl Fn() -> bool) {
        for _ in 0..MAX_ROUNDS {
            if !has_to_wait() {
                return;
            }
            Self::next_round().await;
        }
    }

    /// Waits until the worker that runs this task has looked, and its next round has begun. It may return early.
    async fn next_round() {
        let looks = WORKER.with_borrow(|worker| Arc::clone(&worker.looks));
        let mut ended = pin!(looks.ended.notified());
        ended.as_mut().enable();
        WORKER.with_borrow(Worker::await_look);
        ended.await;
    }

    /// Identifies the user on a worker. A later user at the same address has less of one round.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn note_at(&self, now: u64, used: u64) {
        let rise = used.saturating_mul(PARTS) / self.processors;
        let most = now.saturating_add(2 * nanos(WINDOW));
        // Notes of two threads at once both count.
        let _ = self
            .empty_at
            .fetch_update(Relaxed, Relaxed, |empty_at| Some(empty_at.max(now).saturating_add(rise).min(most)));
    }
}

impl Worker {
    fn note(&mut self, user: usize, used: u64) {
        self.forget_last_round();
        let sum = match self.used.iter_mut().find(|(of, _)| *of == user) {
            Some((_, sum)) => {
                *sum = sum.saturating_add(used);
                *sum
            }
            None => {
                self.used.push((user, used));
                used
            }
        };
        // Before the quota is used up, so that a user whose rounds take less never waits.
        if sum >= nanos(QUOTA) / 2 {
            self.await_look();
        }
    }

    fn has_used_quota(&mut self, user: usize) -> bool {
        self.forget_last_round();
        self.used.iter().any(|(of, used)| *of == user && *used >= nanos(QUOTA))
    }

    fn forget_last_round(&mut self) {
        let count = self.looks.count.load(Relaxed);
        if count != self.last {
            self.last = count;
            self.used.clear();
        }
    }

    /// Spawns a task that begins the next round as soon as this worker has looked, or another worker that takes the
    /// task over. Outside of a runtime nothing is spawned.
    ///
    /// tokio resumes a task that yields after the worker has looked, but at once if anything else wakes the task. So a
    /// task that waits for a turn does not yield itself: a request that comes into its instance wakes it.
    fn await_look(&self) {
        if self.looks.awaited.swap(true, Relaxed) {
            return;
        }
        let awaited = AwaitedLook(Arc::clone(&self.looks));
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            let here = WORKER.with_borrow(|worker| Arc::clone(&worker.looks));
            tokio::task::yield_now().await;
            here.count.fetch_add(1, Relaxed);
            drop(awaited);
        });
    }
}

impl Drop for AwaitedLook {
    fn drop(&mut self) {
        self.0.awaited.store(false, Relaxed);
        self.0.ended.notify_waiters();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::Future;
    use std::task::{Context, Waker};

    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    /// The use of one of two processors, in each of these milliseconds.
    fn level(used: u64, milliseconds: u64) -> u64 {
        let recent = RecentUse { base: Instant::now(), processors: 2, empty_at: AtomicU64::new(0) };
        for now in 1..=milliseconds {
            recent.note_at(now * MILLISECOND, used);
        }
        recent.empty_at.load(Relaxed).saturating_sub(milliseconds * MILLISECOND)
    }

    #[test]
    fn more_than_a_quarter_of_the_processors_for_a_while_is_much() {
        let window = nanos(WINDOW);
        assert!(level(MILLISECOND / 2, 10_000) <= window, "a quarter of two processors for ever");
        assert!(level(MILLISECOND, 30) <= window, "twice as much for a moment");
        assert!(level(MILLISECOND, 60) > window, "and for longer");
    }

    #[test]
    fn much_is_forgotten_after_two_windows() {
        assert_eq!(level(1_000 * MILLISECOND, 100), 2 * nanos(WINDOW));
        let recent = RecentUse::default();
        recent.note(Duration::from_secs(3_600));
        assert!(recent.is_much());
        std::thread::sleep(2 * WINDOW);
        assert!(!recent.is_much());
    }

    #[tokio::test]
    async fn a_user_that_uses_much_waits_after_its_quota_until_the_worker_has_looked() {
        let (busy, other, quiet) = (RecentUse::default(), RecentUse::default(), RecentUse::default());
        busy.note(Duration::from_secs(3_600));
        other.note_at(nanos(other.base.elapsed()), u64::MAX);
        assert!(busy.has_to_wait(), "it has used much, and now");
        assert!(
            other.is_much() && !other.has_to_wait(),
            "it has used much, and nothing of this worker since it looked"
        );
        quiet.note(2 * QUOTA);
        assert!(!quiet.has_to_wait(), "it has used little lately");
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert!(busy.is_much() && !busy.has_to_wait(), "a new round");
        busy.note(QUOTA / 3);
        assert!(!busy.has_to_wait());
        busy.note(QUOTA);
        assert!(busy.has_to_wait());
    }

    /// A task that yields goes on at once when anything else wakes it, before the worker has looked.
    #[tokio::test]
    async fn a_task_that_is_woken_while_it_waits_begins_no_round() {
        let busy = RecentUse::default();
        busy.note(Duration::from_secs(3_600));
        let mut next = pin!(RecentUse::next_round());
        for _ in 0..3 {
            assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(busy.has_to_wait());
        }
        next.await;
        assert!(busy.is_much() && !busy.has_to_wait());
    }

    #[tokio::test]
    async fn a_task_waits_for_a_few_rounds_at_most() {
        let rounds = Cell::new(0);
        let has_to_wait = || {
            rounds.set(rounds.get() + 1);
            true
        };
        RecentUse::wait_for_quota(has_to_wait).await;
        assert_eq!(rounds.get(), MAX_ROUNDS);
    }
}
