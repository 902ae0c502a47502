//! The embedded store: one SQLite file, one writer thread that commits whatever has queued.
//!
//! Group commit: the thread takes every job that waits, runs them in one transaction, commits once
//! with `synchronous=FULL`, and only then answers. A job that fails before it changes anything fails
//! alone. One that fails later, as on a full disk, takes the whole transaction with it: to undo it alone
//! would need a copy of every page that any job changes.

mod lookup;
mod prune;
pub(crate) mod schema;
mod steps;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::LedgerError;

/// At most so many jobs share a commit, so that no caller waits for an unbounded batch.
const BATCH: usize = 512;

/// More than there are, so that none is parsed twice.
const STATEMENTS: usize = 64;

/// Where so many jobs shared a commit, more are on their way: the next commit waits for them as long as the last one
/// took, at most [`PATIENCE`]. Fewer and fuller commits cost less than their callers lose. Who comes later than that
/// after a commit is alone and waits for nobody, and a full batch has company enough.
const COMPANY: usize = 4;
const PATIENCE: Duration = Duration::from_millis(2);

/// How long news that nobody waits for may wait for others to be written with.
const RIDE: Duration = Duration::from_millis(50);

/// The ledger in a file of its own.
#[derive(Debug)]
pub struct SqliteLedger {
    jobs: mpsc::Sender<Queued>,
    writable: Arc<AtomicBool>,
}

/// Runs inside the transaction, or hears why there is none, and hands back what answers the caller once it is committed.
type Job = Box<dyn FnOnce(Result<&Connection, LedgerError>) -> (Done, Reply) + Send>;

/// A job, and when it is written.
enum Queued {
    /// Somebody waits for it.
    Now(Job),
    /// With the next that somebody waits for, or after [`RIDE`].
    Lazy(Job),
}

/// How a job's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Well,
    Failed,
}

/// Told whether the transaction became durable.
type Reply = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

impl SqliteLedger {
    /// Opens or creates the file and starts the writer. What an earlier process left behind is put in
    /// order first, see [`super::Ledger`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::start(path, lock(path)?)
    }

    /// Throws an older file away first, once it is certain that no other process uses it.
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        let lock = lock(path)?;
        for suffix in ["", "-wal", "-shm"] {
            let mut file = path.as_os_str().to_owned();
            file.push(suffix);
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LedgerError::Unavailable(format!("{}: {error}", path.display())));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Self::start(path, lock)
    }

    fn start(path: &Path, lock: std::fs::File) -> Result<Self, LedgerError> {
        use std::os::unix::fs::OpenOptionsExt;
        // It holds answers that were paid for and signed payments: nobody else reads it.
        std::fs::File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| LedgerError::Unavailable(format!("{}: {error}", path.display())))?;
        let mut connection =
            Connection::open(path).map_err(|error| LedgerError::Unavailable(format!("{}: {error}", path.display())))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        schema::prepare(&mut connection)?;
        connection.execute_batch(PUT_IN_ORDER)?;
        let (jobs, queue) = mpsc::channel();
        let writable = Arc::new(AtomicBool::new(true));
        let told = Arc::clone(&writable);
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                write(&mut connection, &queue, &told);
                drop(lock);
            })
            .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        Ok(Self { jobs, writable })
    }

    /// Runs the work in the next commit and answers once it is durable.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (job, answer) = job(work);
        self.queue(Queued::Now(job), answer).await
    }

    /// Like [`SqliteLedger::run`], for work that nothing depends on: it causes no commit of its own while there are others.
    async fn run_lazily<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (job, answer) = job(work);
        self.queue(Queued::Lazy(job), answer).await
    }

    async fn queue<T>(
        &self,
        queued: Queued,
        answer: oneshot::Receiver<Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let stopped = || LedgerError::Unavailable("the ledger's writer has stopped".to_owned());
        self.jobs.send(queued).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Packs work into a job, and the channel on which its caller hears how the commit ended.
fn job<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, LedgerError>>) {
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        let result = connection.and_then(work);
        let done = if result.is_ok() { Done::Well } else { Done::Failed };
        let reply: Reply = Box::new(move |committed| {
            // The caller may have gone; the change stays.
            let _ = reply.send(committed.and(result));
        });
        (done, reply)
    });
    (job, answer)
}

