//! Refuses calls for a while after some failures in a row, so that callers do not wait for what is broken, and do not
//! burden it.
//!
//! The circuit has three states. *Closed*: calls go through, and failures in a row are counted. *Open*: calls are
//! refused until a pause is over. *Trial*: one call is let through to find out, and the others are refused; if it
//! succeeds the circuit closes, if it fails the circuit opens again for twice as long, up to a longest pause.
//!
//! A call that began before the circuit opened changes nothing when it ends afterwards: only the trial decides.
//! The breaker never stops a call that runs, and it writes no log: [`BreakerChange`] tells its user what to log.

mod permit;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use permit::CallRole;

pub use permit::BreakerPermit;

/// The rule by which a circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open the circuit. With 0 it never opens.
    pub failures: u32,
    /// The first pause.
    pub pause: Duration,
    /// The longest pause; at least [`BreakerSettings::pause`] counts.
    pub longest: Duration,
    /// Shortens each pause by chance to between half of it and all of it, so that many hosts do not try the same
    /// service again at the same moment.
    pub jitter: bool,
}

/// A circuit breaker for one thing that is called.
#[derive(Debug)]
pub struct Breaker {
    name: Arc<str>,
    settings: BreakerSettings,
    /// Set while nothing failed since the last success. Then the circuit is closed and no success changes the
    /// state, so that calls need no lock. It is written only while `state` is locked. A call may read it a moment too
    /// early or too late; that is as if the call had come at that moment.
    unbroken: AtomicBool,
    state: Mutex<CircuitState>,
}

#[derive(Clone, Copy, Debug)]
enum CircuitState {
    Closed {
        failures: u32,
        /// The pause if the circuit opens.
        pause: Duration,
    },
    Open {
        until: Instant,
        /// The pause without jitter.
        pause: Duration,
    },
    Trial {
        /// The pause that was before this trial.
        pause: Duration,
    },
}

/// The refusal of a call while the circuit is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is open, try again in {retry:?}")]
pub struct BreakerOpen {
    /// The rest of the pause; during a trial, the pause that follows if it fails at once.
    pub retry: Duration,
}

/// A change of the state that a call caused, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerChange {
    /// This many failures in a row opened the circuit, for this pause.
    Opened { failures: u32, pause: Duration },
    /// The trial failed: the circuit is open again, for longer.
    Reopened { pause: Duration },
    /// The trial succeeded.
    Closed,
}

impl Breaker {
    /// A closed circuit. The name is for logs.
    pub fn new(name: Arc<str>, settings: BreakerSettings) -> Arc<Self> {
        let state = Mutex::new(CircuitState::Closed { failures: 0, pause: settings.pause });
        Arc::new(Self { name, settings, unbroken: AtomicBool::new(true), state })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fails if a call would be refused now. It changes nothing, so it does not begin a trial.
    pub fn check(&self) -> Result<(), BreakerOpen> {
        if self.unbroken.load(Relaxed) {
            return Ok(());
        }
        match *self.state.lock() {
            CircuitState::Closed { .. } => Ok(()),
            CircuitState::Open { until, .. } => match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Ok(()),
                retry => Err(BreakerOpen { retry }),
            },
            CircuitState::Trial { pause } => Err(BreakerOpen { retry: pause }),
        }
    }

    /// True if no call is needed to close it: after a pause it is not closed before a trial succeeds.
    pub fn is_closed(&self) -> bool {
        self.unbroken.load(Relaxed) || matches!(*self.state.lock(), CircuitState::Closed { .. })
    }

    /// Lets a call through if the circuit is closed, or if a pause is over: the first call after it is the trial.
    pub fn admit(self: &Arc<Self>) -> Result<BreakerPermit, BreakerOpen> {
        if self.unbroken.load(Relaxed) {
            return Ok(BreakerPermit::new(self, CallRole::Usual));
        }
        let mut state = self.state.lock();
        let now = Instant::now();
        match *state {
            CircuitState::Closed { .. } => Ok(BreakerPermit::new(self, CallRole::Usual)),
            CircuitState::Open { until, pause } if now >= until => {
                *state = CircuitState::Trial { pause };
                Ok(BreakerPermit::new(self, CallRole::Trial))
            }
            CircuitState::Open { until, .. } => Err(BreakerOpen { retry: until.saturating_duration_since(now) }),
            CircuitState::Trial { pause } => Err(BreakerOpen { retry: pause }),
        }
    }

    /// Lets a call through that may fail for a reason of its own and is repeated by itself. While the circuit is closed
    /// its failure does not count. It is the trial only if no other call has been for this long after the pause: else
    /// one client could have every trial fail.
    pub fn admit_uncounted(self: &Arc<Self>, patience: Duration) -> Result<BreakerPermit, BreakerOpen> {
        self.admit_behind_others(CallRole::Uncounted, patience)
    }

    /// Lets a call through that counts, and that is the trial under the same condition as a call of
    /// [`Breaker::admit_uncounted`].
    pub fn admit_patiently(self: &Arc<Self>, patience: Duration) -> Result<BreakerPermit, BreakerOpen> {
        self.admit_behind_others(CallRole::Usual, patience)
    }

    fn admit_behind_others(self: &Arc<Self>, role: CallRole, patience: Duration) -> Result<BreakerPermit, BreakerOpen> {
        let mut state = self.state.lock();
        let now = Instant::now();
        match *state {
            CircuitState::Closed { .. } => Ok(BreakerPermit::new(self, role)),
            CircuitState::Open { until, pause } if now.saturating_duration_since(until) >= patience && now >= until => {
                *state = CircuitState::Trial { pause };
                Ok(BreakerPermit::new(self, CallRole::Trial))
            }
            CircuitState::Open { until, pause } => {
                let left = until.saturating_duration_since(now);
                Err(BreakerOpen { retry: if left.is_zero() { pause } else { left } })
            }
            CircuitState::Trial { pause } => Err(BreakerOpen { retry: pause }),
        }
    }

    /// Lets a call through whatever the state. The call counts while the circuit is closed and changes nothing
    /// otherwise.
    pub fn admit_anyway(self: &Arc<Self>) -> BreakerPermit {
        BreakerPermit::new(self, CallRole::Usual)
    }

    fn open(&self, pause: Duration) -> CircuitState {
        let lasts = if self.settings.jitter { pause.mul_f64(0.5 + chance() / 2.0) } else { pause };
        CircuitState::Open { until: Instant::now() + lasts, pause }
    }

    /// Ends a trial that decided nothing.
    fn end_trial(&self) {
        let mut state = self.state.lock();
        // Open, with a pause that is over: the next call is the trial.
        if let CircuitState::Trial { pause } = *state {
            *state = CircuitState::Open { until: Instant::now(), pause };
        }
    }

    /// Ends a trial that decided nothing, and has the next one wait for the same pause.
    fn postpone_trial(&self) {
        let mut state = self.state.lock();
        if let CircuitState::Trial { pause } = *state {
            *state = self.open(pause);
        }
    }

    fn closed(&self) -> CircuitState {
        CircuitState::Closed { failures: 0, pause: self.settings.pause }
    }

    /// The pause after this one.
    fn doubled(&self, pause: Duration) -> Duration {
        pause.saturating_mul(2).min(self.settings.longest).max(self.settings.pause)
    }
}

/// A random number from 0 to 1. Each `RandomState` of the standard library has other keys, which is random enough
/// to spread retries.
fn chance() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}
