//! The writer thread, which runs all waiting jobs in one transaction (group commit).
//!
//! A durable commit costs one `fsync`, which takes as long for one job as for hundreds. So the thread takes every
//! job that is queued, runs them one after the other in one transaction, commits once with `synchronous=FULL`, and
//! only then answers their callers.
//!
//! **In a crash** no change is lost whose caller was answered: an answer follows its commit. Lost are jobs that were
//! queued or whose transaction was open. The reverse happens, too: a change may be on disk although the process ended
//! before its caller heard of it. Opening the file recovers both kinds of rows (`open::RECOVER_ON_OPEN`).
//!
//! **In an error** a job that fails before it changes anything fails alone. A job that fails later, as on a full disk,
//! takes the whole transaction with it: to undo one job alone would need a savepoint, and with it a copy of every page
//! that any job changes. The callers of the other jobs get [`LedgerError::Unavailable`] and may try again.
//!
//! **Two delays** make commits fewer and fuller, which gains callers more than they lose. Under load, which shows in a
//! commit that was shared by many, the next commit waits as long as the last one took ([`BATCH_THRESHOLD`],
//! [`MAX_COMMIT_DELAY`]). Lazy jobs wait for the next urgent one, or for [`LAZY_WRITE_DELAY`].

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::LedgerError;

/// The most jobs that share a commit, so that no caller waits for an unbounded batch.
const MAX_BATCH: usize = 512;

/// A commit that was shared by so many jobs shows that more are on their way.
const BATCH_THRESHOLD: usize = 4;

/// The longest delay of a commit that waits for more jobs, and the time after which a commit says nothing about the
/// next: a job that comes later than this is alone and is written at once.
const MAX_COMMIT_DELAY: Duration = Duration::from_millis(2);

/// The longest delay of a lazy job.
const LAZY_WRITE_DELAY: Duration = Duration::from_millis(50);

/// The sending side of the writer thread. The thread ends when this is dropped and every queued job is written.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Queued>,
    writable: Arc<AtomicBool>,
}

/// Work of one caller. It runs inside the transaction, or learns why there is none, and returns the closure that
/// answers the caller once it is known whether the transaction was committed.
type WriteJob = Box<dyn FnOnce(Result<&Connection, LedgerError>) -> (WorkResult, CommitReply) + Send>;

/// Answers a caller: with the result of its work if the commit succeeded, else with the error of the commit.
type CommitReply = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

/// A job and its urgency.
enum Queued {
    /// Its caller waits for it.
    Urgent(WriteJob),
    /// Nothing depends on it: it is written with the next urgent job, or after [`LAZY_WRITE_DELAY`].
    Lazy(WriteJob),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorkResult {
    Succeeded,
    Failed,
}

/// A commit that was shared by many jobs.
#[derive(Clone, Copy, Debug)]
struct SharedCommit {
    /// The duration of the commit, at most [`MAX_COMMIT_DELAY`].
    took: Duration,
    ended: Instant,
}

impl Writer {
    /// Starts the thread. It keeps the lock until it ends.
    pub(super) fn start(mut connection: Connection, lock: File) -> Result<Self, LedgerError> {
        let (jobs, queue) = mpsc::channel();
        let writable = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&writable);
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                write(&mut connection, &queue, &flag);
                drop(lock);
            })
            .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        Ok(Self { jobs, writable })
    }

    /// True if the last commit succeeded.
    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }

    /// Runs the work in the next transaction, and returns once its commit is on disk.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (job, answer) = job(work);
        self.send(Queued::Urgent(job), answer).await
    }

    /// Like [`Writer::run`], for work that nothing depends on: it causes no commit of its own while there are others.
    pub(super) async fn run_lazily<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (job, answer) = job(work);
        self.send(Queued::Lazy(job), answer).await
    }

    async fn send<T>(
        &self,
        queued: Queued,
        answer: oneshot::Receiver<Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let stopped = || LedgerError::Unavailable("the ledger's writer has stopped".to_owned());
        self.jobs.send(queued).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Packs work into a job, with the channel on which its caller is answered.
fn job<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
) -> (WriteJob, oneshot::Receiver<Result<T, LedgerError>>) {
    let (reply, answer) = oneshot::channel();
    let job: WriteJob = Box::new(move |connection| {
        let result = connection.and_then(work);
        let done = if result.is_ok() { WorkResult::Succeeded } else { WorkResult::Failed };
        let reply: CommitReply = Box::new(move |committed| {
            // The caller may have been dropped; its change stays.
            let _ = reply.send(committed.and(result));
        });
        (done, reply)
    });
    (job, answer)
}

impl Queued {
    fn into_job(self) -> WriteJob {
        match self {
            Self::Urgent(job) | Self::Lazy(job) => job,
        }
    }
}

/// Writes batches until the queue is closed and empty.
fn write(connection: &mut Connection, queue: &mpsc::Receiver<Queued>, writable: &AtomicBool) {
    let mut shared: Option<SharedCommit> = None;
    while let Some(waiting) = wait(queue) {
        if let Some(last) = shared
            && last.ended.elapsed() < MAX_COMMIT_DELAY
        {
            std::thread::sleep(last.took);
        }
        let mut open = control(connection, "BEGIN IMMEDIATE");
        let mut replies = Vec::with_capacity(waiting.len());
        let more = std::iter::from_fn(|| queue.try_recv().ok().map(Queued::into_job));
        for job in waiting.into_iter().chain(more).take(MAX_BATCH) {
            let before = connection.total_changes();
            // A job runs only inside the transaction: outside, each of its statements would commit by itself, and its
            // caller would learn that they failed.
            let (done, reply) = job(open.clone().map(|()| &*connection));
            replies.push(reply);
            // SQLite may end the transaction by itself when the disk is full or fails. If the job changed something
            // before it failed, the transaction holds half a job and must not be committed.
            if open.is_ok()
                && (connection.is_autocommit() || done == WorkResult::Failed && connection.total_changes() != before)
            {
                open = Err(LedgerError::Unavailable("the ledger's transaction could not be finished".to_owned()));
            }
        }
        let committing = Instant::now();
        let committed = open.and_then(|()| control(connection, "COMMIT"));
        // After a full batch there is no need to wait: the next one is in the queue.
        shared = (BATCH_THRESHOLD..MAX_BATCH)
            .contains(&replies.len())
            .then(|| SharedCommit { took: committing.elapsed().min(MAX_COMMIT_DELAY), ended: Instant::now() });
        if let Err(error) = &committed {
            tracing::error!(%error, "the ledger could not commit");
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        // Before the answers: a caller that gets an error finds the ledger not writable.
        writable.store(committed.is_ok(), Ordering::Release);
        for reply in replies {
            reply(committed.clone());
        }
    }
}

/// Waits for the first jobs of a batch, in the order in which they came: one at least, [`MAX_BATCH`] at most. `None`
/// when every sender is dropped and everything is written.
fn wait(queue: &mpsc::Receiver<Queued>) -> Option<Vec<WriteJob>> {
    let mut waiting = match queue.recv().ok()? {
        Queued::Urgent(job) => return Some(vec![job]),
        Queued::Lazy(job) => vec![job],
    };
    let until = Instant::now() + LAZY_WRITE_DELAY;
    while waiting.len() < MAX_BATCH {
        match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Queued::Lazy(job)) => waiting.push(job),
            Ok(Queued::Urgent(job)) => {
                waiting.push(job);
                break;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(waiting)
}

/// Runs one statement that begins or ends a transaction.
fn control(connection: &Connection, sql: &str) -> Result<(), LedgerError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