/// What a process that ended left behind: nothing was sent for a reserved row, a guest may have run for
/// an executing one, and only the chain knows about a settling one.
const PUT_IN_ORDER: &str = "
BEGIN IMMEDIATE;
DELETE FROM claim WHERE id IN (SELECT id FROM progress WHERE state = 'reserved');
DELETE FROM progress WHERE state = 'reserved';
UPDATE progress SET state = 'owed', reason = 'interrupted' WHERE state = 'executing' AND paid;
UPDATE progress SET state = 'refused', reason = 'interrupted' WHERE state = 'executing';
UPDATE progress SET state = 'unknown' WHERE state = 'settling';
COMMIT;
";

/// One process per file: a second host on the same ledger would release the first one's claims.
/// Readers with other tools are not locked out. The lock ends with the process, however it ends.
fn lock(path: &Path) -> Result<std::fs::File, LedgerError> {
    let beside = path.with_extension("lock");
    let failed = |error: std::io::Error| LedgerError::Unavailable(format!("{}: {error}", beside.display()));
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(&beside).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(LedgerError::Unavailable(format!(
            "{} is in use by another Coinslot: stop it, or name another `state` directory",
            path.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn ended() -> LedgerError {
    LedgerError::Unavailable("the ledger's transaction could not be finished".to_owned())
}

/// One statement about transactions.
fn control(connection: &Connection, sql: &str) -> Result<(), LedgerError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

impl Queued {
    fn into_job(self) -> Job {
        match self {
            Self::Now(job) | Self::Lazy(job) => job,
        }
    }
}

/// What is to be written next, in the order in which it came: one job at least, [`BATCH`] at most. None when
/// nobody can send any more, and everything is written.
fn wait(queue: &mpsc::Receiver<Queued>) -> Option<Vec<Job>> {
    let mut waiting = match queue.recv().ok()? {
        Queued::Now(job) => return Some(vec![job]),
        Queued::Lazy(job) => vec![job],
    };
    let until = Instant::now() + RIDE;
    while waiting.len() < BATCH {
        match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Queued::Lazy(job)) => waiting.push(job),
            Ok(Queued::Now(job)) => {
                waiting.push(job);
                break;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(waiting)
}

/// The writer thread: ends when the last [`SqliteLedger`] is dropped.
fn write(connection: &mut Connection, queue: &mpsc::Receiver<Queued>, writable: &AtomicBool) {
    let mut company: Option<(Duration, Instant)> = None;
    while let Some(waiting) = wait(queue) {
        if let Some((patience, since)) = company
            && since.elapsed() < PATIENCE
        {
            std::thread::sleep(patience);
        }
        let mut open = control(connection, "BEGIN IMMEDIATE");
        let mut replies = Vec::with_capacity(waiting.len());
        let more = std::iter::from_fn(|| queue.try_recv().ok().map(Queued::into_job));
        for job in waiting.into_iter().chain(more).take(BATCH) {
            let before = connection.total_changes();
            // Without a transaction each statement would commit alone what its caller hears has failed.
            let (done, reply) = job(open.clone().map(|()| &*connection));
            replies.push(reply);
            // A full disk or a failing one may make SQLite end the transaction by itself.
            if open.is_ok()
                && (connection.is_autocommit() || done == Done::Failed && connection.total_changes() != before)
            {
                open = Err(ended());
            }
        }
        let committing = Instant::now();
        let committed = open.and_then(|()| control(connection, "COMMIT"));
        company =
            (COMPANY..BATCH).contains(&replies.len()).then(|| (committing.elapsed().min(PATIENCE), Instant::now()));
        if let Err(error) = &committed {
            tracing::error!(%error, "the ledger could not commit");
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        writable.store(committed.is_ok(), Ordering::Release);
        for reply in replies {
            reply(committed.clone());
        }
    }
}

/// SQLite's integers are signed; a time or a count beyond that is as good as its end.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
