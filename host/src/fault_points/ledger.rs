//! Kills the process before or after a step of the ledger.

use std::sync::Arc;

use async_trait::async_trait;
use coinslot_ledger::{Claim, Claimed, Ledger, LedgerError, PaymentId, Pending, Presented, Retention, Step};
use coinslot_x402::UnixTime;

use super::point;

/// Wraps a ledger with the fault points `claimed` and [`Step::name`].
#[derive(Debug)]
pub(crate) struct CrashingLedger(pub(crate) Arc<dyn Ledger>);

#[async_trait]
impl Ledger for CrashingLedger {
    async fn claim(&self, claim: Claim) -> Result<Claimed, LedgerError> {
        around("claimed", self.0.claim(claim)).await
    }

    async fn reclaim(&self, presented: Presented, at: UnixTime) -> Result<Option<Claimed>, LedgerError> {
        self.0.reclaim(presented, at).await
    }

    async fn advance(&self, id: &PaymentId, step: Step, at: UnixTime) -> Result<(), LedgerError> {
        around(step.name(), self.0.advance(id, step, at)).await
    }

    async fn pending(&self, settling_before: UnixTime, limit: u32) -> Result<Vec<Pending>, LedgerError> {
        self.0.pending(settling_before, limit).await
    }

    async fn failed_settlements(&self, since: UnixTime) -> Result<Vec<(String, u32)>, LedgerError> {
        self.0.failed_settlements(since).await
    }

    async fn prune(&self, now: UnixTime, kept: Retention) -> Result<u64, LedgerError> {
        self.0.prune(now, kept).await
    }

    fn writable(&self) -> bool {
        self.0.writable()
    }

    async fn probe(&self, at: UnixTime) -> Result<(), LedgerError> {
        self.0.probe(at).await
    }
}

/// Takes a step between its two fault points. A step that failed never reaches the second one.
async fn around<T>(name: &str, step: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
    point("before", name);
    let done = step.await;
    if done.is_ok() {
        point("after", name);
    }
    done
}
