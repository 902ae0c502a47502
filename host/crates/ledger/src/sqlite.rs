//! The ledger in one SQLite file, written by one thread.
//!
//! [`writer`] has the thread and its group commit, [`claims`] and [`steps`] what it does to the rows of one payment,
//! [`open`] the file itself.

mod claims;
mod open;
mod prune;
mod queries;
pub(crate) mod schema;
mod steps;
mod writer;

use std::path::Path;

use async_trait::async_trait;
use coinslot_x402::UnixTime;

use crate::{Claim, Claimed, Ledger, LedgerError, PaymentId, Pending, Presented, Retention, Step};
use writer::Writer;

/// A ledger in a file of its own. The file is closed when the last job that was queued before the drop is written.
#[derive(Debug)]
pub struct SqliteLedger {
    writer: Writer,
}

impl SqliteLedger {
    /// Opens or creates the file, recovers the rows that an earlier process left behind (see [`Ledger`]), and starts
    /// the writer.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let lock = open::lock(path)?;
        Ok(Self { writer: Writer::start(open::open(path)?, lock)? })
    }

    /// Like [`SqliteLedger::open`], on a new file: an older one is deleted, once it is certain that no other process
    /// uses it.
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        let lock = open::lock(path)?;
        open::delete(path)?;
        Ok(Self { writer: Writer::start(open::open(path)?, lock)? })
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn claim(&self, claim: Claim) -> Result<Claimed, LedgerError> {
        self.writer.run(move |connection| claims::claim(connection, &claim)).await
    }

    async fn reclaim(&self, presented: Presented, at: UnixTime) -> Result<Option<Claimed>, LedgerError> {
        self.writer.run(move |connection| claims::existing(connection, &presented, at)).await
    }

    async fn advance(&self, id: &PaymentId, step: Step, at: UnixTime) -> Result<(), LedgerError> {
        let id = id.clone();
        match step {
            Step::Delivered { keep } => {
                self.writer.run_lazily(move |connection| steps::deliver(connection, &id, keep, at)).await
            }
            _ => {
                let bytes = step.bytes();
                self.writer.run_with(bytes, move |connection| steps::advance(connection, &id, step, at)).await
            }
        }
    }

    async fn pending(&self, settling_before: UnixTime, limit: u32) -> Result<Vec<Pending>, LedgerError> {
        self.writer.run(move |connection| queries::pending(connection, settling_before, limit)).await
    }

    async fn failed_settlements(&self, since: UnixTime) -> Result<Vec<(String, u32)>, LedgerError> {
        self.writer.run(move |connection| queries::failed_settlements(connection, since)).await
    }

    async fn prune(&self, now: UnixTime, kept: Retention) -> Result<u64, LedgerError> {
        self.writer.run(move |connection| prune::prune(connection, now, kept)).await
    }

    fn writable(&self) -> bool {
        self.writer.is_writable()
    }

    async fn probe(&self, at: UnixTime) -> Result<(), LedgerError> {
        self.writer.run(move |connection| queries::beat(connection, at)).await
    }
}
