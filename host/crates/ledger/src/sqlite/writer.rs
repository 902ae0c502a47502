//! The writer thread, which runs all waiting jobs in one transaction (group commit).
//!
//! A durable commit costs one `fsync`, which takes as long for one job as for hundreds. So the thread takes every
//! job that is queued, runs them one after the other in one transaction, commits once with `synchronous=FULL`, and
//! only then answers their callers.
//!
//! **In a crash** no change is lost whose caller was answered: an answer follows its commit. Lost are jobs that were
//! queued or whose transaction was open. The reverse happens, too: a change may be on disk although the process ended
//! before its caller heard of it. Opening the file ends the leases of both kinds of rows (`leases::end_all`).
//!
//! **In an error** a job that fails before it changes anything fails alone. A job that fails later, as on a full disk,
//! takes the whole transaction with it: to undo one job alone would need a savepoint, and with it a copy of every page
//! that any job changes. The callers of the other jobs get [`LedgerError::Unavailable`] and may try again.
//!
//! **The state of the disk** is one flag for callers, [`Writer::is_writable`]. A batch that only read says nothing
//! about the disk: on a full one it commits as well as ever. So only a commit with changes sets the flag, and a job
//! that fails because of the file itself clears it, even if the commit of its batch succeeds.
//!
//! **Two delays** make commits fewer and fuller, which gains callers more than they lose. Under load, which shows in a
//! commit that was shared by many, the next commit waits as long as the last one took ([`BATCH_THRESHOLD`],
//! [`MAX_COMMIT_DELAY`]). Lazy jobs wait for the next urgent one, or for [`LAZY_WRITE_DELAY`].

mod job;

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use crate::{Commit, CommitObserver, LedgerError};
use job::{Batch, MAX_BATCH, Queued, Urgency, WorkResult, awaited_job, job};

/// A commit that was shared by this many jobs shows that more are on their way.
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
    disk: Arc<DiskState>,
    watched: Arc<WatchedQueue>,
}

/// The state of the queue, for operators.
#[derive(Debug, Default)]
struct WatchedQueue {
    /// Jobs whose callers have no answer yet.
    waiting: AtomicUsize,
    observer: OnceLock<Arc<dyn CommitObserver>>,
}

/// The state of the disk, as the last write met it.
#[derive(Debug)]
struct DiskState {
    is_writable: AtomicBool,
    /// Notified when a write fails.
    failed: Notify,
}

impl WatchedQueue {
    fn committed(&self, commit: Commit) {
        if let Some(observer) = self.observer.get() {
            observer.committed(commit);
        }
    }
}

impl DiskState {
    fn works(&self) {
        self.is_writable.store(true, Ordering::Release);
    }

    fn fails(&self) {
        self.is_writable.store(false, Ordering::Release);
        self.failed.notify_one();
    }
}

/// Clears the flag when the thread ends, also by a panic: nothing is written from then on.
struct WritableUntilEnd<'f>(&'f DiskState);

/// A commit that was shared by many jobs.
#[derive(Clone, Copy, Debug)]
struct SharedCommit {
    /// The duration of the commit, at most [`MAX_COMMIT_DELAY`].
    took: Duration,
    ended: Instant,
}

impl Writer {
    /// Starts the thread. It keeps the lock until it ends.
    ///
    /// It ends after `reader`, so that it is the last to close the file, which empties the write-ahead log.
    pub(super) fn start(mut connection: Connection, lock: File, reader: JoinHandle<()>) -> Result<Self, LedgerError> {
        let (jobs, queue) = mpsc::channel();
        let disk = Arc::new(DiskState { is_writable: AtomicBool::new(true), failed: Notify::new() });
        let state = Arc::clone(&disk);
        let watched = Arc::<WatchedQueue>::default();
        let seen = Arc::clone(&watched);
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                let end = WritableUntilEnd(&state);
                // Dropped before `end`, by a panic too: once the flag is cleared, jobs are refused.
                let queue = queue;
                write(&mut connection, &queue, end.0, &seen);
                // A panic of the reader was reported when it happened.
                let _ = reader.join();
                drop(connection);
                drop(lock);
            })
            .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        Ok(Self { jobs, disk, watched })
    }

    /// True if the last write became durable and no job has met a broken disk since.
    pub(super) fn is_writable(&self) -> bool {
        self.disk.is_writable.load(Ordering::Acquire)
    }

    /// The jobs whose callers have no answer yet.
    pub(super) fn backlog(&self) -> usize {
        self.watched.waiting.load(Ordering::Relaxed)
    }

    /// Tells this observer of each commit from now on, unless there is one already.
    pub(super) fn observe(&self, observer: Arc<dyn CommitObserver>) {
        drop(self.watched.observer.set(observer));
    }

    /// Returns when a write has failed since this returned last.
    pub(super) async fn failed(&self) {
        self.disk.failed.notified().await;
    }

    /// Runs the work in the next transaction, and returns once its commit is on disk.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.run_with(0, work).await
    }

    /// Like [`Writer::run`], for work that writes this many bytes of requests and answers.
    pub(super) async fn run_with<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (job, answer) = awaited_job(work);
        self.send(Queued { job, urgency: Urgency::Urgent, bytes }, answer).await
    }

    /// Like [`Writer::run`], for work that nothing depends on: it causes no commit of its own while there are others.
    pub(super) async fn run_lazily<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (job, answer) = awaited_job(work);
        self.send(Queued { job, urgency: Urgency::Lazy, bytes: 0 }, answer).await
    }

    /// Queues lazy work that no caller waits for. `failed` is called if it did not become durable.
    pub(super) fn note(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<(), LedgerError> + Send + 'static,
        failed: impl FnOnce(LedgerError) + Send + 'static,
    ) {
        let job = job(work, move |outcome| {
            if let Err(error) = outcome {
                failed(error);
            }
        });
        if let Err(queued) = self.queue(Queued { job, urgency: Urgency::Lazy, bytes }) {
            let (_, reply) = (queued.job)(Err(stopped()));
            reply(Ok(()));
        }
    }

    async fn send<T>(
        &self,
        queued: Queued,
        answer: oneshot::Receiver<Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        self.queue(queued).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Queues a job, or returns it if the thread has ended.
    fn queue(&self, queued: Queued) -> Result<(), Queued> {
        // Before it is sent: the thread counts it down.
        self.watched.waiting.fetch_add(1, Ordering::Relaxed);
        self.jobs.send(queued).map_err(|mpsc::SendError(queued)| {
            self.watched.waiting.fetch_sub(1, Ordering::Relaxed);
            queued
        })
    }
}

