//! Opens the file of a ledger, for one process at a time.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{free_uses, leases, schema};
use crate::LedgerError;

/// Prepared statements that a connection keeps: more than this crate has, so that none is parsed twice.
const STATEMENT_CACHE: usize = 128;

/// The time for which a reader waits for another tool that locks the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The time for which the lock is tried, and the pause between two tries: a host that waits for the end of another one
/// looks whether the lock is held, and shares it for a moment if it is not.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Opens or creates the file, upgrades its schema and ends the leases of an earlier process. The caller holds its
/// [`lock`].
pub(super) fn open(path: &Path) -> Result<Connection, LedgerError> {
    let failed = |error: &dyn std::fmt::Display| LedgerError::Unavailable(format!("{}: {error}", path.display()));
    // Created here for its owner alone: it holds answers that were paid for and signed payments, and SQLite gives its
    // side files the mode of the main one.
    File::options().create(true).append(true).mode(0o600).open(path).map_err(|error| failed(&error))?;
    let mut connection = Connection::open(path).map_err(|error| failed(&error))?;
    prepare_statements_once(&connection)?;
    schema::prepare(&mut connection)?;
    let transaction = connection.transaction()?;
    leases::end_all(&transaction)?;
    free_uses::give_back_all(&transaction)?;
    transaction.commit()?;
    Ok(connection)
}

/// Opens the file once more, for reading beside the writer.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare_statements_once(&connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Opens the file for small changes beside the host that writes it. Without a host the file is created or upgraded.
pub(crate) fn open_beside(path: &Path) -> Result<Connection, LedgerError> {
    if !schema::is_current(path) {
        let _lock = lock(path)?;
        return open(path);
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Opens the file as [`open_beside`] does, in a transaction that is never committed: what is done is undone when the
/// connection is closed. Nothing is created; without a file it is an empty ledger in memory.
pub(crate) fn open_to_rehearse(path: &Path) -> Result<Connection, LedgerError> {
    if !path.exists() {
        let mut connection = Connection::open_in_memory()?;
        schema::prepare(&mut connection)?;
        return Ok(connection);
    }
    let _lock = (!schema::is_current(path)).then(|| lock(path)).transpose()?;
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    schema::migrate(&connection)?;
    Ok(connection)
}

/// Makes each statement be prepared once. By default SQLite looks at the values that are bound, whenever a partial
/// index may be of use, and prepares the statement again for the next value: that took a quarter of the time of a
/// payment.
fn prepare_statements_once(connection: &Connection) -> Result<(), LedgerError> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Deletes the file and SQLite's files beside it, if they exist. The caller holds its [`lock`].
pub(super) fn delete(path: &Path) -> Result<(), LedgerError> {
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
    Ok(())
}

/// Takes the lock of a ledger's file, which is a file beside it with the extension `lock`.
///
/// One process per file: a second host on the same ledger would release the claims of the first. Readers with other
/// tools are not locked out. The lock ends with the returned file or with the process, however it ends.
pub(crate) fn lock(path: &Path) -> Result<File, LedgerError> {
    let beside = path.with_extension("lock");
    let failed = |error: std::io::Error| LedgerError::Unavailable(format!("{}: {error}", beside.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&beside).map_err(failed)?;
    let until = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::Unavailable(format!(
                    "{} is in use by another Coinslot: stop it, or name another `state` directory",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}
