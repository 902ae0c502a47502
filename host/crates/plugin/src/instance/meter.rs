//! Meters one guest: its CPU time, its use of memory, its charge, and the lines it prints.
//!
//! A meter is shared between the store, whose callbacks write it, and the future that polls the guest. It outlives the
//! store, so that a fault can be explained after the guest is gone.

mod fault;
mod turn;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::capabilities::log::{GuestLog, PluginLog};
use crate::instance::cpu_slots::{CpuSlot, LentSlot, Unread};
use crate::instance::engine::TICK;
use crate::instance::page_faults::FaultCounter;
use crate::instance::processors::{AfterTick, PluginCpu, RunningGuest};

pub(crate) use self::turn::PollTurn;

/// A guest that took more linear memory than this while it ran is large, in bytes. One instruction of a large guest may
/// touch all of its memory, dropping it gives the memory back, and no epoch interrupts either.
const LARGE_MEMORY: usize = 8 << 20;

/// CPU time that a guest may use before each of its resumes ends in the queue of guests that compute for long, beside
/// one part in [`LITTLE_SHARE`] of the time that it has lived.
const LITTLE: Duration = Duration::from_millis(5);
const LITTLE_SHARE: u64 = 100;

/// The measurements of one guest. All times are nanoseconds.
///
/// The atomics are relaxed: one thread polls the guest at a time, tokio orders one poll before the next, and a reader
/// beside it (the choice of an instance) can live with the value of a moment ago.
#[derive(Debug)]
pub(crate) struct GuestMeter {
    /// CPU time that the guest may have used by now.
    budget: AtomicU64,
    /// CPU time that each request brings along.
    per_request: u64,
    base: Instant,
    /// CPU time of polls that have ended.
    used: AtomicU64,
    /// The beginning of the current poll, on the clock that `precise` selects.
    entered: AtomicU64,
    /// Set while a poll is measured by the thread's CPU clock instead of the wall clock.
    precise: AtomicBool,
    /// Set once the ticker has interrupted this guest.
    ticked: AtomicBool,
    /// Set if the guest quotes.
    is_quote: AtomicBool,
    /// Set if somebody has paid for what the guest does.
    is_paid: AtomicBool,
    /// Set once the guest has had a CPU slot.
    has_had_slot: AtomicBool,
    exhausted: AtomicBool,
    memory_refused: AtomicBool,
    /// Set once the host kept too much for the guest's handles.
    host_memory_refused: AtomicBool,
    plugin_memory_refused: AtomicBool,
    large: AtomicBool,
    pub(crate) faults: FaultCounter,
    /// Set while the guest waits in its own future for nothing but a processor.
    yielding: AtomicBool,
    /// Set while the guest is not polled, because its next poll waits for a turn.
    waits_for_turn: AtomicBool,
    plugin_cpu: Arc<PluginCpu>,
    /// CPU time at the last wait for a slot.
    queued_at: AtomicU64,
    /// The guest's slot, while it computes for longer than a tick.
    cpu_slot: Mutex<Option<CpuSlot>>,
    /// The guest's slot, lent while other guests run.
    lent_slot: Mutex<Option<LentSlot>>,
    unread: Unread,
    charged: Mutex<Option<String>>,
    log: Mutex<GuestLog>,
}

/// The amount that a guest charged through `usage.charge`: an extension of its response.
///
/// The last call counts, and a guest may call until its body has ended, so read it then.
#[derive(Clone, Debug)]
pub struct MeteredAmount(Arc<GuestMeter>);

impl MeteredAmount {
    pub(crate) fn new(meter: Arc<GuestMeter>) -> Self {
        Self(meter)
    }

    /// The amount as written, in the notation of `manifest.amount`. None if nothing was charged.
    pub fn amount(&self) -> Option<String> {
        self.0.charged.lock().clone()
    }
}

impl GuestMeter {
    pub(crate) fn new(cpu: Duration, plugin_cpu: Arc<PluginCpu>, log: GuestLog) -> Arc<Self> {
        Arc::new(Self {
            budget: AtomicU64::new(nanos(cpu)),
            per_request: nanos(cpu),
            base: Instant::now(),
            used: AtomicU64::new(0),
            entered: AtomicU64::new(0),
            precise: AtomicBool::new(false),
            ticked: AtomicBool::new(false),
            is_quote: AtomicBool::new(false),
            is_paid: AtomicBool::new(false),
            has_had_slot: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            memory_refused: AtomicBool::new(false),
            host_memory_refused: AtomicBool::new(false),
            plugin_memory_refused: AtomicBool::new(false),
            large: AtomicBool::new(false),
            faults: FaultCounter::default(),
            yielding: AtomicBool::new(false),
            waits_for_turn: AtomicBool::new(false),
            plugin_cpu,
            queued_at: AtomicU64::new(0),
            cpu_slot: Mutex::new(None),
            lent_slot: Mutex::new(None),
            unread: Unread::default(),
            charged: Mutex::new(None),
            log: Mutex::new(log),
        })
    }

