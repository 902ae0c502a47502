//! Tests the circuits of a plugin with paid and unpaid calls.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn circuits(failures: u32, pause: Duration) -> Arc<Circuits> {
    Circuits::new(&"p".into(), BreakerSettings { failures, pause, longest: pause, jitter: false }, PauseFlag::default())
}

/// Has a call fail, if it is admitted.
fn fail(circuits: &Circuits, payer: Option<&str>) {
    if let Ok(permit) = circuits.admit(payer) {
        permit.failed("p", &Fault::Cpu);
    }
}

fn succeed(circuits: &Circuits, payer: &str) {
    circuits.admit(Some(payer)).expect("admitted").succeeded("p");
}

#[test]
fn a_fault_that_is_not_the_guests_never_opens_the_circuit() {
    let circuits = circuits(1, HOUR);
    let broken = [Fault::RequestEndedEarly, Fault::RequestTooLarge].map(|fault| fault("it trapped".into()));
    let others = [Fault::ResponseTooLarge, Fault::SlowRequest].into_iter().chain(broken);
    for fault in [Fault::Busy, Fault::PluginMemory, Fault::Unread].into_iter().chain(others) {
        for payer in [None, Some("0xa")] {
            circuits.admit(payer).expect("admitted").failed("p", &fault);
        }
    }
    assert_eq!((circuits.unpaid(), circuits.of_payer("0xa")), (Circuit::Closed, Circuit::Closed));
    for (payer, state) in [(None, Circuits::unpaid as fn(&Circuits) -> Circuit), (Some("0xa"), Circuits::paid)] {
        circuits.admit(payer).expect("admitted").failed("p", &Fault::Deadline);
        assert!(matches!(state(&circuits), Circuit::Open { .. }));
        let refused = circuits.admit(payer).map(drop);
        assert!(matches!(refused, Err(Fault::CircuitOpen { retry }) if retry > HOUR - Duration::from_secs(60)));
    }
}

#[test]
fn unpaid_failures_refuse_no_paid_call_and_paid_ones_no_unpaid_call() {
    let circuits = circuits(2, HOUR);
    for _ in 0..9 {
        fail(&circuits, None);
    }
    assert!(circuits.admit(None).is_err());
    assert_eq!(circuits.of_payer("0xa"), Circuit::Closed);
    succeed(&circuits, "0xa");
    assert!(circuits.admit(None).is_err(), "a paid success says nothing about free routes");
    let circuits = self::circuits(2, HOUR);
    for payer in ["0xa", "0xb"] {
        fail(&circuits, Some(payer));
    }
    assert!(circuits.admit(Some("0xc")).is_err());
    assert_eq!(circuits.unpaid(), Circuit::Closed);
}

#[test]
fn a_payer_whose_calls_fail_is_refused_alone() {
    let circuits = circuits(3, HOUR);
    // Calls that run at once fail one after another.
    let at_once: Vec<_> = (0..9).map(|_| circuits.admit(Some("0xA")).expect("admitted")).collect();
    for permit in at_once {
        permit.failed("p", &Fault::Cpu);
    }
    assert!(circuits.admit(Some("0xa")).is_err() && circuits.of_payer("0xa") != Circuit::Closed);
    assert_eq!((circuits.paid(), circuits.of_payer("0xb")), (Circuit::Closed, Circuit::Closed));
    fail(&circuits, Some("0xb"));
    assert_eq!(circuits.paid(), Circuit::Closed, "two payers of three");
    fail(&circuits, Some("0xc"));
    assert!(circuits.admit(Some("0xd")).is_err(), "it fails for everybody");
}

#[test]
fn a_success_of_any_payer_begins_the_count_of_payers_anew() {
    let circuits = circuits(2, HOUR);
    for _ in 0..4 {
        fail(&circuits, Some("0xa"));
        succeed(&circuits, "0xb");
    }
    assert!(circuits.admit(Some("0xa")).is_err(), "its own failures are still in a row");
    fail(&circuits, Some("0xc"));
    assert_eq!(circuits.paid(), Circuit::Closed);
    fail(&circuits, Some("0xd"));
    assert_ne!(circuits.paid(), Circuit::Closed);
}

#[test]
fn a_payer_that_succeeds_has_no_failures_in_a_row() {
    let circuits = circuits(2, HOUR);
    for _ in 0..4 {
        fail(&circuits, Some("0xa"));
        succeed(&circuits, "0xa");
    }
    fail(&circuits, Some("0xa"));
    assert_eq!(circuits.of_payer("0xa"), Circuit::Closed);
}

#[test]
fn the_trial_is_of_a_payer_that_has_not_failed() {
    let circuits = circuits(2, Duration::ZERO);
    for payer in ["0xa", "0xb"] {
        fail(&circuits, Some(payer));
    }
    // The pause is over. One of the payers that failed would fail the trial, too, and begin another pause.
    assert!(circuits.admit(Some("0xa")).is_err());
    let trial = circuits.admit(Some("0xc")).expect("admitted");
    assert!(trial.is_trial() && circuits.admit(Some("0xd")).is_err());
    trial.succeeded("p");
    assert!(circuits.admit(Some("0xa")).is_ok());
}

#[test]
fn a_repeated_run_counts_for_no_circuit() {
    let circuits = circuits(1, HOUR);
    circuits.admit_repeated("0xa").expect("admitted").failed("p", &Fault::Cpu);
    assert_eq!(circuits.of_payer("0xa"), Circuit::Closed);
    fail(&circuits, Some("0xb"));
    assert!(circuits.admit_repeated("0xa").is_err(), "the plugin is not called");
}

#[test]
fn zero_failures_never_refuse_anybody() {
    let circuits = circuits(0, HOUR);
    for payer in [None, Some("0xa"), Some("0xb")] {
        for _ in 0..20 {
            circuits.admit(payer).expect("admitted").failed("p", &Fault::Cpu);
        }
    }
}

#[test]
fn payers_beyond_a_bound_replace_the_one_that_failed_longest_ago() {
    let circuits = circuits(5000, HOUR);
    for index in 0..1100 {
        fail(&circuits, Some(&format!("0x{index}")));
    }
    assert!(circuits.paid.of_payer("0x0").is_none() && circuits.paid.of_payer("0x1099").is_some());
}
