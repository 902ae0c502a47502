//! Kills the process before or after a step of the ledger.

use std::sync::Arc;

use async_trait::async_trait;
use coinslot_ledger::{
    Change, Claim, Claimed, CommitObserver, DebtEnded, Fingerprint, Found, FreeClaim, FreeCounted, FreeCounter,
    FreeEnd, FreeHold, FreeLeft, Hold, Holder, KeptAnswer, KeyLookup, Ledger, LedgerError, Namesake, OpenRefund,
    PaidByHand, PassFound, PassQuery, PaymentEvent, PaymentId, Pending, Presented, RefundBegun, RefundBudget,
    RefundEnd, RefundOrder, RefundsDue, RequestCount, Retention, SignedRefund, Step, StoredAnswer, StoredTransaction,
    WebhookAttempt,
};
use coinslot_x402::UnixTime;
use coinslot_x402::price::Amount;

use super::point;

/// Wraps a ledger with the fault points `claimed`, [`Step::name`], `free_counted`, `free_ended`,
/// `refund_begun`, `refund_stored`, `refund_ended` and `debt_ended`.
#[derive(Debug)]
pub(crate) struct CrashingLedger(pub(crate) Arc<dyn Ledger>);

#[async_trait]
impl Ledger for CrashingLedger {
    async fn claim(&self, claim: Claim) -> Result<Claimed, LedgerError> {
        around("claimed", self.0.claim(claim)).await
    }

    async fn namesake(&self, claim: Claim) -> Result<Option<Namesake>, LedgerError> {
        self.0.namesake(claim).await
    }

    async fn find(
        &self,
        id: &PaymentId,
        payment: Fingerprint,
        holder: &Holder,
        at: UnixTime,
    ) -> Result<Found, LedgerError> {
        self.0.find(id, payment, holder, at).await
    }

    async fn reclaim(&self, presented: Presented, at: UnixTime) -> Result<Option<Claimed>, LedgerError> {
        self.0.reclaim(presented, at).await
    }

    async fn answer(&self, kept: KeptAnswer) -> Result<Option<StoredAnswer>, LedgerError> {
        self.0.answer(kept).await
    }

    async fn advance(&self, hold: &Hold, step: Step, at: UnixTime) -> Result<(), LedgerError> {
        around(step.name(), self.0.advance(hold, step, at)).await
    }

    /// Takes the step in a task, so that its second point comes when it is durable.
    fn note(&self, hold: &Hold, step: Step, at: UnixTime) {
        let (ledger, hold) = (Arc::clone(&self.0), hold.clone());
        tokio::spawn(async move { around(step.name(), ledger.advance(&hold, step, at)).await });
    }

    async fn delivered(&self, id: &PaymentId, keep: bool, at: UnixTime) {
        let delivered = async {
            self.0.delivered(id, keep, at).await;
            Ok(())
        };
        let _ = around("delivered", delivered).await;
    }

    async fn renew(&self, holds: Vec<Hold>, at: UnixTime) -> Result<(), LedgerError> {
        self.0.renew(holds, at).await
    }

    async fn expire(&self, at: UnixTime) -> Result<u64, LedgerError> {
        self.0.expire(at).await
    }

    async fn take_due(&self, at: UnixTime, limit: u32) -> Result<Vec<Pending>, LedgerError> {
        self.0.take_due(at, limit).await
    }

    async fn next_due(&self) -> Result<Option<UnixTime>, LedgerError> {
        self.0.next_due().await
    }

    async fn failed_settlements(&self, since: UnixTime) -> Result<Vec<(String, UnixTime)>, LedgerError> {
        self.0.failed_settlements(since).await
    }

    async fn open_settlements(&self) -> Result<Vec<(PaymentId, String)>, LedgerError> {
        self.0.open_settlements().await
    }

    async fn recent_payers(&self, payments: u32) -> Result<Vec<String>, LedgerError> {
        self.0.recent_payers(payments).await
    }