fn stopped() -> LedgerError {
    LedgerError::Unavailable("the ledger's writer has stopped: restart the host".to_owned())
}

impl Drop for WritableUntilEnd<'_> {
    fn drop(&mut self) {
        self.0.fails();
    }
}

/// Writes batches until the queue is closed and empty.
fn write(connection: &mut Connection, queue: &mpsc::Receiver<Queued>, disk: &DiskState, watched: &WatchedQueue) {
    let mut shared: Option<SharedCommit> = None;
    while let Some(mut batch) = wait(queue) {
        if let Some(last) = shared
            && last.ended.elapsed() < MAX_COMMIT_DELAY
        {
            std::thread::sleep(last.took);
        }
        batch.fill(queue);
        let size = batch.jobs.len();
        let mut open = control(connection, "BEGIN IMMEDIATE");
        let mut replies = Vec::with_capacity(size);
        let mut disk_failed = false;
        let at_begin = connection.total_changes();
        for job in batch.jobs {
            let before = connection.total_changes();
            // A job runs only inside the transaction: outside, each of its statements would commit by itself, and its
            // caller would learn that they failed.
            let (done, reply) = job(open.clone().map(|()| &*connection));
            replies.push(reply);
            disk_failed |= done == WorkResult::DiskFailed;
            // SQLite may end the transaction by itself when the disk is full or fails. If the job changed something
            // before it failed, the transaction holds half a job and must not be committed.
            if open.is_ok()
                && (connection.is_autocommit() || done != WorkResult::Succeeded && connection.total_changes() != before)
            {
                open = Err(LedgerError::Unavailable("the ledger's transaction could not be finished".to_owned()));
            }
        }
        let changed = connection.total_changes() != at_begin;
        let committing = Instant::now();
        let committed = open.and_then(|()| control(connection, "COMMIT"));
        let took = committing.elapsed();
        // After a full batch there is no need to wait: the next one is in the queue.
        shared = (BATCH_THRESHOLD..MAX_BATCH)
            .contains(&size)
            .then(|| SharedCommit { took: took.min(MAX_COMMIT_DELAY), ended: Instant::now() });
        if changed || committed.is_err() {
            watched.committed(Commit { took, jobs: size, is_durable: committed.is_ok() });
        }
        if let Err(error) = &committed {
            tracing::error!(%error, "the ledger could not commit");
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        // Before the answers: a caller that gets an error finds the ledger not writable.
        if committed.is_err() || disk_failed {
            disk.fails();
        } else if changed {
            disk.works();
        }
        watched.waiting.fetch_sub(size, Ordering::Relaxed);
        for reply in replies {
            reply(committed.clone());
        }
    }
}

/// Waits for the first jobs of a batch, in the order in which they came. `None` when every sender is dropped and
/// everything is written.
fn wait(queue: &mpsc::Receiver<Queued>) -> Option<Batch> {
    let first = queue.recv().ok()?;
    let mut urgency = first.urgency;
    let mut batch = Batch::default();
    batch.add(first);
    let until = Instant::now() + LAZY_WRITE_DELAY;
    while urgency == Urgency::Lazy && !batch.is_full() {
        match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(queued) => {
                urgency = queued.urgency;
                batch.add(queued);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(batch)
}

/// Runs one statement that begins or ends a transaction.
fn control(connection: &Connection, sql: &str) -> Result<(), LedgerError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests;
