//! Whether a member is asked at all. After some failures in a row it is paused; when the pause is over
//! one call tries it, and the pause doubles if that fails, too.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a member is paused, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CircuitSettings {
    /// In a row.
    pub failures: u32,
    /// The first pause, and the longest.
    pub pause: Duration,
    pub longest: Duration,
}

impl Default for CircuitSettings {
    /// Three failures; a second, and half a minute.
    fn default() -> Self {
        Self { failures: 3, pause: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

#[derive(Debug)]
pub(super) struct Circuit {
    name: String,
    settings: CircuitSettings,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One call is on its way; the pause that was before it.
    Trying {
        pause: Duration,
    },
}

/// Leave for one call. How the call went has to be said; a call that was dropped said nothing.
#[derive(Debug)]
#[must_use]
pub(super) struct Pass<'c> {
    circuit: &'c Circuit,
    call: Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Usual,
    Trial,
    Judged,
}

impl Circuit {
    pub(super) fn new(name: &str, settings: CircuitSettings) -> Self {
        Self { name: name.to_owned(), settings, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// None while the member is paused.
    pub(super) fn enter(&self) -> Option<Pass<'_>> {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => Some(Pass { circuit: self, call: Call::Usual }),
            State::Open { until, pause } if Instant::now() >= until => {
                *state = State::Trying { pause };
                Some(Pass { circuit: self, call: Call::Trial })
            }
            State::Open { .. } | State::Trying { .. } => None,
        }
    }

    /// Leave whatever the state, which the call does not change while the member is paused.
    pub(super) fn insist(&self) -> Pass<'_> {
        Pass { circuit: self, call: Call::Usual }
    }

    pub(super) fn is_paused(&self) -> bool {
        match *self.state() {
            State::Closed { .. } => false,
            State::Open { until, .. } => Instant::now() < until,
            State::Trying { .. } => true,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Half of the pause is certain and half is chance, so that many hosts do not come back at once.
    fn open(&self, pause: Duration) -> State {
        let chance: f64 = secp256k1::rand::random();
        State::Open { until: Instant::now() + pause.mul_f64(0.5 + chance / 2.0), pause }
    }
}

impl Pass<'_> {
    pub(super) fn succeeded(mut self) {
        let call = std::mem::replace(&mut self.call, Call::Judged);
        let mut state = self.circuit.state();
        match (call, *state) {
            (Call::Trial, _) => {
                tracing::info!(facilitator = %self.circuit.name, "the facilitator is well again");
                *state = State::Closed { failures: 0 };
            }
            (_, State::Closed { .. }) => *state = State::Closed { failures: 0 },
            // A call from before the pause.
            (_, State::Open { .. } | State::Trying { .. }) => {}
        }
    }

    pub(super) fn failed(mut self, why: &str) {
        let call = std::mem::replace(&mut self.call, Call::Judged);
        let settings = self.circuit.settings;
        let mut state = self.circuit.state();
        match (call, *state) {
            (Call::Trial, State::Trying { pause }) => {
                *state = self.circuit.open(pause.saturating_mul(2).min(settings.longest));
            }
            (_, State::Closed { failures }) if failures + 1 >= settings.failures => {
                tracing::warn!(facilitator = %self.circuit.name, why, "the facilitator is paused after failures");
                *state = self.circuit.open(settings.pause);
            }
            (_, State::Closed { failures }) => *state = State::Closed { failures: failures + 1 },
            (_, State::Open { .. } | State::Trying { .. }) => {}
        }
    }
}

impl Drop for Pass<'_> {
    /// The next call may try in its place.
    fn drop(&mut self) {
        if self.call == Call::Trial {
            let mut state = self.circuit.state();
            if let State::Trying { pause } = *state {
                *state = State::Open { until: Instant::now(), pause };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit() -> Circuit {
        let pause = Duration::from_millis(60);
        Circuit::new("test", CircuitSettings { failures: 3, pause, longest: pause * 2 })
    }

    fn fail(circuit: &Circuit) {
        circuit.enter().expect("asked").failed("no answer");
    }

    #[tokio::test]
    async fn three_failures_in_a_row_are_a_pause_and_two_are_not() {
        let circuit = circuit();
        for _ in 0..4 {
            fail(&circuit);
            fail(&circuit);
            circuit.enter().expect("asked").succeeded();
        }
        for _ in 0..3 {
            fail(&circuit);
        }
        assert!(circuit.enter().is_none());
    }

    #[tokio::test]
    async fn after_the_pause_one_call_tries_and_decides() {
        let circuit = circuit();
        for _ in 0..3 {
            fail(&circuit);
        }
        tokio::time::sleep(Duration::from_millis(70)).await;
        let trial = circuit.enter().expect("the pause is over");
        assert!(circuit.enter().is_none(), "one at a time");
        trial.failed("no answer");
        tokio::time::sleep(Duration::from_millis(55)).await;
        assert!(circuit.enter().is_none(), "the second pause is twice as long, of which half is certain");
        tokio::time::sleep(Duration::from_millis(80)).await;
        circuit.enter().expect("the second pause is over").succeeded();
        let (one, other) = (circuit.enter(), circuit.enter());
        assert!(one.is_some() && other.is_some(), "well again");
    }

    #[tokio::test]
    async fn a_trial_that_is_dropped_leaves_the_next_call_to_try() {
        let circuit = circuit();
        for _ in 0..3 {
            fail(&circuit);
        }
        tokio::time::sleep(Duration::from_millis(70)).await;
        drop(circuit.enter().expect("the pause is over"));
        assert!(circuit.enter().is_some());
    }

    #[tokio::test]
    async fn a_late_answer_from_before_the_pause_changes_nothing() {
        let circuit = circuit();
        let early = circuit.enter().expect("asked");
        for _ in 0..3 {
            fail(&circuit);
        }
        early.succeeded();
        assert!(circuit.enter().is_none());
    }
}
