//! The ledger in one SQLite file, written by one thread.
//!
//! [`writer`] has the thread and its group commit, [`reader`] the thread that reads beside it, [`claims`], [`steps`],
//! [`failures`], [`repetitions`] and [`transactions`] what is done to the rows of one payment, [`refunds`] what pays them
//! back, [`events`] what is told of them, [`webhook_attempts`] the attempts to tell it, [`changes`] the audit log,
//! [`free_uses`], [`free_counters`], [`api_keys`] and [`passes`] what is done for requests without a payment,
//! [`funnel`] the counts of requests, [`leases`], [`due`] and [`prune`] what is done to many rows, [`open`] the file
//! itself. [`ledger`] gives each of these its place in a thread.

mod answers;
pub(crate) mod api_keys;
mod changes;
mod claims;
mod due;
pub(crate) mod events;
mod failures;
mod free_counters;
mod free_uses;
mod funnel;
mod leases;
mod ledger;
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
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use coinslot_x402::UnixTime;
use rusqlite::Connection;

use crate::{Claimed, FreeCounter, LedgerError};
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
    /// The time of the last [`crate::Ledger::take_due`], in seconds. Before the first one it is the end of time, because the
    /// clock may have gone back while the file was closed.
    last_take: AtomicU64,
}

impl SqliteLedger {
    /// Opens or creates the file, ends the leases of an earlier process (see [`crate::Ledger`]), and starts both threads.
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
            ahead.iter().try_for_each(|counter| free_counters::begin_now(connection, counter, at))
        };
        self.writer.note(0, work, |error| {
            tracing::warn!(%error, "a window of free requests that begins in the future could not be set right");
        });
    }
}

#[cfg(test)]
mod tests;
