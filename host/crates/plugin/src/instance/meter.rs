//! What the host observes of one running guest: its CPU time, whether it was refused memory, what
//! it said it costs, and the lines it printed.
//!
//! Shared between the store (whose callbacks write it) and the future that polls the guest. It
//! outlives the store, so a fault can be explained after the guest is gone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{PoolConcurrencyLimitError, ResourceLimiterAsync};
use wasmtime_wasi::I32Exit;

use crate::Fault;
use crate::capabilities::log::GuestLog;
use crate::instance::engine::TICK;

/// At most this much of a trap's text is kept, in bytes.
const TRAP_TEXT: usize = 4 << 10;

/// A guest that took so much linear memory while it ran is heavy, in bytes: one instruction of it may touch as much,
/// and so may its end, and no epoch interrupts either.
const HEAVY: usize = 8 << 20;

/// A memory may begin with so much and not count: those of JavaScript and Python do, and what is in them comes from
/// the file.
const BORN: usize = 32 << 20;

/// What is known about one guest. All times are nanoseconds.
#[derive(Debug)]
pub(crate) struct GuestMeter {
    /// CPU time that it may have used by now, and what each request brings along.
    budget: AtomicU64,
    each: u64,
    base: Instant,
    /// CPU time of polls that have ended.
    used: AtomicU64,
    /// When the current poll began, on the clock that `precise` names.
    entered: AtomicU64,
    /// Whether the current poll is measured by the thread's CPU clock instead of the wall clock.
    precise: AtomicBool,
    /// Whether the ticker has ever interrupted this guest.
    ticked: AtomicBool,
    exhausted: AtomicBool,
    memory_refused: AtomicBool,
    heavy: AtomicBool,
    /// Whether it waits for nothing but its turn.
    yielding: AtomicBool,
    /// Long computations take turns: there are as many at once as there are processors to compute on.
    turns: Arc<Semaphore>,
    /// This guest's, while it computes for longer than a tick.
    turn: Mutex<Option<OwnedSemaphorePermit>>,
    charged: Mutex<Option<String>>,
    log: Mutex<GuestLog>,
}

impl GuestMeter {
    pub(crate) fn new(cpu: Duration, turns: Arc<Semaphore>, log: GuestLog) -> Arc<Self> {
        Arc::new(Self {
            budget: AtomicU64::new(nanos(cpu)),
            each: nanos(cpu),
            base: Instant::now(),
            used: AtomicU64::new(0),
            entered: AtomicU64::new(0),
            precise: AtomicBool::new(false),
            ticked: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            memory_refused: AtomicBool::new(false),
            heavy: AtomicBool::new(false),
            yielding: AtomicBool::new(false),
            turns,
            turn: Mutex::new(None),
            charged: Mutex::new(None),
            log: Mutex::new(log),
        })
    }

    /// Of one among several requests in an instance, whose CPU time is watched for all of them together.
    pub(crate) fn of_one(plugin: Arc<str>, turns: Arc<Semaphore>) -> Arc<Self> {
        Self::new(Duration::MAX, turns, GuestLog::new(plugin, 0))
    }

    /// Another request begins in the instance, which has so many now. Nothing is kept of what others before it
    /// left over.
    pub(crate) fn enter_one(&self, inside: usize) {
        let budget = self.budget.load(Relaxed).saturating_add(self.each);
        self.budget.store(budget.min(self.share(inside)), Relaxed);
        self.log().grant(inside);
    }

    /// A request ended, and so many are left: what it did not use it takes along.
    pub(crate) fn leave_one(&self, inside: usize) {
        // What a guest does between two requests is little.
        self.budget.fetch_min(self.share(inside.max(1)), Relaxed);
        if inside == 0 {
            self.log().finish();
        }
    }

    fn share(&self, inside: usize) -> u64 {
        let inside = u64::try_from(inside).unwrap_or(u64::MAX);
        self.used.load(Relaxed).saturating_add(self.each.saturating_mul(inside))
    }

    /// Begins a poll of the guest on this thread.
    ///
    /// The thread's CPU clock costs a system call, so it is read only for guests that compute for
    /// longer than a tick. Others are charged wall time, at most two ticks per poll: a guest that
    /// ran longer would have been interrupted, and what is above was spent by the machine's other
    /// work.
    pub(crate) fn enter(&self) {
        let precise = self.ticked.load(Relaxed);
        self.precise.store(precise, Relaxed);
        self.entered.store(self.clock(precise), Relaxed);
    }

    /// Ends a poll. True if the guest is still within its CPU time.
    pub(crate) fn leave(&self) -> bool {
        let used = self.used.load(Relaxed).saturating_add(self.current());
        let budget = self.budget.load(Relaxed);
        self.used.store(used, Relaxed);
        if self.ticked.load(Relaxed) {
            *lock(&self.turn) = None;
        }
        if used > budget {
            self.exhausted.store(true, Relaxed);
        }
        used <= budget
    }

    /// Called by the ticker's interruption, within a poll. True if the guest may go on.
    pub(crate) fn tick(&self) -> bool {
        let used = self.used.load(Relaxed).saturating_add(self.current());
        let budget = self.budget.load(Relaxed);
        self.ticked.store(true, Relaxed);
        if used > budget {
            self.exhausted.store(true, Relaxed);
        }
        used <= budget
    }

