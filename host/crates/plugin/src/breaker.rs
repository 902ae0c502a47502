//! Whether a plugin is asked at all. After some failures in a row it is left alone for a while; then one
//! request tries it, and the pause doubles if that fails, too.
//!
//! Nothing here stops a request that runs already. What else follows from a plugin that stays ill, such as
//! going back to the build before it, is decided by who asks for its [`Circuit`].

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Circuit, Fault};

/// When a plugin is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row; 0 is never.
    pub failures: u32,
    /// The first pause.
    pub pause: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Whether the build before it comes back when this happens soon after it came.
    pub rollback: bool,
}

impl Default for BreakerSettings {
    /// Five failures; five seconds, and at most a minute; nothing comes back.
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(5), longest: Duration::from_secs(60), rollback: false }
    }
}

/// One plugin's health.
pub(crate) struct Health {
    plugin: Arc<str>,
    patience: BreakerSettings,
    /// Nothing has failed since the last success: the usual case, which takes no lock.
    calm: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
        /// The next pause.
        pause: Duration,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One request is at work; the pause that was before it.
    Trying {
        pause: Duration,
    },
}

/// Leave to run a plugin that is well, or to find out whether it is again. Dropped without a verdict, it
/// leaves everything as it was.
#[must_use]
pub struct BreakerPermit {
    health: Arc<Health>,
    run: Run,
    /// Whether its failure is counted already, as another request's.
    excused: Option<Arc<AtomicBool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Usual,
    Trial,
    Judged,
}

impl Health {
    pub(crate) fn new(plugin: Arc<str>, patience: BreakerSettings) -> Arc<Self> {
        let state = Mutex::new(State::Closed { failures: 0, pause: patience.pause });
        Arc::new(Self { plugin, patience, calm: AtomicBool::new(true), state })
    }

    pub(crate) fn circuit(&self) -> Circuit {
        if self.calm.load(Relaxed) {
            return Circuit::Closed;
        }
        match *self.state() {
            State::Closed { .. } => Circuit::Closed,
            State::Open { until, .. } => match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Circuit::Closed,
                retry => Circuit::Open { retry },
            },
            State::Trying { pause } => Circuit::Open { retry: pause },
        }
    }

    /// Fails while the plugin is left alone. When that is over the first one is the trial.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<BreakerPermit, Fault> {
        let admission = |run| BreakerPermit { health: Arc::clone(self), run, excused: None };
        if self.calm.load(Relaxed) {
            return Ok(admission(Run::Usual));
        }
        let mut state = self.state();
        let now = Instant::now();
        match *state {
            State::Closed { .. } => Ok(admission(Run::Usual)),
            State::Open { until, pause } if now >= until => {
                *state = State::Trying { pause };
                Ok(admission(Run::Trial))
            }
            State::Open { until, .. } => Err(Fault::CircuitOpen { retry: until.saturating_duration_since(now) }),
            State::Trying { pause } => Err(Fault::CircuitOpen { retry: pause }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, pause: Duration) -> State {
        State::Open { until: Instant::now() + pause, pause }
    }

    /// The pause after this one.
    fn next(&self, pause: Duration) -> Duration {
        pause.saturating_mul(2).min(self.patience.longest).max(self.patience.pause)
    }
}

impl BreakerPermit {
    /// The head of an answer is there, and more may come for a long time: others need not wait for the end
    /// of a trial. Until something ends well, one failure is enough.
    pub(crate) fn answers(&mut self) {
        if self.run == Run::Trial {
            self.run = Run::Usual;
            let health = &self.health;
            let mut state = health.state();
            if let State::Trying { pause } = *state {
                tracing::info!(plugin = &*health.plugin, "the plugin answers again");
                let failures = health.patience.failures.saturating_sub(1);
                *state = State::Closed { failures, pause: health.next(pause) };
            }
        }
    }

    /// A failure does not count if this says so by then: an instance that fails, fails once, however many requests
    /// are in it.
    pub(crate) fn unless(&mut self, excused: Arc<AtomicBool>) {
        self.excused = Some(excused);
    }

    /// The guest ended well, whatever it answered.
    pub(crate) fn succeeded(mut self) {
        let run = std::mem::replace(&mut self.run, Run::Judged);
        if run == Run::Usual && self.health.calm.load(Relaxed) {
            return;
        }
        let mut state = self.health.state();
        match (run, *state) {
            (Run::Trial, _) => {
                tracing::info!(plugin = &*self.health.plugin, "the plugin answers again");
                *state = State::Closed { failures: 0, pause: self.health.patience.pause };
            }
            (_, State::Closed { .. }) => *state = State::Closed { failures: 0, pause: self.health.patience.pause },
            // It began before the pause.
            (_, State::Open { .. } | State::Trying { .. }) => return,
        }
        self.health.calm.store(true, Relaxed);
    }

