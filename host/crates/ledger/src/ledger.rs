//! The interface of a ledger.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coinslot_x402::price::Amount;
use coinslot_x402::{Flow, UnixTime};

use crate::{
    Change, Claim, Claimed, CommitObserver, DebtEnded, Fingerprint, FreeClaim, FreeCounted, FreeCounter, FreeEnd,
    FreeHold, FreeLeft, Hold, Holder, KeptAnswer, KeyLookup, Namesake, OpenRefund, PaidByHand, PassFound, PassQuery,
    PaymentEvent, PaymentId, PaymentState, Presented, RefundBegun, RefundBudget, RefundEnd, RefundOrder, RefundsDue,
    Reported, RequestCount, SignedRefund, Step, StoredAnswer, StoredTransaction, WebhookAttempt,
};

/// The time for which a claim or a step keeps others from the row. Work that takes longer renews its lease, every ten
/// seconds: see [`Ledger::renew`].
pub const LEASE: Duration = Duration::from_secs(30);

/// Remembers payments.
///
/// When a ledger is opened, all leases of the process before it end, as in [`Ledger::expire`].
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Claims a payment for a request, atomically. The claim of an owed payment makes its row executing in the same
    /// commit. Durable when it returns.
    ///
    /// A row of the same authorisation comes before one with the same identifier: a payment that has a row is never
    /// answered with what another payment bought.
    async fn claim(&self, claim: Claim) -> Result<Claimed, LedgerError>;

    /// Says what another authorisation of this payer with this identifier bought, to a caller that has proven that the
    /// payer signed the new payment. `None` if there is no other, or if it was refused and has now given its identifier
    /// up: then the payment may be claimed again.
    async fn namesake(&self, claim: Claim) -> Result<Option<Namesake>, LedgerError>;

    /// Says whether there is a row of this payment, before the request's body is read. Waits for no write.
    async fn find(
        &self,
        id: &PaymentId,
        payment: Fingerprint,
        holder: &Holder,
        at: UnixTime,
    ) -> Result<Found, LedgerError>;

    /// Takes up an earlier claim of this payment, and never makes a new one: `None` if there is none. It serves
    /// payments that would be refused today and may have bought their answer yesterday. As in [`Ledger::claim`],
    /// [`Claimed::Owed`] moves the row, and [`Claimed::Settling`] makes an unknown settlement due soon, so that a
    /// repetition hurries recovery: within one, two and then four seconds. However often a client repeats its payment,
    /// recovery looks no oftener than that.
    async fn reclaim(&self, presented: Presented, at: UnixTime) -> Result<Option<Claimed>, LedgerError>;

    /// Reads a kept answer, for the presenter to whom its payment was [`Claimed::Settled`]. `None` if it is not kept
    /// any more. Waits for no write.
    async fn answer(&self, kept: KeptAnswer) -> Result<Option<StoredAnswer>, LedgerError>;

    /// Takes one step of a held payment. Durable when it returns. Fails with [`LedgerError::OutOfOrder`] if the row is
    /// not held by this attempt or if its state does not allow the step, and leaves the row as it was.
    async fn advance(&self, hold: &Hold, step: Step, at: UnixTime) -> Result<(), LedgerError>;

    /// Queues a step, in order with all others. It is written with the next step that waits for the disk, or soon
    /// after; a crash before that loses it, and a failure is logged. For steps that recovery can find out:
    /// [`Step::Executing`], [`Step::Delivered`], and [`Step::Settled`] where a chain can be asked.
    fn note(&self, hold: &Hold, step: Step, at: UnixTime);

    /// Writes down that a stored answer was handed to a connection, like [`Step::Delivered`] without a hold. Returns
    /// when it is written; a failure is logged.
    async fn delivered(&self, id: &PaymentId, keep: bool, at: UnixTime);

    /// Extends the leases of work that is under way. Holds that are no longer current are passed over.
    async fn renew(&self, holds: Vec<Hold>, at: UnixTime) -> Result<(), LedgerError>;

    /// Ends the claims whose lease is over: a reserved one is released (nothing was sent), an executing one is refused
    /// (the guest may have run, nothing was sent) or, if paid, owed, and a settling one is unknown. Returns their
    /// number. The attempt that held an unknown one may still write down how its settlement ended.
    ///
    /// Call it after [`Ledger::renew`] with the same time, so that a clock that jumps ends no work that is under way.
    async fn expire(&self, at: UnixTime) -> Result<u64, LedgerError>;

    /// Takes settlements that are due to be looked at, the longest due first, `limit` at most, and sets the next look
    /// at each: after one second, and after twice the last pause each time, 30 seconds at most. They are unknown
    /// settlements, and refused ones that are watched. The hold of the request stays good beside recovery's, which
    /// is the same: the state of the row lets only the first of both write an end.
    async fn take_due(&self, at: UnixTime, limit: u32) -> Result<Vec<Pending>, LedgerError>;

    /// The time at which [`Ledger::take_due`] or [`Ledger::expire`] has something to do next, by what is written now:
    /// `None` if every payment has an end and no claim is at work. Waits for no write.
    async fn next_due(&self) -> Result<Option<UnixTime>, LedgerError>;

    /// Lists the payers whose settlements were refused since this time, each with the time of the last refusal.
    async fn failed_settlements(&self, since: UnixTime) -> Result<Vec<(String, UnixTime)>, LedgerError>;

    /// Lists the payments of the authorization flow whose settlements may have been sent and have no known end, each
    /// with its amount in atomic units: their guests have run, and their money may never come.
    async fn open_settlements(&self) -> Result<Vec<(PaymentId, String)>, LedgerError>;

    /// Lists the payers of the last payments that moved money, each once, of this many payments at most.
    async fn recent_payers(&self, payments: u32) -> Result<Vec<String>, LedgerError>;

    /// Deletes what was kept long enough and can no longer be settled, until nothing of it is left. Returns the number
    /// of rows and answers. Payments go on beside it, and a backlog takes minutes: call it in a task of its own.
    ///
    /// A clock that jumps forward ages nothing by more than an hour while the ledger is open.
    async fn prune(&self, now: UnixTime, kept: Retention) -> Result<u64, LedgerError>;

    /// Reads the events after this one, the oldest first, `limit` at most. An event is written in the commit that
    /// changes its payment; the newest hundred thousand are kept. Waits for no write.
    async fn events(&self, after: u64, limit: u32) -> Result<Vec<PaymentEvent>, LedgerError>;

    /// The number of the newest event. 0 if there was none.
    async fn last_event(&self) -> Result<u64, LedgerError>;

    /// The event up to which this reader is done, as [`Ledger::set_place`] has it. None: it has never read.
    async fn place(&self, reader: &str) -> Result<Option<u64>, LedgerError>;

    /// Writes down that a reader is done with the events up to this one.
    async fn set_place(&self, reader: &str, number: u64) -> Result<(), LedgerError>;

    /// Writes down attempts of a webhook, and the last event that it is done with. Of each webhook the newest ten thousand
    /// attempts are kept. They share the next commit with what waits for the disk, or are written soon after: no request
    /// waits for them.
    async fn keep_attempts(&self, reader: &str, place: u64, attempts: Vec<WebhookAttempt>) -> Result<(), LedgerError>;

    /// Says how much is left in each of these counts, before the request's body is read. Waits for no write.
    async fn free_left(&self, counters: Vec<FreeCounter>, at: UnixTime) -> Result<Vec<FreeLeft>, LedgerError>;

    /// Looks up a key by its hash, whether it counts or not. A key that another process has added or revoked is seen at
    /// once. Waits for no write.
    async fn key(&self, hash: Fingerprint, at: UnixTime) -> Result<Option<KeyLookup>, LedgerError>;

    /// Looks for a pass that serves a request, before its body is read. Waits for no write: a pass is seen from the
    /// commit of its settlement on.
    async fn pass(&self, query: PassQuery, at: UnixTime) -> Result<PassFound, LedgerError>;

    /// Counts a free request, if there is one left in each of its counts or in its pass, atomically with its nonce. Durable when it
    /// returns: the guest may run. A request without an end is given back when the file is opened again.
    async fn count_free(&self, claim: FreeClaim, at: UnixTime) -> Result<FreeCounted, LedgerError>;

    /// Writes down how a free request ended, and gives it back where its end says so. Durable when it returns: await it
    /// before an answer leaves, so that no crash makes a request free twice.
    async fn end_free(&self, hold: FreeHold, end: FreeEnd, at: UnixTime) -> Result<(), LedgerError>;

    /// Queues what [`Ledger::end_free`] does, for ends that leave no answer, and for answers that break off after they
    /// were served; a failure is logged.
    fn note_free(&self, hold: FreeHold, end: FreeEnd, at: UnixTime);

    /// Adds these requests to those of the day, for the funnel from the price to the payment. They are written with the next
    /// step that waits for the disk, or soon after. Payments need no call: the commits of claims and of events count them.
    async fn count_requests(&self, counts: Vec<RequestCount>, at: UnixTime) -> Result<(), LedgerError>;

    /// Begins to pay an owed answer back, atomically: its row is refunding, which no client can claim, its amount counts
    /// for the budget, and its signed transaction is kept. Durable when it returns: only now may the transaction be
    /// sent. What is not [`RefundBegun::Begun`] changed nothing, and its transaction must not be sent.
    ///
    /// The order's line of the audit log is written in the same commit.
    async fn begin_refund(&self, order: RefundOrder, at: UnixTime) -> Result<RefundBegun, LedgerError>;

    /// Keeps another signed transaction of a refund, with the same nonce and higher fees. Durable when it returns: only
    /// now may it be sent. Fails with [`LedgerError::OutOfOrder`] if the refund has ended or has another nonce.
    async fn store_refund(
        &self,
        refund: &OpenRefund,
        signed: SignedRefund,
        at: UnixTime,
    ) -> Result<StoredTransaction, LedgerError>;

    /// Writes down how a refund ended, and this line of the audit log, in one commit. Durable when it returns. Fails with
    /// [`LedgerError::OutOfOrder`] if it has ended.
    async fn end_refund(
        &self,
        refund: OpenRefund,
        end: RefundEnd,
        change: Change,
        at: UnixTime,
    ) -> Result<(), LedgerError>;

    /// Ends a debt that was paid by hand, atomically: its row is refunded, and its line is in the audit log. Durable when
    /// it returns. What is not [`DebtEnded::Ended`] changed nothing. Fails with [`LedgerError::OutOfOrder`] if the refund that it ends, too, has
    /// ended.
    async fn end_debt(&self, paid: PaidByHand, at: UnixTime) -> Result<DebtEnded, LedgerError>;

    /// Reads the refunds without an end, the oldest first. Waits for no write.
    async fn open_refunds(&self) -> Result<Vec<OpenRefund>, LedgerError>;

    /// Lists payments that are due to be paid back without an operator, by their ids, the longest owed first. Left out
    /// are those whose client hung up or has a part of its answer ([`Step::Owed`]). Waits for no write.
    async fn refunds_due(&self, due: RefundsDue) -> Result<Vec<String>, LedgerError>;

    /// The sum of the refunds that count for a budget now, in the unit of [`RefundBudget::limit`].
    async fn refunds_spent(&self, budget: RefundBudget, at: UnixTime) -> Result<Amount, LedgerError>;

    /// Writes lines of the audit log about what was changed outside the ledger, in their order and in one commit.
    /// Durable when it returns: await it before the author of the change is answered.
    async fn record_changes(&self, changes: Vec<Change>) -> Result<(), LedgerError>;

    /// The identity of this ledger: 16 random bytes, made with it. A copy of its file has the same.
    fn identity(&self) -> [u8; 16];

    /// True if the last write became durable and nothing has met a broken file since. Reads that succeed change nothing
    /// about it. While it is false, nothing is sold.
    fn writable(&self) -> bool;

    /// Returns when [`Ledger::writable`] has become false since the last call returned. For one caller at a time.
    async fn write_failed(&self);

    /// The jobs that wait for their commit, with those of a commit that is under way.
    fn backlog(&self) -> usize;

    /// Tells this observer of each commit from now on. There is one observer, the first.
    fn observe_commits(&self, observer: Arc<dyn CommitObserver>);

    /// Writes one small row, so that [`Ledger::writable`] is right again after a failure.
    async fn probe(&self, at: UnixTime) -> Result<(), LedgerError>;
}

