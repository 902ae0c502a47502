//! The permission for one call, by which the call reports its end to the breaker.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Breaker, BreakerChange, CircuitState};

/// The permission for one call. Dropped without a report, it counts as neither a success nor a failure; if it was the
/// trial, the next call is the trial in its place.
#[must_use]
pub struct BreakerPermit {
    breaker: Arc<Breaker>,
    role: CallRole,
}

/// The effect that the end of a call has on the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallRole {
    Usual,
    Trial,
    /// A failure of it does not count.
    Uncounted,
    /// The end was reported: dropping the permit means nothing.
    Judged,
}

impl BreakerPermit {
    pub(super) fn new(breaker: &Arc<Breaker>, role: CallRole) -> Self {
        Self { breaker: Arc::clone(breaker), role }
    }

    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// True if this call is the trial of an open circuit: the others are refused until it ends.
    pub fn is_trial(&self) -> bool {
        self.role == CallRole::Trial
    }

    /// The call has begun to answer and may go on for long: if it is the trial, the circuit closes, so that other
    /// calls need not wait for its end. Until one of them succeeds, a single failure opens the circuit again, for
    /// the doubled pause.
    pub fn responds(&mut self) -> Option<BreakerChange> {
        if self.role != CallRole::Trial {
            return None;
        }
        self.role = CallRole::Usual;
        let mut state = self.breaker.state.lock();
        let CircuitState::Trial { pause } = *state else { return None };
        // One failure short of open.
        let failures = self.breaker.settings.failures.saturating_sub(1);
        *state = CircuitState::Closed { failures, pause: self.breaker.doubled(pause) };
        Some(BreakerChange::Closed)
    }

    /// The call is no trial any more, because its end may say nothing or take long: the next call is the trial in its
    /// place.
    pub fn give_up_trial(&mut self) {
        if self.role == CallRole::Trial {
            self.role = CallRole::Usual;
            self.breaker.end_trial();
        }
    }

    /// The call is no trial any more, because its failure says nothing: the next trial comes after the same pause.
    pub fn postpone_trial(mut self) {
        if self.role == CallRole::Trial {
            self.role = CallRole::Judged;
            self.breaker.postpone_trial();
        }
    }

    /// The call succeeded.
    pub fn succeeded(mut self) -> Option<BreakerChange> {
        let role = std::mem::replace(&mut self.role, CallRole::Judged);
        // The usual case, without the lock.
        if role != CallRole::Trial && self.breaker.unbroken.load(Relaxed) {
            return None;
        }
        let mut state = self.breaker.state.lock();
        let change = match (role, *state) {
            (CallRole::Trial, _) => Some(BreakerChange::Closed),
            (_, CircuitState::Closed { .. }) => None,
            // The call began before the circuit opened, so it says nothing about the state since then.
            (_, CircuitState::Open { .. } | CircuitState::Trial { .. }) => return None,
        };
        *state = self.breaker.closed();
        self.breaker.unbroken.store(true, Relaxed);
        change
    }

    /// The call failed by the fault of what was called. After a failure that is no such fault, drop the permit.
    pub fn failed(self) -> Option<BreakerChange> {
        self.failed_times(1)
    }

    /// The call failed, and stands for this many failures in a row, itself and those that were held back before it.
    pub fn failed_times(mut self, times: u32) -> Option<BreakerChange> {
        if self.role == CallRole::Uncounted {
            return None;
        }
        let role = std::mem::replace(&mut self.role, CallRole::Judged);
        let settings = self.breaker.settings;
        if settings.failures == 0 {
            return None;
        }
        let mut state = self.breaker.state.lock();
        self.breaker.unbroken.store(false, Relaxed);
        let (next, change) = match (role, *state) {
            (CallRole::Trial, CircuitState::Trial { pause }) => {
                let pause = self.breaker.doubled(pause);
                (self.breaker.open(pause), Some(BreakerChange::Reopened { pause }))
            }
            (_, CircuitState::Closed { failures, pause }) if failures.saturating_add(times) >= settings.failures => {
                let opened = BreakerChange::Opened { failures: failures.saturating_add(times), pause };
                (self.breaker.open(pause), Some(opened))
            }
            (_, CircuitState::Closed { failures, pause }) => {
                (CircuitState::Closed { failures: failures + times, pause }, None)
            }
            // The call began before the circuit opened, so it says nothing about the state since then.
            (_, CircuitState::Open { .. } | CircuitState::Trial { .. }) => return None,
        };
        *state = next;
        change
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        if self.role == CallRole::Trial {
            self.breaker.end_trial();
        }
    }
}

impl fmt::Debug for BreakerPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerPermit").field("name", &self.breaker.name).field("role", &self.role).finish()
    }
}