    /// The guest did not. What is no fault of the guest's changes nothing.
    pub(crate) fn failed(mut self, fault: &Fault) {
        // A trial is judged by itself.
        let excused = self.run != Run::Trial && self.excused.as_ref().is_some_and(|excused| excused.load(Relaxed));
        if !is_illness(fault) || excused {
            return;
        }
        let run = std::mem::replace(&mut self.run, Run::Judged);
        let (patience, plugin) = (self.health.patience, &*self.health.plugin);
        if patience.failures == 0 {
            return;
        }
        let mut state = self.health.state();
        self.health.calm.store(false, Relaxed);
        match (run, *state) {
            (Run::Trial, State::Trying { pause }) => {
                let pause = self.health.next(pause);
                tracing::warn!(plugin, %fault, ?pause, "the plugin is still ill and is left alone again");
                *state = self.health.open(pause);
            }
            (_, State::Closed { failures, pause }) if failures + 1 >= patience.failures => {
                tracing::warn!(
                    plugin, %fault, failures = failures + 1, ?pause,
                    "the plugin failed again and again and is left alone"
                );
                *state = self.health.open(pause);
            }
            (_, State::Closed { failures, pause }) => *state = State::Closed { failures: failures + 1, pause },
            (_, State::Open { .. } | State::Trying { .. }) => {}
        }
    }
}

/// Whether this says something about the guest, rather than about its clients or its host.
fn is_illness(fault: &Fault) -> bool {
    match fault {
        Fault::Trap(_) | Fault::Cpu | Fault::Deadline | Fault::Memory | Fault::NoResponse(_) => true,
        Fault::ResponseTooLarge | Fault::SlowRequest | Fault::Unread | Fault::Busy | Fault::CircuitOpen { .. } => false,
    }
}

impl Drop for BreakerPermit {
    /// The next request may try in its place.
    fn drop(&mut self) {
        if self.run == Run::Trial {
            let mut state = self.health.state();
            if let State::Trying { pause } = *state {
                *state = State::Open { until: Instant::now(), pause };
            }
        }
    }
}

impl fmt::Debug for BreakerPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerPermit").field("plugin", &self.health.plugin).field("run", &self.run).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(failures: u32, pause: Duration) -> Arc<Health> {
        Health::new("p".into(), BreakerSettings { failures, pause, longest: pause * 4, rollback: false })
    }

    fn fail(health: &Arc<Health>) {
        health.admit().expect("admitted").failed(&Fault::Deadline);
    }

    #[test]
    fn failures_in_a_row_close_the_door_and_a_success_between_them_does_not() {
        let health = health(3, Duration::from_secs(3600));
        fail(&health);
        fail(&health);
        health.admit().expect("admitted").succeeded();
        fail(&health);
        fail(&health);
        assert_eq!(health.circuit(), Circuit::Closed);
        fail(&health);
        assert!(matches!(health.circuit(), Circuit::Open { .. }));
        assert!(matches!(health.admit(), Err(Fault::CircuitOpen { retry }) if retry > Duration::from_secs(3500)));
    }

    #[test]
    fn after_the_pause_one_request_decides() {
        let health = health(1, Duration::ZERO);
        fail(&health);
        let trial = health.admit().expect("the pause is over");
        assert!(matches!(health.admit(), Err(Fault::CircuitOpen { .. })), "one at a time");
        assert!(matches!(health.circuit(), Circuit::Open { .. }));
        drop(trial);
        health.admit().expect("its client went away, the next one tries").succeeded();
        let (one, two) = (health.admit(), health.admit());
        assert!(one.is_ok() && two.is_ok(), "well again");
    }

    #[test]
    fn a_failed_trial_doubles_the_pause_up_to_the_longest() {
        let health = health(1, Duration::from_secs(10));
        fail(&health);
        for expected in [20, 40, 40] {
            let State::Open { pause, .. } = *health.state() else { panic!("open") };
            *health.state() = State::Trying { pause };
            BreakerPermit { health: Arc::clone(&health), run: Run::Trial, excused: None }.failed(&Fault::Cpu);
            let State::Open { pause, .. } = *health.state() else { panic!("open again") };
            assert_eq!(pause, Duration::from_secs(expected));
        }
    }

    #[test]
    fn a_trial_that_answers_lets_others_in_and_one_more_failure_is_enough() {
        let health = health(3, Duration::ZERO);
        (0..3).for_each(|_| fail(&health));
        let mut trial = health.admit().expect("the pause is over");
        trial.answers();
        health.admit().expect("others need not wait").succeeded();
        trial.failed(&Fault::Cpu);
        assert!(matches!(*health.state(), State::Closed { failures: 1, .. }), "something ended well in between");
        (0..2).for_each(|_| fail(&health));
        let mut trial = health.admit().expect("the pause is over");
        trial.answers();
        trial.failed(&Fault::Cpu);
        assert!(matches!(*health.state(), State::Open { .. }));
    }

    #[test]
    fn what_is_no_fault_of_the_guest_changes_nothing_and_0_is_never() {
        let patient = health(1, Duration::from_secs(1));
        for fault in [Fault::Busy, Fault::Unread, Fault::ResponseTooLarge] {
            patient.admit().expect("admitted").failed(&fault);
        }
        assert_eq!(patient.circuit(), Circuit::Closed);
        let never = health(0, Duration::from_secs(1));
        (0..100).for_each(|_| fail(&never));
        assert_eq!(never.circuit(), Circuit::Closed);
    }
}
