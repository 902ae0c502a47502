//! Implements the ledger: hands each of its questions to the reader thread, and each of its changes to the writer thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use async_trait::async_trait;
use coinslot_x402::UnixTime;
use coinslot_x402::price::Amount;
use rusqlite::Connection;

use super::prune::Cutoffs;
use super::{
    SqliteLedger, answers, api_keys, changes, claims, due, events, free_counters, free_uses, funnel, leases, passes,
    prune, queries, refunds, steps, webhook_attempts,
};
use crate::{
    Change, Claim, Claimed, CommitObserver, DebtEnded, Fingerprint, Found, FreeClaim, FreeCounted, FreeCounter,
    FreeEnd, FreeHold, FreeLeft, Hold, Holder, KeptAnswer, KeyLookup, Ledger, LedgerError, Namesake, OpenRefund,
    PaidByHand, PassFound, PassQuery, PaymentEvent, PaymentId, Pending, Presented, RefundBegun, RefundBudget,
    RefundEnd, RefundOrder, RefundsDue, RequestCount, Retention, SignedRefund, Step, StoredAnswer, StoredTransaction,
    WebhookAttempt,
};

#[async_trait]
impl Ledger for SqliteLedger {
    async fn claim(&self, claim: Claim) -> Result<Claimed, LedgerError> {
        let (request_id, at) = (claim.request_id.clone(), claim.at);
        let claimed = self.writer.run(move |connection| claims::claim(connection, &claim)).await?;
        self.note_fetch(&claimed, request_id, at);
        Ok(claimed)
    }

    async fn namesake(&self, claim: Claim) -> Result<Option<Namesake>, LedgerError> {
        self.writer.run(move |connection| claims::namesake(connection, &claim)).await
    }

    async fn find(
        &self,
        id: &PaymentId,
        payment: Fingerprint,
        holder: &Holder,
        at: UnixTime,
    ) -> Result<Found, LedgerError> {
        let (id, holder) = (id.clone(), *holder);
        self.reader.ask(move |connection| claims::find(connection, &id, payment, &holder, at)).await
    }

    async fn reclaim(&self, presented: Presented, at: UnixTime) -> Result<Option<Claimed>, LedgerError> {
        let request_id = presented.request_id.clone();
        let claimed = self.writer.run(move |connection| claims::existing(connection, &presented, at)).await?;
        if let Some(claimed) = &claimed {
            self.note_fetch(claimed, request_id, at);
        }
        Ok(claimed)
    }

    async fn answer(&self, kept: KeptAnswer) -> Result<Option<StoredAnswer>, LedgerError> {
        self.reader.ask(move |connection| answers::read(connection, kept)).await
    }

    async fn advance(&self, hold: &Hold, step: Step, at: UnixTime) -> Result<(), LedgerError> {
        let (hold, bytes) = (hold.clone(), step.bytes());
        self.writer.run_with(bytes, move |connection| steps::advance(connection, &hold, step, at)).await
    }

    fn note(&self, hold: &Hold, step: Step, at: UnixTime) {
        let (hold, bytes, name, payment) = (hold.clone(), step.bytes(), step.name(), hold.id.clone());
        self.writer.note(
            bytes,
            move |connection| steps::advance(connection, &hold, step, at),
            move |error| tracing::warn!(%payment, step = name, %error, "a step of a payment could not be noted"),
        );
    }

    async fn delivered(&self, id: &PaymentId, keep: bool, at: UnixTime) {
        let payment = id.clone();
        let written = self.writer.run_lazily(move |connection| steps::deliver(connection, &payment, keep, at));
        if let Err(error) = written.await {
            tracing::warn!(payment = %id, %error, "the delivery of an answer could not be written");
        }
    }

    async fn renew(&self, holds: Vec<Hold>, at: UnixTime) -> Result<(), LedgerError> {
        self.writer.run_lazily(move |connection| leases::renew(connection, &holds, at)).await
    }