    /// The meter of one request in a shared instance. It takes the charge; CPU time and log are metered for the whole
    /// instance.
    pub(crate) fn of_shared_request(log: Arc<PluginLog>, plugin_cpu: Arc<PluginCpu>) -> Arc<Self> {
        Self::new(Duration::MAX, plugin_cpu, GuestLog::new(log, 0))
    }

    /// Adds the share of a request that has come into the instance, which has this many now. Time and log that earlier
    /// requests left over are not kept: the sum is at most what the present requests bring along.
    pub(crate) fn request_entered(&self, inside: usize) {
        // No other update comes between the load and the store: all are made in the instance's own task.
        let budget = self.budget.load(Relaxed).saturating_add(self.per_request);
        self.budget.store(budget.min(self.share(inside)), Relaxed);
        self.log().grant(inside);
    }

    /// Takes away what a request that has left did not use. This many are left.
    pub(crate) fn request_left(&self, inside: usize) {
        // An empty instance keeps the share of one request for what its guest does in between, which is little.
        self.budget.fetch_min(self.share(inside.max(1)), Relaxed);
        if inside == 0 {
            self.log().finish();
        }
    }

    /// The largest budget of this many requests.
    fn share(&self, inside: usize) -> u64 {
        let inside = u64::try_from(inside).unwrap_or(u64::MAX);
        self.used.load(Relaxed).saturating_add(self.per_request.saturating_mul(inside))
    }

    /// Begins a poll of the guest on this thread. The ticker runs until the result is dropped.
    ///
    /// Reading the thread's CPU clock is a system call, so it is read only for guests that have computed for longer
    /// than a tick. Others are charged wall time, at most two ticks per poll: a guest that ran longer would have been
    /// interrupted, so any more was spent by other work of the machine.
    pub(crate) fn begin_poll(&self) -> RunningGuest<'_> {
        let precise = self.ticked.load(Relaxed);
        self.precise.store(precise, Relaxed);
        self.entered.store(self.clock(precise), Relaxed);
        self.faults.begin_poll();
        self.plugin_cpu.processors.enter()
    }

    /// Ends a poll. True if the guest is within its CPU time.
    pub(crate) fn end_poll(&self) -> bool {
        let current = self.current();
        self.plugin_cpu.recent.note(Duration::from_nanos(current));
        let used = self.used.load(Relaxed).saturating_add(current);
        self.used.store(used, Relaxed);
        self.faults.end_poll();
        // Most polls take no lock.
        if self.has_had_slot.load(Relaxed) {
            *self.cpu_slot.lock() = None;
        }
        self.is_within_budget(used)
    }

    /// Notes an interruption by the ticker, within a poll, and decides what follows.
    ///
    /// The deadline of a guest that waited has passed when it resumes, so its first check interrupts it, however
    /// little it computes. Behind all guests that compute for long it would lose many milliseconds each time. So it
    /// goes on at once until it has computed for a tick since its last turn in the queue. A guest that only pretends
    /// to wait between pieces of a tick does not get far by that: what it may use so is little, and from then on each
    /// resume ends in the queue.
    pub(crate) fn tick(&self) -> AfterTick {
        let used = self.used.load(Relaxed).saturating_add(self.current());
        self.ticked.store(true, Relaxed);
        if self.is_within_budget(used) { self.queue_or_go_on(used) } else { AfterTick::End }
    }

    fn queue_or_go_on(&self, used: u64) -> AfterTick {
        let since_queued = used.saturating_sub(self.queued_at.load(Relaxed));
        if since_queued < nanos(TICK) && used <= self.little() {
            return AfterTick::GoOn;
        }
        self.queued_at.store(used, Relaxed);
        AfterTick::Queue
    }

    /// CPU time that is little for a guest that has lived as long as this one.
    fn little(&self) -> u64 {
        nanos(LITTLE).saturating_add(nanos(self.base.elapsed()) / LITTLE_SHARE)
    }

    fn is_within_budget(&self, used: u64) -> bool {
        let within = used <= self.budget.load(Relaxed);
        if !within {
            self.exhausted.store(true, Relaxed);
        }
        within
    }

    /// Notes that the guest quotes.
    pub(crate) fn set_quote(&self) {
        self.is_quote.store(true, Relaxed);
    }

    /// Notes that somebody has paid for what the guest does.
    pub(crate) fn set_paid(&self) {
        self.is_paid.store(true, Relaxed);
    }

    /// Time of the current poll.
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

    /// True once the guest has so much memory that it is polled and dropped off the async worker threads.
    pub(crate) fn is_large(&self) -> bool {
        self.large.load(Relaxed)
    }

    /// Notes how many bytes of memory the guest has taken. True if that makes it large.
    pub(crate) fn track_memory(&self, taken: usize) -> bool {
        taken > LARGE_MEMORY && !self.large.swap(true, Relaxed)
    }

    pub(crate) fn charge(&self, amount: String) {
        *self.charged.lock() = Some(amount);
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, GuestLog> {
        self.log.lock()
    }
}