/// The outcome of [`Ledger::find`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no row of this payment.
    Nothing,
    /// There is a row, and the presenter may learn nothing about it.
    Foreign,
    /// There is a row, and [`Ledger::claim`] or [`Ledger::reclaim`] will say what became of it. `funded`: its money
    /// has moved, or its settlement is under way.
    Known { funded: bool },
}

/// A settlement that is due to be looked at, with what recovery needs to find out its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub hold: Hold,
    /// JSON of the facilitator request, as first sent.
    pub request: String,
    /// The transaction that its facilitator named.
    pub transaction: Option<String>,
    pub reported: Option<Reported>,
    /// The time from which the chain refuses the authorisation.
    pub valid_before: UnixTime,
    pub flow: Flow,
    /// True if the answer that it pays for is kept. Without it, in the authorization flow, nothing may be sent for
    /// settlement again: the money would buy nothing.
    pub answer_kept: bool,
    /// [`PaymentState::Unknown`], or [`PaymentState::Refused`] for a refusal that is watched.
    pub state: PaymentState,
    /// The number of looks before this one.
    pub looks: u32,
    /// The reason with which a facilitator has refused the payment, if one has: see [`Step::Unknown`].
    pub reason: Option<String>,
}

/// The limits of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The time for paid answers, and for the identifiers that name them.
    pub answers: Duration,
    /// The time for rows that are finished. Their totals are kept for ever.
    pub payments: Duration,
    /// The size of all paid answers together. Above it the oldest are deleted first, but never one whose settlement is
    /// still open.
    pub answer_bytes: u64,
}

/// The reason why a ledger did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The store cannot be read or written. Paid routes answer 503 meanwhile.
    #[error("the ledger cannot be written: {0}")]
    Unavailable(String),
    /// The file or its disk fails: it is full, or it cannot be read or written, or the file is damaged.
    #[error("the ledger's file fails: {0}: look at the disk")]
    Disk(String),
    /// Another payment was settled by this transaction, and its facilitator settles one payment in each.
    #[error("transaction {transaction} settled another payment")]
    Transaction { transaction: String },
    /// The state of the row does not allow this step: a bug, or another process.
    #[error("payment {id} cannot become {step}: its state does not allow it")]
    OutOfOrder { id: String, step: &'static str },
    /// The file was written by a newer Coinslot, or is not a ledger.
    #[error("{0}")]
    Schema(String),
}
