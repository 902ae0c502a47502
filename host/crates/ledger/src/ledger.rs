//! The interface of a ledger.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use coinslot_x402::{Flow, UnixTime};

use crate::{Claim, Claimed, PaymentId, Presented, Step};

/// Remembers payments. Every change is durable when its method returns.
///
/// When a ledger is opened, the rows of the process before it are recovered: reserved rows are released (nothing
/// ran and nothing was sent), executing ones are refused (the guest may have run, nothing was sent) or, if paid,
/// owed, and settling ones are unknown.
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Claims a payment for a request, atomically. The claim of an owed payment makes its row executing in the same
    /// commit.
    async fn claim(&self, claim: Claim) -> Result<Claimed, LedgerError>;

    /// Takes up an earlier claim of this payment, and never makes a new one: `None` if there is none. It serves
    /// payments that would be refused today and may have bought their answer yesterday. Only [`Claimed::Owed`] moves
    /// the row, as in [`Ledger::claim`].
    async fn reclaim(&self, presented: Presented, at: UnixTime) -> Result<Option<Claimed>, LedgerError>;

    /// Takes one step of a claimed payment. Fails with [`LedgerError::OutOfOrder`] if there is no row or if its
    /// state does not allow the step, and leaves the row as it was.
    async fn advance(&self, id: &PaymentId, step: Step, at: UnixTime) -> Result<(), LedgerError>;

    /// Lists settlements whose end is unknown, and settlements that were sent before `settling_before` and whose
    /// request has not written down their end. The oldest first, `limit` at most.
    async fn pending(&self, settling_before: UnixTime, limit: u32) -> Result<Vec<Pending>, LedgerError>;

    /// Lists the payers whose settlements were refused since this time, each with the number of refusals.
    async fn failed_settlements(&self, since: UnixTime) -> Result<Vec<(String, u32)>, LedgerError>;

    /// Deletes what was kept long enough and can no longer be settled. Returns the number of rows and answers.
    async fn prune(&self, now: UnixTime, kept: Retention) -> Result<u64, LedgerError>;

    /// True if the last write became durable and nothing has met a broken file since. Reads that succeed change nothing
    /// about it. While it is false, nothing is sold.
    fn writable(&self) -> bool;

    /// Writes one small row, so that [`Ledger::writable`] is right again after a failure.
    async fn probe(&self, at: UnixTime) -> Result<(), LedgerError>;
}

/// A settlement whose end is unknown, with what recovery needs to find it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: PaymentId,
    /// JSON of the facilitator request, as first sent.
    pub request: String,
    /// The time from which the chain refuses the authorisation.
    pub valid_before: UnixTime,
    pub flow: Flow,
    /// True if the answer that it pays for is kept. Without it, in the authorization flow, nothing may be sent for
    /// settlement again: the money would buy nothing.
    pub answer_kept: bool,
}

/// The time for which finished things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For paid answers.
    pub answers: Duration,
    /// For rows that are finished. Their totals are kept for ever.
    pub payments: Duration,
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
