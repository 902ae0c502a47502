//! A circuit breaker: after some failures in a row it refuses calls for a while, so that something broken is neither
//! waited for nor burdened.
//!
//! The circuit has three states. *Closed*: calls go through, and failures in a row are counted. *Open*: calls are
//! refused until a pause is over. *Trial*: one call is let through to find out, and the others are refused; if it
//! succeeds the circuit closes, if it fails the circuit opens again for twice as long, up to a longest pause.
//!
//! A call that began before the circuit opened changes nothing when it ends afterwards: only the trial decides.
//! The breaker never stops a call that runs, and it writes no log: [`BreakerChange`] tells its user what to log.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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

/// The permission for one call. Dropped without a report, it counts as neither a success nor a failure; if it was the
/// trial, the next call is the trial in its place.
#[must_use]
pub struct BreakerPermit {
    breaker: Arc<Breaker>,
    role: CallRole,
    /// Set when a failure of this call has been counted already, as another call's.
    excused: Option<Arc<AtomicBool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallRole {
    Usual,
    Trial,
    /// A failure of it does not count.
    Uncounted,
    /// The end was reported: dropping the permit means nothing.
    Judged,
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

    /// Lets a call through if the circuit is closed, or if a pause is over: the first call after it is the trial.
    pub fn admit(self: &Arc<Self>) -> Result<BreakerPermit, BreakerOpen> {
        if self.unbroken.load(Relaxed) {
            return Ok(self.permit(CallRole::Usual));
        }
        let mut state = self.state.lock();
        let now = Instant::now();
        match *state {
            CircuitState::Closed { .. } => Ok(self.permit(CallRole::Usual)),
            CircuitState::Open { until, pause } if now >= until => {
                *state = CircuitState::Trial { pause };
                Ok(self.permit(CallRole::Trial))
            }
            CircuitState::Open { until, .. } => Err(BreakerOpen { retry: until.saturating_duration_since(now) }),
            CircuitState::Trial { pause } => Err(BreakerOpen { retry: pause }),
        }
    }

    /// Lets a call through that may fail for a reason of its own and is repeated by itself. While the circuit is closed
    /// its failure does not count. It is the trial only if no other call has been for so long after the pause: else one
    /// client could have every trial fail.
    pub fn admit_uncounted(self: &Arc<Self>, patience: Duration) -> Result<BreakerPermit, BreakerOpen> {
        let mut state = self.state.lock();
        let now = Instant::now();
        match *state {
            CircuitState::Closed { .. } => Ok(self.permit(CallRole::Uncounted)),
            CircuitState::Open { until, pause } if now.saturating_duration_since(until) >= patience && now >= until => {
                *state = CircuitState::Trial { pause };
                Ok(self.permit(CallRole::Trial))
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
        self.permit(CallRole::Usual)
    }

    fn permit(self: &Arc<Self>, role: CallRole) -> BreakerPermit {
        BreakerPermit { breaker: Arc::clone(self), role, excused: None }
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

impl BreakerPermit {
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

    /// A failure of this call will not count if `excused` is set by then: what several calls share fails once,
    /// however many calls that ends. A trial is judged in any case.
    pub fn unless(&mut self, excused: Arc<AtomicBool>) {
        self.excused = Some(excused);
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
        let is_excused = self.excused.as_ref().is_some_and(|excused| excused.load(Relaxed));
        if self.role == CallRole::Uncounted || (is_excused && self.role != CallRole::Trial) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// The longest pause is four times the first.
    fn breaker(failures: u32, pause: Duration) -> Arc<Breaker> {
        Breaker::new("test".into(), BreakerSettings { failures, pause, longest: pause * 4, jitter: false })
    }

    fn fail(breaker: &Arc<Breaker>) -> Option<BreakerChange> {
        breaker.admit().unwrap().failed()
    }

    fn open_by_failures(breaker: &Arc<Breaker>) {
        for _ in 0..breaker.settings.failures {
            fail(breaker);
        }
        assert!(matches!(*breaker.state.lock(), CircuitState::Open { .. }));
    }

    /// Ends the pause, however long it is.
    fn wait(breaker: &Breaker) {
        let mut state = breaker.state.lock();
        let CircuitState::Open { pause, .. } = *state else { panic!("{state:?}") };
        *state = CircuitState::Open { until: Instant::now(), pause };
    }

    #[test]
    fn a_call_that_is_not_counted_opens_nothing_and_is_the_trial_when_no_other_comes() {
        let breaker = breaker(3, HOUR);
        for _ in 0..9 {
            assert_eq!(breaker.admit_uncounted(Duration::ZERO).unwrap().failed(), None);
        }
        assert_eq!(breaker.check(), Ok(()));
        open_by_failures(&breaker);
        assert!(breaker.admit_uncounted(Duration::ZERO).is_err(), "during the pause");
        wait(&breaker);
        assert!(breaker.admit_uncounted(HOUR).is_err(), "another call may still come");
        let trial = breaker.admit_uncounted(Duration::ZERO).unwrap();
        assert!(trial.is_trial() && breaker.admit().is_err());
        assert!(matches!(trial.failed(), Some(BreakerChange::Reopened { .. })));
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_and_a_success_between_them_does_not() {
        let breaker = breaker(3, HOUR);
        for _ in 0..4 {
            assert_eq!((fail(&breaker), fail(&breaker)), (None, None));
            assert_eq!(breaker.admit().unwrap().succeeded(), None);
        }
        fail(&breaker);
        fail(&breaker);
        assert_eq!(breaker.check(), Ok(()));
        assert_eq!(fail(&breaker), Some(BreakerChange::Opened { failures: 3, pause: HOUR }));
        let refused = breaker.check().unwrap_err();
        assert!(refused.retry > HOUR - Duration::from_secs(60) && refused.retry <= HOUR, "{refused}");
        assert!(breaker.admit().unwrap_err().retry <= refused.retry);
    }

    #[test]
    fn after_the_pause_one_call_decides_and_others_are_refused_meanwhile() {
        let breaker = breaker(1, HOUR);
        open_by_failures(&breaker);
        wait(&breaker);
        assert_eq!(breaker.check(), Ok(()));
        let trial = breaker.admit().unwrap();
        assert_eq!(breaker.check(), Err(BreakerOpen { retry: HOUR }));
        assert_eq!(breaker.admit().unwrap_err(), BreakerOpen { retry: HOUR });
        assert_eq!(trial.succeeded(), Some(BreakerChange::Closed));
        let (_one, _two) = (breaker.admit().unwrap(), breaker.admit().unwrap());
    }

    #[test]
    fn a_trial_that_is_dropped_leaves_the_next_call_to_try() {
        let breaker = breaker(1, HOUR);
        open_by_failures(&breaker);
        wait(&breaker);
        drop(breaker.admit().unwrap());
        assert_eq!(breaker.admit().unwrap().succeeded(), Some(BreakerChange::Closed));
        drop(breaker.admit().unwrap());
        assert_eq!(breaker.check(), Ok(()), "any other dropped call means nothing");
    }

    #[test]
    fn a_failed_trial_doubles_the_pause_up_to_the_longest_and_a_success_resets_it() {
        let breaker = breaker(1, HOUR);
        open_by_failures(&breaker);
        for hours in [2, 4, 4] {
            wait(&breaker);
            let pause = HOUR * hours;
            assert_eq!(fail(&breaker), Some(BreakerChange::Reopened { pause }));
            assert!(breaker.check().unwrap_err().retry > pause - Duration::from_secs(60));
        }
        wait(&breaker);
        breaker.admit().unwrap().succeeded();
        assert_eq!(fail(&breaker), Some(BreakerChange::Opened { failures: 1, pause: HOUR }));
    }

    #[test]
    fn a_longest_pause_below_the_first_is_the_first() {
        let settings = BreakerSettings { failures: 1, pause: HOUR, longest: Duration::ZERO, jitter: false };
        let breaker = Breaker::new("test".into(), settings);
        open_by_failures(&breaker);
        wait(&breaker);
        assert_eq!(fail(&breaker), Some(BreakerChange::Reopened { pause: HOUR }));
    }

    #[test]
    fn jitter_takes_at_most_half_of_a_pause() {
        let mut rests = Vec::new();
        for _ in 0..32 {
            let settings = BreakerSettings { failures: 1, pause: HOUR, longest: HOUR, jitter: true };
            let breaker = Breaker::new("test".into(), settings);
            open_by_failures(&breaker);
            rests.push(breaker.check().unwrap_err().retry);
        }
        let half = HOUR / 2 - Duration::from_secs(60);
        assert!(rests.iter().all(|rest| (half..=HOUR).contains(rest)), "{rests:?}");
        let apart = *rests.iter().max().unwrap() - *rests.iter().min().unwrap();
        assert!(apart > Duration::from_secs(60), "{rests:?}");
    }

    #[test]
    fn a_call_from_before_the_circuit_opened_changes_nothing() {
        let breaker = breaker(2, HOUR);
        let (succeeds, fails) = (breaker.admit().unwrap(), breaker.admit().unwrap());
        open_by_failures(&breaker);
        assert_eq!((succeeds.succeeded(), fails.failed()), (None, None));
        assert!(breaker.check().is_err());
        assert_eq!((breaker.admit_anyway().succeeded(), breaker.admit_anyway().failed()), (None, None));
        wait(&breaker);
        let _trial = breaker.admit().unwrap();
        assert_eq!((breaker.admit_anyway().succeeded(), breaker.admit_anyway().failed()), (None, None));
        assert!(matches!(*breaker.state.lock(), CircuitState::Trial { .. }));
    }

    #[test]
    fn a_call_that_was_admitted_anyway_counts_while_the_circuit_is_closed() {
        let breaker = breaker(2, HOUR);
        breaker.admit_anyway().failed();
        assert_eq!(breaker.admit_anyway().failed(), Some(BreakerChange::Opened { failures: 2, pause: HOUR }));
    }

    #[test]
    fn a_trial_that_responds_lets_others_in_and_one_more_failure_is_enough() {
        let breaker = breaker(3, HOUR);
        open_by_failures(&breaker);
        wait(&breaker);
        let mut trial = breaker.admit().unwrap();
        assert_eq!(trial.responds(), Some(BreakerChange::Closed));
        assert_eq!(trial.responds(), None);
        assert_eq!(breaker.admit().unwrap().succeeded(), None, "others need not wait");
        assert_eq!(trial.failed(), None, "another call succeeded in between: it is one failure of three");
        assert_eq!((fail(&breaker), fail(&breaker).is_some()), (None, true));
        wait(&breaker);
        let mut trial = breaker.admit().unwrap();
        trial.responds();
        assert_eq!(trial.failed(), Some(BreakerChange::Opened { failures: 3, pause: 2 * HOUR }));
    }

    #[test]
    fn an_excused_failure_does_not_count_unless_it_is_the_trials() {
        let breaker = breaker(1, HOUR);
        let excused = Arc::new(AtomicBool::new(false));
        let shared = |breaker: &Arc<Breaker>| {
            let mut permit = breaker.admit().unwrap();
            permit.unless(Arc::clone(&excused));
            permit
        };
        let (one, two) = (shared(&breaker), shared(&breaker));
        excused.store(true, Relaxed);
        assert_eq!(one.failed(), None);
        excused.store(false, Relaxed);
        assert!(two.failed().is_some());
        excused.store(true, Relaxed);
        wait(&breaker);
        assert_eq!(shared(&breaker).failed(), Some(BreakerChange::Reopened { pause: 2 * HOUR }));
    }

    #[test]
    fn failures_that_were_held_back_count_together() {
        let breaker = breaker(3, HOUR);
        assert_eq!(breaker.admit().unwrap().failed_times(2), None);
        let last = breaker.admit().unwrap();
        assert!(!last.is_trial());
        assert_eq!(last.failed_times(3), Some(BreakerChange::Opened { failures: 5, pause: HOUR }));
        wait(&breaker);
        let trial = breaker.admit().unwrap();
        assert!(trial.is_trial());
        assert_eq!(trial.failed_times(1), Some(BreakerChange::Reopened { pause: 2 * HOUR }));
    }

    #[test]
    fn zero_failures_never_open_the_circuit() {
        let breaker = breaker(0, HOUR);
        for _ in 0..100 {
            assert_eq!(fail(&breaker), None);
        }
        assert_eq!(breaker.check(), Ok(()));
    }
}