    async fn expire(&self, at: UnixTime) -> Result<u64, LedgerError> {
        self.writer.run_lazily(move |connection| leases::expire(connection, at)).await
    }

    async fn take_due(&self, at: UnixTime, limit: u32) -> Result<Vec<Pending>, LedgerError> {
        let clock_went_back = at.0 < self.last_take.load(Ordering::Relaxed);
        let take = move |connection: &Connection| {
            if clock_went_back {
                due::clock_went_back(connection, at)?;
            }
            due::take(connection, at, limit)
        };
        let taken = self.writer.run_lazily(take).await;
        if taken.is_ok() {
            self.last_take.store(at.0, Ordering::Relaxed);
        }
        taken
    }

    async fn next_due(&self) -> Result<Option<UnixTime>, LedgerError> {
        self.reader.ask(due::next).await
    }

    async fn failed_settlements(&self, since: UnixTime) -> Result<Vec<(String, UnixTime)>, LedgerError> {
        self.writer.run(move |connection| queries::failed_settlements(connection, since)).await
    }

    async fn open_settlements(&self) -> Result<Vec<(PaymentId, String)>, LedgerError> {
        self.writer.run(queries::open_settlements).await
    }

    async fn recent_payers(&self, payments: u32) -> Result<Vec<String>, LedgerError> {
        self.reader.ask(move |connection| queries::recent_payers(connection, payments)).await
    }

