//! Shares the processors among guests: the clock that interrupts guests, and the slots of those that compute for long.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::{JoinHandle, Thread};

use coinslot_base::recent_use::RecentUse;
use wasmtime::{Engine, EngineWeak};

use crate::instance::cpu_slots::{CpuSlot, CpuSlots, SlotUser};
use crate::instance::engine::TICK;

/// Ticks without a running guest after which the clock stops. Starting it again costs a system call, which a busy
/// host should not pay for each request.
const IDLE_TICKS: u32 = 100;

/// The processors of this machine, as guests share them.
#[derive(Debug)]
pub(crate) struct Processors {
    /// Slots of guests that compute for long: as many as there are processors.
    pub(crate) slots: CpuSlots,
    running: Arc<RunningGuests>,
    /// None once the clock has ended.
    clock: Option<Thread>,
}

/// The count of guests that run at this moment, which stops and starts the clock.
#[derive(Debug, Default)]
struct RunningGuests {
    count: AtomicUsize,
    /// Set while the clock's thread is parked, or about to be.
    stopped: AtomicBool,
    /// Set when the clock is wanted no more.
    ended: AtomicBool,
}

/// The processors as the guests of one plugin use them.
#[derive(Debug)]
pub(crate) struct PluginCpu {
    pub(crate) processors: Arc<Processors>,
    /// The time that its guests have used lately.
    pub(crate) recent: RecentUse,
    /// The time that guests which have ended used, in nanoseconds.
    pub(crate) ended: AtomicU64,
    /// The turns for which its guests wait beyond the plugin's quota of a round.
    pub(crate) turns: CpuSlots,
}

/// A guest that runs. The clock ticks at least until this is dropped.
pub(crate) struct RunningGuest<'p>(&'p Processors);

/// The consequence of an interruption by the ticker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterTick {
    /// The guest goes on until the next tick.
    GoOn,
    /// The guest waits for a CPU slot.
    Queue,
    /// The guest has used up its CPU time.
    End,
}

impl Processors {
    /// Starts the thread that increments the epoch of every engine each [`TICK`] while a guest runs. It is a thread of
    /// its own: a task could be starved by the very guest that it should interrupt.
    pub(crate) fn new(engines: &[&Engine]) -> io::Result<Arc<Self>> {
        let running = Arc::<RunningGuests>::default();
        let clock = start_clock(engines, Arc::clone(&running))?.thread().clone();
        Ok(Arc::new(Self { slots: CpuSlots::new(processor_count()), running, clock: Some(clock) }))
    }

    /// Processors without a clock, for tests of what is measured.
    #[cfg(test)]
    pub(crate) fn without_clock() -> Arc<PluginCpu> {
        PluginCpu::new(Arc::new(Self { slots: CpuSlots::new(1), running: Arc::default(), clock: None }))
    }

    /// Has the clock tick while a guest runs.
    ///
    /// The order excludes that both sides miss each other: this side counts and then looks whether the clock has
    /// stopped; the clock says that it stops and then looks at the count.
    pub(crate) fn enter(&self) -> RunningGuest<'_> {
        self.running.count.fetch_add(1, SeqCst);
        if self.running.stopped.load(SeqCst) && self.running.stopped.swap(false, SeqCst) {
            self.wake_clock();
        }
        RunningGuest(self)
    }

    fn wake_clock(&self) {
        if let Some(clock) = &self.clock {
            clock.unpark();
        }
    }
}

impl PluginCpu {
    pub(crate) fn new(processors: Arc<Processors>) -> Arc<Self> {
        Arc::new(Self {
            processors,
            recent: RecentUse::default(),
            ended: AtomicU64::new(0),
            turns: CpuSlots::new(processor_count()),
        })
    }

    /// True if a guest has to wait for a turn: the plugin has used its quota of this round, or other guests of it wait.
    pub(crate) fn has_to_wait(&self) -> bool {
        self.recent.has_to_wait() || !self.turns.has_free() && self.recent.is_much()
    }

    /// Waits for a turn of the plugin.
    pub(crate) async fn turn(self: Arc<Self>, goes_first: bool, user: SlotUser) -> CpuSlot {
        self.turns.acquire(goes_first, &user, || self.recent.has_to_wait()).await
    }

    /// Waits for a slot of the processors.
    pub(crate) async fn slot(&self, goes_first: bool, user: &SlotUser) -> CpuSlot {
        self.processors.slots.acquire(goes_first, user, || self.recent.has_to_wait()).await
    }
}

/// The number of processors that this process may use.
fn processor_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Drop for RunningGuest<'_> {
    fn drop(&mut self) {
        self.0.running.count.fetch_sub(1, SeqCst);
    }
}

impl Drop for Processors {
    fn drop(&mut self) {
        self.running.ended.store(true, SeqCst);
        self.wake_clock();
    }
}

/// Starts the clock's thread. It holds weak references, so that it does not keep the engines of a runtime that is gone.
fn start_clock(engines: &[&Engine], running: Arc<RunningGuests>) -> io::Result<JoinHandle<()>> {
    let engines: Vec<EngineWeak> = engines.iter().map(|engine| engine.weak()).collect();
    std::thread::Builder::new().name("coinslot-epoch".into()).spawn(move || {
        let mut idle = 0;
        while !running.ended.load(SeqCst) {
            std::thread::sleep(TICK);
            for engine in engines.iter().filter_map(EngineWeak::upgrade) {
                engine.increment_epoch();
            }
            idle = if running.count.load(SeqCst) == 0 { idle + 1 } else { 0 };
            if idle >= IDLE_TICKS {
                running.wait();
                idle = 0;
            }
        }
    })
}

impl RunningGuests {
    /// Parks this thread until a guest runs, or the clock is wanted no more.
    fn wait(&self) {
        self.stopped.store(true, SeqCst);
        // `park` may return for no reason.
        while self.stopped.load(SeqCst) && self.count.load(SeqCst) == 0 && !self.ended.load(SeqCst) {
            std::thread::park();
        }
        self.stopped.store(false, SeqCst);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn until(what: impl Fn() -> bool) {
        let begin = Instant::now();
        while !what() {
            assert!(begin.elapsed() < Duration::from_secs(20), "it does not come");
            std::thread::sleep(TICK);
        }
    }

    #[test]
    fn the_clock_stops_without_a_guest_and_starts_with_one() {
        let engine = Engine::default();
        let processors = Processors::new(&[&engine]).unwrap();
        let stopped = || processors.running.stopped.load(SeqCst);
        until(stopped);
        for _ in 0..3 {
            let running = processors.enter();
            assert!(!stopped());
            std::thread::sleep(TICK * (IDLE_TICKS + 50));
            assert!(!stopped(), "a guest runs");
            drop(running);
            until(stopped);
        }
    }
}
