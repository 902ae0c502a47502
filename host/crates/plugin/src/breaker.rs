//! The circuit breaker of a plugin: the faults that count as failures, and the log of what they change.
//!
//! A breaker stops no request that runs. What else follows from an open circuit, such as going back to the previous
//! build, is decided by the callers of [`Plugin::circuit`](crate::Plugin::circuit).

use coinslot_base::breaker::{Breaker, BreakerChange, BreakerOpen, BreakerPermit};

use crate::fault::{Circuit, Fault};

/// The state of a circuit. Reading it begins no trial.
pub(crate) fn circuit(breaker: &Breaker) -> Circuit {
    match breaker.check() {
        Ok(()) => Circuit::Closed,
        Err(BreakerOpen { retry }) => Circuit::Open { retry },
    }
}

impl From<BreakerOpen> for Fault {
    fn from(BreakerOpen { retry }: BreakerOpen) -> Self {
        Self::CircuitOpen { retry }
    }
}

/// Reports that a response has begun and may go on for a long time: other requests need not wait for the end of a
/// trial.
pub(crate) fn responds(permit: &mut BreakerPermit, plugin: &str) {
    if permit.responds().is_some() {
        tracing::info!(plugin, "the plugin answers again: its circuit is closed");
    }
}

/// Reports that the guest ended without a fault, whatever it answered.
pub(crate) fn succeeded(permit: BreakerPermit, plugin: &str) {
    if permit.succeeded().is_some() {
        tracing::info!(plugin, "the plugin answers again: its circuit is closed");
    }
}

/// Reports a fault. A fault that is not the guest's own changes nothing.
pub(crate) fn failed(permit: BreakerPermit, plugin: &str, fault: &Fault) {
    if !counts(fault) {
        return;
    }
    match permit.failed() {
        Some(BreakerChange::Opened { failures, pause }) => {
            tracing::warn!(plugin, %fault, failures, ?pause, "the plugin failed repeatedly: its circuit is open");
        }
        Some(BreakerChange::Reopened { pause }) => {
            tracing::warn!(plugin, %fault, ?pause, "the plugin failed its trial: its circuit stays open");
        }
        Some(BreakerChange::Closed) | None => {}
    }
}

/// True for a fault that says something about the guest, rather than about its clients or its host.
fn counts(fault: &Fault) -> bool {
    match fault {
        Fault::Trap(_)
        | Fault::Cpu
        | Fault::Deadline
        | Fault::TotalTime
        | Fault::SlowQuote(_)
        | Fault::Memory
        | Fault::HostMemory
        | Fault::NoResponse(_) => true,
        // The memory is that of other requests.
        Fault::PluginMemory
        | Fault::ResponseTooLarge
        | Fault::SlowRequest
        | Fault::RequestEndedEarly(_)
        | Fault::RequestTooLarge(_)
        | Fault::Unread
        | Fault::Busy
        | Fault::CircuitOpen { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use coinslot_base::breaker::BreakerSettings;

    use super::*;

    fn fail(breaker: &Arc<Breaker>, fault: &Fault) {
        failed(breaker.admit().expect("admitted"), "p", fault);
    }

    #[test]
    fn a_fault_that_is_not_the_guests_never_opens_the_circuit() {
        let hour = Duration::from_secs(3600);
        let settings = BreakerSettings { failures: 1, pause: hour, longest: hour, jitter: false };
        let breaker = Breaker::new("p".into(), settings);
        let broken = [Fault::RequestEndedEarly, Fault::RequestTooLarge].map(|fault| fault("it trapped".into()));
        let others = [Fault::ResponseTooLarge, Fault::SlowRequest].into_iter().chain(broken);
        for fault in [Fault::Busy, Fault::PluginMemory, Fault::Unread].into_iter().chain(others) {
            fail(&breaker, &fault);
        }
        assert_eq!(circuit(&breaker), Circuit::Closed);
        fail(&breaker, &Fault::Deadline);
        assert!(matches!(circuit(&breaker), Circuit::Open { .. }));
        let refused = breaker.admit().map(drop).map_err(Fault::from);
        assert!(matches!(refused, Err(Fault::CircuitOpen { retry }) if retry > hour - Duration::from_secs(60)));
    }
}
