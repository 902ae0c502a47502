//! The state Executed: the guest has answered, and the answer waits for the money.

use std::sync::Arc;
use std::time::Duration;

use coinslot_ledger::Step;

use super::accepted::Accepted;
use super::answer::GuestAnswer;
use super::exposure::Exposure;
use super::hold_guard::HoldGuard;
use super::settle::{Recorded, SettlementAttempt};
use super::{Payments, Problem, Settled, SettledPayment};

/// The guest has run. Its answer is private until it is settled.
#[derive(Debug)]
#[must_use]
pub struct Executed {
    pub(super) accepted: Accepted,
    pub(super) hold: HoldGuard,
    pub(super) verify: Duration,
    pub(super) run: Duration,
    pub(super) answer: GuestAnswer,
    pub(super) exposure: Option<Exposure>,
}

impl Executed {
    /// Takes the money for an answer that is made. Consumes the answer, so it is settled at most once.
    ///
    /// On `NotSettled` nothing moved. On `Unknown` the transfer may still arrive: the answer is in the ledger, recovery
    /// asks the chain, and the same payment fetches it.
    pub async fn settle(self, payments: &Arc<Payments>) -> Result<Settled, Problem> {
        let Self { accepted, hold, verify, run, answer, exposure } = self;
        // Kept before anything is sent: a settlement whose end is unknown stays exposed, also if this work panics.
        if let Some(exposure) = exposure {
            payments.open_settlements.keep(hold.id(), exposure);
        }
        let version = accepted.version();
        let attempt = SettlementAttempt { accepted: &accepted, hold: hold.hold(), verify, run: Some(run) };
        let begun = attempt.begin(payments, |request| Step::Settling { request, answer: answer.stored() }).await;
        let settled = match begun {
            Ok(()) => attempt.settle(payments).await,
            Err(problem) => Err(problem),
        };
        if !matches!(settled, Err(Problem::Unknown { .. })) {
            payments.open_settlements.ended(hold.id());
        }
        // Recorded or not, the answer goes out: the settlement is confirmed, and recovery repairs the row.
        let (settlement, Recorded::Yes | Recorded::No) = settled?;
        Ok(Settled::whole(payments, SettledPayment { id: hold.id().clone(), settlement, version }, answer))
    }
}
