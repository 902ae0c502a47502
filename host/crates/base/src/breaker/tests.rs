//! Tests of circuits by their calls.

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

/// A trial whose failure said nothing was followed by the next one at once, so that the circuit was as good as closed.
#[test]
fn a_trial_that_is_postponed_comes_after_the_same_pause() {
    let breaker = breaker(1, HOUR);
    open_by_failures(&breaker);
    wait(&breaker);
    breaker.admit().unwrap().postpone_trial();
    assert!(breaker.check().is_err());
    wait(&breaker);
    assert_eq!(fail(&breaker), Some(BreakerChange::Reopened { pause: 2 * HOUR }));
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
fn a_call_that_waits_for_others_counts_and_is_the_trial_when_no_other_comes() {
    let breaker = breaker(2, HOUR);
    assert_eq!(breaker.admit_patiently(HOUR).unwrap().failed(), None);
    assert_eq!(
        breaker.admit_patiently(HOUR).unwrap().failed(),
        Some(BreakerChange::Opened { failures: 2, pause: HOUR })
    );
    wait(&breaker);
    assert!(breaker.admit_patiently(HOUR).is_err(), "another call may still come");
    assert_eq!(breaker.admit_patiently(Duration::ZERO).unwrap().succeeded(), Some(BreakerChange::Closed));
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