    async fn prune(&self, now: UnixTime, kept: Retention) -> Result<u64, LedgerError> {
        let (begun, first) = *self.first_pruning.get_or_init(|| (Instant::now(), now));
        let cutoffs = Cutoffs::new(prune::believed(now, first, begun.elapsed()), kept);
        let mut deleted = 0;
        for prune in prune::KINDS {
            loop {
                let slice = self.writer.run_lazily(move |connection| prune(connection, cutoffs)).await?;
                deleted += slice.deleted;
                if !slice.more {
                    break;
                }
            }
        }
        Ok(deleted)
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<PaymentEvent>, LedgerError> {
        self.reader.ask(move |connection| events::after(connection, after, limit)).await
    }

    async fn last_event(&self) -> Result<u64, LedgerError> {
        self.reader.ask(events::last).await
    }

    async fn place(&self, reader: &str) -> Result<Option<u64>, LedgerError> {
        let reader = reader.to_owned();
        self.reader.ask(move |connection| events::place(connection, &reader)).await
    }

    async fn set_place(&self, reader: &str, number: u64) -> Result<(), LedgerError> {
        let reader = reader.to_owned();
        self.writer.run_lazily(move |connection| events::set_place(connection, &reader, number)).await
    }

    async fn keep_attempts(&self, reader: &str, place: u64, attempts: Vec<WebhookAttempt>) -> Result<(), LedgerError> {
        let reader = reader.to_owned();
        let keep = move |connection: &Connection| {
            events::set_place(connection, &reader, place)?;
            attempts.iter().try_for_each(|attempt| webhook_attempts::keep(connection, attempt))
        };
        self.writer.run_lazily(keep).await
    }

    async fn free_left(&self, counters: Vec<FreeCounter>, at: UnixTime) -> Result<Vec<FreeLeft>, LedgerError> {
        let left = move |connection: &Connection| {
            let mut ahead = Vec::new();
            for counter in &counters {
                if free_counters::is_ahead(connection, counter, at)? {
                    ahead.push(*counter);
                }
            }
            let left = counters.iter().map(|counter| free_counters::left(connection, counter, at));
            Ok((left.collect::<Result<_, _>>()?, ahead))
        };
        let (left, ahead) = self.reader.ask(left).await?;
        self.begin_now(ahead, at);
        Ok(left)
    }

    async fn key(&self, hash: Fingerprint, at: UnixTime) -> Result<Option<KeyLookup>, LedgerError> {
        let look_up = move |connection: &Connection| {
            let found = api_keys::look_up(connection, hash, at)?;
            let counter = found.as_ref().and_then(|found| api_keys::counter(&found.key, hash));
            let is_ahead = counter.map(|counter| free_counters::is_ahead(connection, &counter, at)).transpose()?;
            Ok((found, counter.filter(|_| is_ahead == Some(true))))
        };
        let (found, ahead) = self.reader.ask(look_up).await?;
        self.begin_now(ahead.into_iter().collect(), at);
        Ok(found)
    }

    async fn pass(&self, query: PassQuery, at: UnixTime) -> Result<PassFound, LedgerError> {
        self.reader.ask(move |connection| passes::look(connection, &query, at)).await
    }

    async fn count_free(&self, claim: FreeClaim, at: UnixTime) -> Result<FreeCounted, LedgerError> {
        self.writer.run(move |connection| free_uses::count(connection, &claim, at)).await
    }

    async fn end_free(&self, hold: FreeHold, end: FreeEnd, at: UnixTime) -> Result<(), LedgerError> {
        self.writer.run(move |connection| free_uses::end(connection, hold, end, at)).await
    }

    fn note_free(&self, hold: FreeHold, end: FreeEnd, at: UnixTime) {
        let work = move |connection: &Connection| free_uses::end(connection, hold, end, at);
        self.writer.note(0, work, move |error| {
            tracing::warn!(end = end.as_str(), %error, "the end of a free request could not be noted");
        });
    }

    async fn count_requests(&self, counts: Vec<RequestCount>, at: UnixTime) -> Result<(), LedgerError> {
        self.writer.run_lazily(move |connection| funnel::count(connection, &counts, at)).await
    }

    async fn begin_refund(&self, order: RefundOrder, at: UnixTime) -> Result<RefundBegun, LedgerError> {
        self.writer.run(move |connection| refunds::begin(connection, &order, at)).await
    }

    async fn store_refund(
        &self,
        refund: &OpenRefund,
        signed: SignedRefund,
        at: UnixTime,
    ) -> Result<StoredTransaction, LedgerError> {
        let id = refund.id;
        self.writer.run(move |connection| refunds::store(connection, id, &signed, at)).await
    }

    async fn end_refund(
        &self,
        refund: OpenRefund,
        end: RefundEnd,
        change: Change,
        at: UnixTime,
    ) -> Result<(), LedgerError> {
        self.writer.run(move |connection| refunds::end(connection, refund.id, &end, &change, at)).await
    }

    async fn end_debt(&self, paid: PaidByHand, at: UnixTime) -> Result<DebtEnded, LedgerError> {
        self.writer.run(move |connection| refunds::by_hand::end(connection, &paid, at)).await
    }

    async fn open_refunds(&self) -> Result<Vec<OpenRefund>, LedgerError> {
        self.reader.ask(refunds::open).await
    }

    async fn refunds_due(&self, due: RefundsDue) -> Result<Vec<String>, LedgerError> {
        self.reader.ask(move |connection| refunds::due(connection, &due)).await
    }

    async fn refunds_spent(&self, budget: RefundBudget, at: UnixTime) -> Result<Amount, LedgerError> {
        self.reader.ask(move |connection| refunds::spent(connection, &budget, at)).await
    }

    async fn record_changes(&self, changes: Vec<Change>) -> Result<(), LedgerError> {
        let record =
            move |connection: &Connection| changes.iter().try_for_each(|change| changes::record(connection, change));
        self.writer.run(record).await
    }

    fn identity(&self) -> [u8; 16] {
        self.identity
    }

    fn writable(&self) -> bool {
        self.writer.is_writable()
    }

    fn backlog(&self) -> usize {
        self.writer.backlog()
    }

    fn observe_commits(&self, observer: Arc<dyn CommitObserver>) {
        self.writer.observe(observer);
    }

    async fn write_failed(&self) {
        self.writer.failed().await;
    }

    async fn probe(&self, at: UnixTime) -> Result<(), LedgerError> {
        self.writer.run(move |connection| queries::beat(connection, at)).await
    }
}
