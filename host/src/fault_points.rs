//! Fault points for tests: the process kills itself at a named step, as a power cut would.
//!
//! Only with the feature `fault-points`. `COINSLOT_CRASH_AT` names the point: `before:settled` dies when
//! the step is about to be taken, `after:settled` when it is durable and nobody has been told.

pub(crate) mod facilitator;
pub(crate) mod ledger;

/// The variable that names the point.
const VARIABLE: &str = "COINSLOT_CRASH_AT";

/// A host without a point has no fault points at all.
pub(crate) fn is_armed() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|point| !point.is_empty())
}

/// Dies here, if this is the point.
pub(crate) fn point(when: &str, step: &str) {
    if std::env::var(VARIABLE).is_ok_and(|point| point == format!("{when}:{step}")) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
