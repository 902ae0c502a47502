//! The embedded store: one SQLite file, one writer thread that commits whatever has queued.
//!
//! Group commit: the thread takes every job that waits, runs them in one transaction, commits once
//! with `synchronous=FULL`, and only then answers. A job that fails is rolled back alone: SQLite does that
//! for a job that changes with one statement, and a savepoint for others.

mod prune;
mod standing;
mod steps;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Answer, LedgerError, PaymentId, schema};

/// At most so many jobs share a commit, so that no caller waits for an unbounded batch.
const BATCH: usize = 512;

/// More than there are, so that none is parsed twice.
const STATEMENTS: usize = 64;

/// The ledger in a file of its own.
#[derive(Debug)]
pub struct Embedded {
    jobs: mpsc::Sender<Job>,
    writable: Arc<AtomicBool>,
}

/// Runs inside the transaction, or hears why there is none, and hands back what answers the caller once it is committed.
type Job = Box<dyn FnOnce(Result<&Connection, LedgerError>) -> Reply + Send>;
/// Told whether the transaction became durable.
type Reply = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

impl Embedded {
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
        let (jobs, queue) = mpsc::channel::<Job>();
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

    /// Work that changes with several statements, all or none of them.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Answer<'static, T> {
        self.run_one(move |connection| savepoint(connection, work))
    }

    /// Work that changes with one statement at most and does not fail after it. It needs no savepoint,
    /// for which SQLite would copy every page that it changes.
    fn run_one<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Answer<'static, T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = connection.and_then(work);
            Box::new(move |committed| {
                // The caller may have gone; the change stays.
                let _ = reply.send(committed.and(done));
            })
        });
        let stopped = || LedgerError::Unavailable("the ledger's writer has stopped".to_owned());
        let sent = self.jobs.send(job).map_err(|_| stopped());
        Box::pin(async move {
            sent?;
            answer.await.map_err(|_| stopped())?
        })
    }
}

/// What a process that ended left behind: nothing was sent for a reserved row, a guest may have run for
/// an executing one, and only the chain knows about a settling one.
const PUT_IN_ORDER: &str = "
BEGIN IMMEDIATE;
DELETE FROM payment WHERE state = 'reserved';
UPDATE payment SET state = 'owed', reason = 'interrupted' WHERE state = 'executing' AND settlement IS NOT NULL;
UPDATE payment SET state = 'refused', reason = 'interrupted' WHERE state = 'executing';
UPDATE payment SET state = 'unknown' WHERE state = 'settling';
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

/// Runs one job so that its failure undoes only itself.
fn savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    control(connection, "SAVEPOINT job")?;
    let done = work(connection);
    if done.is_err() {
        control(connection, "ROLLBACK TO job")?;
    }
    control(connection, "RELEASE job")?;
    done
}

fn ended() -> LedgerError {
    LedgerError::Unavailable("the ledger's transaction ended by itself".to_owned())
}

/// One statement about transactions.
fn control(connection: &Connection, sql: &str) -> Result<(), LedgerError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// The writer thread: ends when the last [`Embedded`] is dropped.
fn write(connection: &mut Connection, queue: &mpsc::Receiver<Job>, writable: &AtomicBool) {
    while let Ok(first) = queue.recv() {
        let begun = control(connection, "BEGIN IMMEDIATE");
        // Without a transaction a savepoint would commit by itself what its caller hears has failed.
        let mut replies = vec![first(begun.clone().map(|()| &*connection))];
        while replies.len() < BATCH
            && let Ok(job) = queue.try_recv()
        {
            // A full disk or a failing one may make SQLite end the transaction by itself: then nothing more is written,
            // because each statement would commit alone what its caller hears has failed.
            let open = begun.clone().and_then(|()| if connection.is_autocommit() { Err(ended()) } else { Ok(()) });
            replies.push(job(open.map(|()| &*connection)));
        }
        let committed = begun.and_then(|()| control(connection, "COMMIT"));
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

/// The row's key.
fn key(id: &PaymentId) -> Vec<u8> {
    id.digest().to_vec()
}

/// SQLite's integers are signed; a time or a count beyond that is as good as its end.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
