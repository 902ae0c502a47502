//! Decides which calls of a plugin share a circuit breaker, and which faults count as failures.
//!
//! A breaker stops no request that runs. What else follows from an open circuit, such as going back to the previous
//! build, is decided by the callers of [`Plugin::circuit`](crate::Plugin::circuit) and its siblings.

mod paid;
mod permit;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use coinslot_base::breaker::{Breaker, BreakerOpen, BreakerSettings};

use self::paid::PaidCircuit;
pub(crate) use self::paid::payer_key;
use crate::fault::{Circuit, Fault};
use crate::pause::PauseFlag;

pub use self::permit::CircuitPermit;

/// The time after the pause of an open circuit for which calls that have failed before leave the trial to others.
const TRIAL_PATIENCE: Duration = Duration::from_secs(10);

/// The circuits of one build: one of paid calls, whose payment is verified or settled, and one of unpaid calls.
///
/// An open circuit refuses all clients, so no client may be able to open it alone and at no cost:
///
/// - *Unpaid calls* cost their sender nothing, and one input that makes the plugin fail is enough to open their
///   circuit. So that circuit refuses unpaid calls alone: free routes, and requests that a quote has made free.
/// - *Paid calls* that fail are not charged, so one payer can repeat a call that fails at no cost. Their circuit counts
///   payers, and each payer that has failed has a circuit of its own besides: see [`PaidCircuit`].
/// - *Quotes* are unpaid, and a client that finds an input whose quote fails can repeat it. If quotes shared the
///   circuit of unpaid calls, failures of quotes or of free routes would take the quoted routes off sale, and so would
///   failures in a circuit of quotes alone. So quotes count for no circuit. They run while the circuit of paid calls is
///   closed, because they price paid calls. A plugin whose every quote fails sells nothing, because no price is made,
///   and its quotes are bounded by their CPU time, their wall time and their part of the plugin's instances.
///
/// A plugin that its operator has paused answers no calls: both circuits say so, whatever they counted.
#[derive(Debug)]
pub(crate) struct Circuits {
    unpaid: Arc<Breaker>,
    paid: Arc<PaidCircuit>,
    paused: PauseFlag,
}

impl Circuits {
    /// Closed circuits of the plugin of this name.
    pub(crate) fn new(plugin: &Arc<str>, settings: BreakerSettings, paused: PauseFlag) -> Arc<Self> {
        let unpaid = Breaker::new(Arc::clone(plugin), settings);
        Arc::new(Self { unpaid, paid: PaidCircuit::new(plugin, settings), paused })
    }

    /// The state of the circuit of unpaid calls.
    pub(crate) fn unpaid(&self) -> Circuit {
        self.unless_paused(|| state(&self.unpaid))
    }

    /// The state of the circuit of paid calls.
    pub(crate) fn paid(&self) -> Circuit {
        self.unless_paused(|| state(self.paid.all_payers()))
    }

    /// True for the circuits of paid and of unpaid calls that are closed, and need no trial.
    pub(crate) fn are_closed(&self) -> (bool, bool) {
        (self.paid.all_payers().is_closed(), self.unpaid.is_closed())
    }

    /// The state of the circuits that a paid call of this payer meets.
    pub(crate) fn of_payer(&self, payer: &str) -> Circuit {
        self.unless_paused(|| match self.paid.of_payer(payer) {
            Some(own) if state(&own) != Circuit::Closed => state(&own),
            Some(_) | None => self.paid(),
        })
    }

    /// Takes a permit for a call of this payer, or for an unpaid one.
    pub(crate) fn admit(&self, payer: Option<&str>) -> Result<CircuitPermit, Fault> {
        self.check_pause()?;
        match payer {
            Some(payer) => Ok(self.paid.admit(payer)?),
            None => Ok(CircuitPermit::unpaid(self.unpaid.admit()?)),
        }
    }

    /// Takes a permit for a paid run that has failed before and is repeated.
    pub(crate) fn admit_repeated(&self, payer: &str) -> Result<CircuitPermit, Fault> {
        self.check_pause()?;
        Ok(self.paid.admit_repeated(payer)?)
    }

    fn unless_paused(&self, state: impl FnOnce() -> Circuit) -> Circuit {
        if self.paused.is_set() { Circuit::Paused } else { state() }
    }

    fn check_pause(&self) -> Result<(), Fault> {
        if self.paused.is_set() { Err(Fault::Paused) } else { Ok(()) }
    }
}

/// The state of a circuit. Reading it begins no trial.
fn state(breaker: &Breaker) -> Circuit {
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

/// True for a fault that says something about the guest, rather than about its clients or its host.
fn counts(fault: &Fault) -> bool {
    match fault {
        Fault::Trap(_)
        | Fault::Error
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
        | Fault::Paused
        | Fault::CircuitOpen { .. } => false,
    }
}
