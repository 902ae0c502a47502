//! Packs the work of callers into jobs, and jobs into batches of one commit.

use std::sync::mpsc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::LedgerError;

/// The most jobs that share a commit, so that no caller waits for an unbounded batch.
pub(super) const MAX_BATCH: usize = 512;

/// The bytes of requests and answers after which a batch takes no more jobs. They are in the write-ahead log twice over
/// before a checkpoint can empty it, and in memory until the commit.
pub(super) const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Work of one caller. It runs inside the transaction, or learns why there is none, and returns the closure that
/// answers the caller once it is known whether the transaction was committed.
pub(super) type WriteJob = Box<dyn FnOnce(Result<&Connection, LedgerError>) -> (WorkResult, CommitReply) + Send>;

/// Answers a caller: with the result of its work if the commit succeeded, else with the error of the commit.
type CommitReply = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

/// A job in the queue.
pub(super) struct Queued {
    pub(super) job: WriteJob,
    pub(super) urgency: Urgency,
    /// The size of the request and the answer that it writes.
    pub(super) bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Its caller waits for it.
    Urgent,
    /// It is written with the next urgent job, or after [`super::LAZY_WRITE_DELAY`].
    Lazy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkResult {
    Succeeded,
    Failed,
    /// Failed because of the file or the disk: see [`LedgerError::Disk`].
    DiskFailed,
}

/// The first jobs of a batch.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) jobs: Vec<WriteJob>,
    bytes: usize,
}

/// Packs work into a job that gives the outcome to `reply`.
pub(super) fn job<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    reply: impl FnOnce(Result<T, LedgerError>) + Send + 'static,
) -> WriteJob {
    Box::new(move |connection| {
        let result = connection.and_then(work);
        let done = WorkResult::of(&result);
        let reply: CommitReply = Box::new(move |committed| reply(committed.and(result)));
        (done, reply)
    })
}

/// Packs work into a job, with the channel on which its caller is answered.
pub(super) fn awaited_job<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
) -> (WriteJob, oneshot::Receiver<Result<T, LedgerError>>) {
    let (reply, answer) = oneshot::channel();
    let job = job(work, move |outcome| {
        // The caller may have been dropped; its change stays.
        let _ = reply.send(outcome);
    });
    (job, answer)
}

impl WorkResult {
    fn of<T>(result: &Result<T, LedgerError>) -> Self {
        match result {
            Ok(_) => Self::Succeeded,
            Err(LedgerError::Disk(_)) => Self::DiskFailed,
            Err(
                LedgerError::Unavailable(_)
                | LedgerError::Transaction { .. }
                | LedgerError::OutOfOrder { .. }
                | LedgerError::Schema(_),
            ) => Self::Failed,
        }
    }
}

impl Batch {
    pub(super) fn add(&mut self, queued: Queued) {
        self.jobs.push(queued.job);
        self.bytes = self.bytes.saturating_add(queued.bytes);
    }

    pub(super) fn is_full(&self) -> bool {
        self.jobs.len() >= MAX_BATCH || self.bytes >= MAX_BATCH_BYTES
    }

    /// Adds what is queued, as far as there is room. The last job may exceed the bytes.
    pub(super) fn fill(&mut self, queue: &mpsc::Receiver<Queued>) {
        while !self.is_full()
            && let Ok(queued) = queue.try_recv()
        {
            self.add(queued);
        }
    }
}