    async fn prune(&self, now: UnixTime, kept: Retention) -> Result<u64, LedgerError> {
        self.0.prune(now, kept).await
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<PaymentEvent>, LedgerError> {
        self.0.events(after, limit).await
    }

    async fn last_event(&self) -> Result<u64, LedgerError> {
        self.0.last_event().await
    }

    async fn place(&self, reader: &str) -> Result<Option<u64>, LedgerError> {
        self.0.place(reader).await
    }

    async fn set_place(&self, reader: &str, number: u64) -> Result<(), LedgerError> {
        self.0.set_place(reader, number).await
    }

    async fn keep_attempts(&self, reader: &str, place: u64, attempts: Vec<WebhookAttempt>) -> Result<(), LedgerError> {
        self.0.keep_attempts(reader, place, attempts).await
    }

    async fn free_left(&self, counters: Vec<FreeCounter>, at: UnixTime) -> Result<Vec<FreeLeft>, LedgerError> {
        self.0.free_left(counters, at).await
    }

    async fn key(&self, hash: Fingerprint, at: UnixTime) -> Result<Option<KeyLookup>, LedgerError> {
        self.0.key(hash, at).await
    }

    async fn pass(&self, query: PassQuery, at: UnixTime) -> Result<PassFound, LedgerError> {
        self.0.pass(query, at).await
    }

    async fn count_free(&self, claim: FreeClaim, at: UnixTime) -> Result<FreeCounted, LedgerError> {
        around("free_counted", self.0.count_free(claim, at)).await
    }

    async fn end_free(&self, hold: FreeHold, end: FreeEnd, at: UnixTime) -> Result<(), LedgerError> {
        around("free_ended", self.0.end_free(hold, end, at)).await
    }

    fn note_free(&self, hold: FreeHold, end: FreeEnd, at: UnixTime) {
        self.0.note_free(hold, end, at);
    }

    async fn count_requests(&self, counts: Vec<RequestCount>, at: UnixTime) -> Result<(), LedgerError> {
        self.0.count_requests(counts, at).await
    }

    async fn begin_refund(&self, order: RefundOrder, at: UnixTime) -> Result<RefundBegun, LedgerError> {
        around("refund_begun", self.0.begin_refund(order, at)).await
    }

    async fn store_refund(
        &self,
        refund: &OpenRefund,
        signed: SignedRefund,
        at: UnixTime,
    ) -> Result<StoredTransaction, LedgerError> {
        around("refund_stored", self.0.store_refund(refund, signed, at)).await
    }

    async fn end_refund(
        &self,
        refund: OpenRefund,
        end: RefundEnd,
        change: Change,
        at: UnixTime,
    ) -> Result<(), LedgerError> {
        around("refund_ended", self.0.end_refund(refund, end, change, at)).await
    }

    async fn end_debt(&self, paid: PaidByHand, at: UnixTime) -> Result<DebtEnded, LedgerError> {
        around("debt_ended", self.0.end_debt(paid, at)).await
    }

    async fn open_refunds(&self) -> Result<Vec<OpenRefund>, LedgerError> {
        self.0.open_refunds().await
    }

    async fn refunds_due(&self, due: RefundsDue) -> Result<Vec<String>, LedgerError> {
        self.0.refunds_due(due).await
    }

    async fn refunds_spent(&self, budget: RefundBudget, at: UnixTime) -> Result<Amount, LedgerError> {
        self.0.refunds_spent(budget, at).await
    }

    async fn record_changes(&self, changes: Vec<Change>) -> Result<(), LedgerError> {
        around("changes_recorded", self.0.record_changes(changes)).await
    }

    fn identity(&self) -> [u8; 16] {
        self.0.identity()
    }

    fn writable(&self) -> bool {
        self.0.writable()
    }

    fn backlog(&self) -> usize {
        self.0.backlog()
    }

    fn observe_commits(&self, observer: Arc<dyn CommitObserver>) {
        self.0.observe_commits(observer);
    }

    async fn write_failed(&self) {
        self.0.write_failed().await;
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