    /// Lets others go first, and then waits for a turn behind all other guests that compute for long. However
    /// many they are, what is short waits for one of them at a time.
    pub(crate) async fn next_turn(self: Arc<Self>) {
        *lock(&self.turn) = None;
        self.yielding.store(true, Relaxed);
        tokio::task::yield_now().await;
        let turn = self.turns.clone().acquire_owned().await;
        self.yielding.store(false, Relaxed);
        *lock(&self.turn) = turn.ok();
    }

    /// Lets others go first, and waits for nobody.
    async fn give_way(&self) {
        self.yielding.store(true, Relaxed);
        tokio::task::yield_now().await;
        self.yielding.store(false, Relaxed);
    }

    /// Whether it would go on if it had its turn: it waits for nobody.
    pub(crate) fn is_computing(&self) -> bool {
        self.yielding.load(Relaxed)
    }

    /// Whether it computes for long, or waits for its turn to.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_computing() || lock(&self.turn).is_some()
    }

    fn current(&self) -> u64 {
        let precise = self.precise.load(Relaxed);
        let spent = self.clock(precise).saturating_sub(self.entered.load(Relaxed));
        if precise { spent } else { spent.min(2 * nanos(TICK)) }
    }

    fn clock(&self, precise: bool) -> u64 {
        if precise {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            now.tv_sec.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(now.tv_nsec.cast_unsigned())
        } else {
            nanos(self.base.elapsed())
        }
    }

    /// CPU time used so far.
    fn cpu(&self) -> Duration {
        Duration::from_nanos(self.used.load(Relaxed))
    }

    /// Whether it has so much memory that nobody else should wait for what it does next.
    pub(crate) fn is_heavy(&self) -> bool {
        self.heavy.load(Relaxed)
    }

    /// It took so much memory. True if it has become heavy by it.
    pub(crate) fn weigh(&self, taken: usize) -> bool {
        taken > HEAVY && !self.heavy.swap(true, Relaxed)
    }

    pub(crate) fn refuse_memory(&self) {
        self.memory_refused.store(true, Relaxed);
    }

    pub(crate) fn charge(&self, amount: String) {
        *lock(&self.charged) = Some(amount);
    }

    pub(crate) fn charged(&self) -> Option<String> {
        lock(&self.charged).clone()
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, GuestLog> {
        lock(&self.log)
    }

    /// Explains why a guest ended. What has been explained stays so. What the host observed goes before what the trap
    /// says: a guest that was refused memory usually aborts with a trap of its own.
    pub(crate) fn fault(&self, error: &wasmtime::Error) -> Fault {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            fault.clone()
        } else if self.exhausted.load(Relaxed) {
            Fault::Cpu
        } else if self.memory_refused.load(Relaxed) {
            Fault::Memory
        } else if error.is::<PoolConcurrencyLimitError>() {
            Fault::Busy
        } else if let Some(exit) = error.downcast_ref::<I32Exit>() {
            Fault::Trap(format!("it exited with status {} instead of answering", exit.0))
        } else {
            Fault::Trap(bounded(format!("{error:#}"), TRAP_TEXT))
        }
    }
}

impl Drop for GuestMeter {
    /// The last that is known of a guest, when nobody can ask about it any more.
    fn drop(&mut self) {
        if self.each == u64::MAX {
            return;
        }
        let cpu = self.cpu();
        tracing::debug!(plugin = self.log().plugin(), ?cpu, "a guest is gone");
    }
}

/// Bounds the linear memory and tables of one store, and remembers that it refused.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    pub(crate) memory: usize,
    /// Across all memories of the instance.
    pub(crate) used: usize,
    /// Beyond what it usually begins with.
    pub(crate) taken: usize,
    pub(crate) meter: Arc<GuestMeter>,
}

#[async_trait::async_trait]
impl ResourceLimiterAsync for MemoryLimiter {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.memory {
            self.meter.refuse_memory();
            return Ok(false);
        }
        self.used = used;
        if current > 0 || desired > BORN {
            self.taken = self.taken.saturating_add(desired.saturating_sub(current));
        }
        if self.meter.weigh(self.taken) {
            // Before it touches any of it: from the next poll on it runs aside.
            self.meter.give_way().await;
        }
        Ok(true)
    }

    async fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= 100_000)
    }
}

/// Shortens a text to at most `limit` bytes, at a character's edge.
pub(crate) fn bounded(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let cut = (0..=limit).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(cut);
        text.push_str("...");
    }
    text
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A panic while one of these locks was held leaves valid data behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_brings_its_time_along_and_takes_what_is_left_of_it() {
        let meter =
            GuestMeter::new(Duration::from_nanos(100), Arc::new(Semaphore::new(1)), GuestLog::new("p".into(), 10));
        let budget = || meter.budget.load(Relaxed);
        meter.used.store(30, Relaxed);
        meter.enter_one(1);
        assert_eq!(budget(), 130, "nothing is kept of the time before");
        meter.enter_one(2);
        assert_eq!(budget(), 230);
        meter.used.store(200, Relaxed);
        meter.leave_one(1);
        assert_eq!(budget(), 230, "the other one has 30 left");
        meter.enter_one(2);
        assert_eq!(budget(), 330);
        meter.leave_one(1);
        meter.leave_one(0);
        assert_eq!(budget(), 300, "and between two requests no more than one of them had");
    }
}
