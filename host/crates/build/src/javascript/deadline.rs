//! Ends code of an author that takes too long.
//!
//! A store traps when the epoch of its engine has passed its deadline, so a thread increases the epoch in short
//! intervals, and the store's callback checks at each whether the time is over. The evaluation of a module is measured
//! by the processor's time: on a busy machine a module takes many times longer by the clock, and a build that fails
//! there would succeed when it is repeated. The clock bounds an evaluation that waits.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Engine, Store, UpdateDeadline};

/// The interval in which an engine's epoch is increased. Code may run so much longer than its time.
const TICK: Duration = Duration::from_millis(20);

/// The processor's time that a module's top level may take.
pub(super) const LONGEST: Duration = Duration::from_secs(10);
/// The time by the clock after which its evaluation ends in any case: thirty times as long, for a machine with so much
/// other work.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The thread that increases the epoch of an engine. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Ticker {
    _running: Sender<()>,
}

/// A point of time that can be moved. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Deadline(Arc<Mutex<Instant>>);

/// The time that an evaluation has taken.
#[derive(Clone, Copy, Debug)]
struct Spent {
    processor: Duration,
    clock: Duration,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> Self {
        let (running, ended) = channel::<()>();
        let engine = engine.clone();
        std::thread::spawn(move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        });
        Self { _running: running }
    }
}

impl Deadline {
    pub(super) fn after(time: Duration) -> Self {
        Self(Arc::new(Mutex::new(end(time))))
    }

    /// Moves the deadline to this time from now.
    pub(super) fn extend(&self, time: Duration) {
        *self.0.lock() = end(time);
    }

    pub(super) fn has_passed(&self) -> bool {
        Instant::now() >= *self.0.lock()
    }

    /// Waits until the deadline has passed, also where it is moved meanwhile.
    pub(super) async fn passed(&self) {
        while !self.has_passed() {
            let end = *self.0.lock();
            tokio::time::sleep_until(end.into()).await;
        }
    }

    /// Interrupts the code of a store at the deadline. A [`Ticker`] has to run.
    pub(super) fn watch<T>(&self, store: &mut Store<T>) {
        let deadline = self.clone();
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| Ok(next(deadline.has_passed())));
    }
}

/// Interrupts the code of a store, which runs on this thread, when an evaluation has taken too long. A [`Ticker`] has to
/// run.
pub(super) fn limit_evaluation<T>(store: &mut Store<T>) {
    let (processor, clock) = (processor_time(), Instant::now());
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let spent = Spent { processor: processor_time().saturating_sub(processor), clock: clock.elapsed() };
        Ok(next(spent.is_too_much()))
    });
}

impl Spent {
    fn is_too_much(self) -> bool {
        self.processor > LONGEST || self.clock > LONGEST_WAIT
    }
}

fn next(is_over: bool) -> UpdateDeadline {
    if is_over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
}

/// The end of a time that begins now. A time that no clock can hold is a very long one.
fn end(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + Duration::from_secs(365 * 86_400))
}

/// The time that the processor has given to this thread.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_may_wait_for_the_processor_and_not_use_it_for_long() {
        let seconds = Duration::from_secs;
        for (processor, clock, is_too_much) in [(9, 11, false), (9, 299, false), (11, 11, true), (1, 301, true)] {
            let spent = Spent { processor: seconds(processor), clock: seconds(clock) };
            assert_eq!(spent.is_too_much(), is_too_much, "{spent:?}");
        }
    }

    #[test]
    fn only_work_of_this_thread_counts() {
        let before = processor_time();
        std::thread::sleep(Duration::from_millis(200));
        assert!(processor_time() - before < Duration::from_millis(100), "it slept");
    }

    #[test]
    fn a_deadline_beyond_all_clocks_is_a_long_one() {
        let deadline = Deadline::after(Duration::MAX);
        deadline.extend(Duration::MAX);
        assert!(!deadline.has_passed());
    }
}
