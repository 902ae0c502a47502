//! The ledger in one SQLite file, written by one thread.
//!
//! [`writer`] has the thread and its group commit, [`reader`] the thread that reads beside it, [`claims`], [`steps`],
//! [`failures`], [`repetitions`] and [`transactions`] what is done to the rows of one payment, [`refunds`] what pays them
//! back, [`events`] what is told of them, [`webhook_attempts`] the attempts to tell it, [`changes`] the audit log,
//! [`free_uses`], [`api_keys`] and [`passes`] what is done for requests without a payment, [`funnel`] the counts of requests,
//! [`leases`], [`due`] and [`prune`] what is done to many rows, [`open`] the file itself.

mod answers;
pub(crate) mod api_keys;
mod changes;
mod claims;
mod due;
pub(crate) mod events;
mod failures;
mod free_uses;
mod funnel;
mod leases;
mod open;
pub(crate) mod passes;
mod prune;
mod queries;
mod reader;
mod refunds;
mod repetitions;
pub(crate) mod schema;
mod steps;
mod transactions;
pub(crate) mod webhook_attempts;
mod writer;

#[cfg(test)]
pub(crate) use answers::encode_head;
pub use changes::record_beside;
pub(crate) use open::{lock, open_beside, open_to_rehearse};
pub use repetitions::RepetitionOutcome;

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use coinslot_x402::UnixTime;
use coinslot_x402::price::Amount;
use rusqlite::Connection;

use crate::{
    Change, Claim, Claimed, CommitObserver, Fingerprint, Found, FreeClaim, FreeCounted, FreeCounter, FreeEnd, FreeHold,
    FreeLeft, Hold, Holder, KeptAnswer, KeyLookup, Ledger, LedgerError, Namesake, OpenRefund, PassFound, PassQuery,
    PaymentEvent, PaymentId, Pending, Presented, RefundBegun, RefundBudget, RefundEnd, RefundOrder, RefundsDue,
    RequestCount, Retention, SignedRefund, Step, StoredAnswer, StoredTransaction, WebhookAttempt,
};
use prune::Cutoffs;
use reader::LookupThread;
use writer::Writer;

/// A ledger in a file of its own. The file is closed when the last job that was queued before the drop is written.
#[derive(Debug)]
pub struct SqliteLedger {
    // Dropped first: the writer's thread waits for the reader's, to be the last that closes the file.
    reader: LookupThread,
    writer: Writer,
    identity: [u8; 16],
    /// The time of the first pruning, by both clocks.
    first_pruning: OnceLock<(Instant, UnixTime)>,
    /// The time of the last [`Ledger::take_due`], in seconds. Before the first one it is the end of time, because the
    /// clock may have gone back while the file was closed.
    last_take: AtomicU64,
}

impl SqliteLedger {
    /// Opens or creates the file, ends the leases of an earlier process (see [`Ledger`]), and starts both threads.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::start(path, open::lock(path)?)
    }

    /// Like [`SqliteLedger::open`], on a new file: an older one is deleted, once it is certain that no other process
    /// uses it.
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        let lock = open::lock(path)?;
        open::delete(path)?;
        Self::start(path, lock)
    }

    /// The identity of the ledger in this file, which is created or upgraded as [`SqliteLedger::open`] does. Nothing is
    /// open when it returns, so that a host which fails to start leaves no lock behind.
    pub fn identity_at(path: &Path) -> Result<[u8; 16], LedgerError> {
        let _lock = open::lock(path)?;
        queries::identity(&open::open(path)?)
    }

    fn start(path: &Path, lock: File) -> Result<Self, LedgerError> {
        let connection = open::open(path)?;
        let identity = queries::identity(&connection)?;
        let (reader, thread) = LookupThread::start(path)?;
        let writer = Writer::start(connection, lock, thread)?;
        Ok(Self { reader, writer, identity, first_pruning: OnceLock::new(), last_take: AtomicU64::new(u64::MAX) })
    }

    /// Notes that a request gets the kept answer of a payment. No client waits for this line.
    fn note_fetch(&self, claimed: &Claimed, request_id: Option<String>, at: UnixTime) {
        let Claimed::Settled { answer: Some(kept), .. } = claimed else { return };
        let row = kept.row;
        let work = move |connection: &Connection| {
            repetitions::record(connection, row, request_id.as_deref(), RepetitionOutcome::Answer, at)
        };
        self.writer.note(0, work, |error| tracing::warn!(%error, "a repetition of a payment could not be noted"));
    }

    /// Has these windows, which begin later than now, begin now: the clock was ahead when they were opened.
    fn begin_now(&self, ahead: Vec<FreeCounter>, at: UnixTime) {
        if ahead.is_empty() {
            return;
        }
        let work = move |connection: &Connection| {
            ahead.iter().try_for_each(|counter| free_uses::begin_now(connection, counter, at))
        };
        self.writer.note(0, work, |error| {
            tracing::warn!(%error, "a window of free requests that begins in the future could not be set right");
        });
    }
}

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
                if free_uses::is_ahead(connection, counter, at)? {
                    ahead.push(*counter);
                }
            }
            let left = counters.iter().map(|counter| free_uses::left(connection, counter, at));
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
            let is_ahead = counter.map(|counter| free_uses::is_ahead(connection, &counter, at)).transpose()?;
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

    async fn end_refund(&self, refund: OpenRefund, end: RefundEnd, at: UnixTime) -> Result<(), LedgerError> {
        self.writer.run(move |connection| refunds::end(connection, refund.id, &end, at)).await
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

    fn record_change(&self, change: Change) {
        let (kind, subject) = (change.kind.as_str(), change.subject.clone());
        self.writer.note(
            0,
            move |connection| changes::record(connection, &change),
            move |error| tracing::error!(kind, subject, %error, "a change could not be written into the audit log"),
        );
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

#[cfg(test)]
mod tests;
