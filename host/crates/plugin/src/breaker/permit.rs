//! The permission of a plugin's circuits for one call, by which the call reports its end.

use std::sync::Arc;

use coinslot_base::breaker::{BreakerChange, BreakerPermit};

use super::counts;
use super::paid::PaidCall;
use crate::fault::Fault;
use crate::instance::shared::Companions;

/// The permission of a plugin's circuits for one call. Dropped without a report, it counts as neither a success nor a
/// failure.
///
/// A fault of an instance that answers several requests at once ends all of them, and which of them caused it is not
/// known. The fault counts once, as [`Companions`] says. A paid call that fails beside an unpaid one counts for
/// nothing: otherwise a client that makes a free route fail could open the circuit of the paid calls in the same
/// instance. As the trial it is no failure either, but the next trial comes after the same pause. An error that an SDK
/// reports ends one request alone, and counts as its own.
#[derive(Debug)]
#[must_use]
pub struct CircuitPermit {
    permit: BreakerPermit,
    /// The payer of the call, with its own circuit. None for an unpaid call.
    paid: Option<PaidCall>,
    /// The requests in the same instance. None for an instance of its own.
    companions: Option<Arc<Companions>>,
}

impl CircuitPermit {
    pub(super) fn unpaid(permit: BreakerPermit) -> Self {
        Self { permit, paid: None, companions: None }
    }

    pub(super) fn paid(permit: BreakerPermit, call: PaidCall) -> Self {
        Self { permit, paid: Some(call), companions: None }
    }

    /// True if this call is the trial of an open circuit: the others are refused until it ends.
    pub(crate) fn is_trial(&self) -> bool {
        self.permit.is_trial()
    }

    /// The call is no trial any more: the next call is the trial in its place.
    pub(crate) fn give_up_trial(&mut self) {
        self.permit.give_up_trial();
    }

    /// The call is answered in an instance with other calls.
    pub(crate) fn shares(&mut self, companions: Arc<Companions>) {
        self.companions = Some(companions);
    }

    /// Reports that a response has begun and may go on for a long time: other requests need not wait for the end of a
    /// trial.
    pub(crate) fn responds(&mut self, plugin: &str) {
        if let Some(call) = &mut self.paid {
            call.responds();
        }
        if self.permit.responds().is_some() {
            log_closed(plugin, if self.paid.is_some() { PAID } else { UNPAID });
        }
    }

    /// Reports that the guest ended without a fault, whatever it answered.
    pub(crate) fn succeeded(self, plugin: &str) {
        let (calls, change) = match self.paid {
            Some(call) => (PAID, call.succeeded(self.permit)),
            None => (UNPAID, self.permit.succeeded()),
        };
        if change.is_some() {
            log_closed(plugin, calls);
        }
    }

    /// Reports a fault. A fault that is not the guest's own changes nothing.
    pub(crate) fn failed(self, plugin: &str, fault: &Fault) {
        let Self { permit, paid, companions } = self;
        if !counts(fault) {
            return;
        }
        let companions = companions.filter(|_| *fault != Fault::Error);
        let is_excused = companions.as_ref().is_some_and(|companions| companions.is_excused()) && !permit.is_trial();
        let Some(call) = paid else {
            if !is_excused {
                log_failed(plugin, UNPAID, fault, permit.failed());
            }
            return;
        };
        let Some(payers) = companions.map_or(Some(Vec::new()), |companions| companions.payers()) else {
            return permit.postpone_trial();
        };
        let payer = Arc::clone(call.payer());
        let changes = if is_excused { call.failed_with_another() } else { call.failed(permit, payers) };
        if let Some(BreakerChange::Opened { pause, .. } | BreakerChange::Reopened { pause }) = changes.own {
            tracing::warn!(plugin, %payer, %fault, ?pause, "the plugin failed repeatedly for one payer, who is refused");
        }
        log_failed(plugin, PAID, fault, changes.all_payers);
    }
}

/// The calls of a circuit, as the log names them.
const PAID: &str = "paid";
const UNPAID: &str = "unpaid";

fn log_closed(plugin: &str, calls: &str) {
    tracing::info!(plugin, calls, "the plugin answers again: its circuit is closed");
}

fn log_failed(plugin: &str, calls: &str, fault: &Fault, change: Option<BreakerChange>) {
    match change {
        Some(BreakerChange::Opened { failures, pause }) => {
            tracing::warn!(plugin, calls, %fault, failures, ?pause, "the plugin failed repeatedly: its circuit is open");
        }
        Some(BreakerChange::Reopened { pause }) => {
            tracing::warn!(plugin, calls, %fault, ?pause, "the plugin failed its trial: its circuit stays open");
        }
        Some(BreakerChange::Closed) | None => {}
    }
}