impl Drop for GuestMeter {
    /// Logs the CPU time of a guest. Meters of single requests in a shared instance have none.
    fn drop(&mut self) {
        if self.per_request == u64::MAX {
            return;
        }
        let used = self.used.load(Relaxed);
        self.plugin_cpu.ended.fetch_add(used, Relaxed);
        let cpu = Duration::from_nanos(used);
        tracing::debug!(plugin = self.log().plugin(), ?cpu, "a guest has ended");
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use super::*;
    use crate::capabilities::log::LogWriter;
    use crate::instance::cpu_slots::SlotUser;
    use crate::instance::processors::Processors;

    fn log() -> GuestLog {
        GuestLog::new(PluginLog::new("p".into(), 10, LogWriter::to_channel().0), 10)
    }

    #[test]
    fn each_request_adds_its_cpu_time_and_takes_the_unused_rest_with_it() {
        let meter = GuestMeter::new(Duration::from_nanos(100), Processors::without_clock(), log());
        let budget = || meter.budget.load(Relaxed);
        meter.used.store(30, Relaxed);
        meter.request_entered(1);
        assert_eq!(budget(), 130, "nothing is kept of the time before");
        meter.request_entered(2);
        assert_eq!(budget(), 230);
        meter.used.store(200, Relaxed);
        meter.request_left(1);
        assert_eq!(budget(), 230, "the other request has 30 left");
        meter.request_entered(2);
        assert_eq!(budget(), 330);
        meter.request_left(1);
        meter.request_left(0);
        assert_eq!(budget(), 300, "an empty instance keeps the share of one request");
    }

    #[tokio::test]
    async fn the_guests_of_a_plugin_that_uses_much_wait_for_turns_and_others_do_not() {
        let (quiet, second) = (Processors::without_clock(), Duration::from_secs(1));
        let busy = PluginCpu::new(Arc::clone(&quiet.processors));
        let guest = |of: &Arc<PluginCpu>| (GuestMeter::new(second, Arc::clone(of), log()), PollTurn::default());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let ((first, mut turn), (other, mut other_turn)) = (guest(&busy), guest(&quiet));
        assert!(first.poll_turn(&mut turn, &mut cx).is_ready() && turn.held.is_none());
        let use_much = || busy.recent.note(60 * second);
        use_much();
        assert!(other.poll_turn(&mut other_turn, &mut cx).is_ready(), "another plugin has used little");
        assert!(first.poll_turn(&mut turn, &mut cx).is_pending() && first.is_runnable() && !first.is_computing());
        let worker_looks = async || {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        };
        worker_looks().await;
        assert!(first.poll_turn(&mut turn, &mut cx).is_ready() && turn.held.is_some() && !first.is_runnable());
        let mut taken = Vec::new();
        while busy.turns.has_free() {
            taken.push(busy.turns.acquire(false, &SlotUser::default(), || false).await);
        }
        // A quote comes before the other guests of its plugin, though it asks later.
        let ((next, mut next_turn), (quote, mut quote_turn), (gone, mut gone_turn)) =
            (guest(&busy), guest(&busy), guest(&busy));
        quote.set_quote();
        assert!(gone.poll_turn(&mut gone_turn, &mut cx).is_pending());
        assert!(next.poll_turn(&mut next_turn, &mut cx).is_pending());
        assert!(quote.poll_turn(&mut quote_turn, &mut cx).is_pending());
        // A guest that is gone has no place.
        drop(gone_turn);
        turn.end();
        assert!(next.poll_turn(&mut next_turn, &mut cx).is_pending());
        assert!(quote.poll_turn(&mut quote_turn, &mut cx).is_ready() && quote_turn.held.is_some());
        use_much();
        quote_turn.end();
        assert!(next.poll_turn(&mut next_turn, &mut cx).is_pending(), "the quota is used up");
        worker_looks().await;
        assert!(next.poll_turn(&mut next_turn, &mut cx).is_ready() && next_turn.held.is_some());
        // The guest of a request in a shared instance computes elsewhere.
        use_much();
        let shared = GuestMeter::of_shared_request(PluginLog::new("p".into(), 10, LogWriter::to_channel().0), busy);
        assert!(shared.poll_turn(&mut PollTurn::default(), &mut cx).is_ready());
    }

    #[test]
    fn a_guest_queues_when_it_has_computed_for_a_tick_and_not_after_each_wait() {
        let second = Duration::from_secs(1);
        let meter = GuestMeter::new(second, Processors::without_clock(), log());
        let tick = |used: Duration| meter.queue_or_go_on(nanos(used));
        assert_eq!(tick(TICK / 20), AfterTick::GoOn, "it resumes after a wait, past its deadline");
        assert_eq!(tick(TICK / 2), AfterTick::GoOn);
        assert_eq!(tick(TICK), AfterTick::Queue, "it has computed for a tick");
        assert_eq!(tick(TICK * 3 / 2), AfterTick::GoOn, "since then it has not");
        assert_eq!(tick(TICK * 2), AfterTick::Queue);
        assert_eq!(tick(LITTLE * 2), AfterTick::Queue);
        assert_eq!(tick(LITTLE * 2 + TICK / 2), AfterTick::Queue, "it has computed much, in pieces");
        meter.used.store(nanos(2 * second), Relaxed);
        assert_eq!(meter.tick(), AfterTick::End);
    }
}
