//! Fault points for tests: the process kills itself at a named step, as a power cut would; and long waits that a test
//! may shorten.
//!
//! They exist with the feature `fault-points` only. `COINSLOT_CRASH_AT` names the point: at `before:settled` the
//! process dies when the step is about to be taken, at `after:settled` when it is durable and its caller does not know
//! yet. `COINSLOT_HURRY` is the number by which the waits of refunds are divided.

#![expect(clippy::disallowed_methods, reason = "a test names the point by a variable")]

pub(crate) mod facilitator;
pub(crate) mod ledger;

/// The environment variable that names the point.
const VARIABLE: &str = "COINSLOT_CRASH_AT";

/// The environment variable with the divisor of waits.
const HURRY: &str = "COINSLOT_HURRY";

/// A wait, as long as a test wants it.
pub(crate) fn hurried(usual: std::time::Duration) -> std::time::Duration {
    let divisor = std::env::var(HURRY).ok().and_then(|text| text.parse().ok()).filter(|divisor| *divisor > 0);
    usual / divisor.unwrap_or(1_u32)
}

/// True if a point is named. Without one, nothing is wrapped.
pub(crate) fn is_armed() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|point| !point.is_empty())
}

/// Kills the process, if this is the named point.
pub(crate) fn point(when: &str, step: &str) {
    if std::env::var(VARIABLE).is_ok_and(|point| point == format!("{when}:{step}")) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // SIGKILL ends the process a moment later: nothing may happen until then.
        loop {
            std::thread::park();
        }
    }
}
