//! The layout of the ledger's file, and the migrations that lead to it.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::LedgerError;

/// `PRAGMA application_id` of a Coinslot ledger: "cslt".
pub(crate) const APPLICATION_ID: i64 = 0x6373_6c74;

/// Memory for cached pages, in KiB. It holds the pages of the indexes for some hundred thousand payments: claims touch
/// them in random order.
const CACHE_KIB: i64 = 32 * 1024;

/// Pages in the write-ahead log, 16 MiB, after which SQLite copies them into the file itself. A page that changes often
/// is in the log many times and is copied once, so a long log saves writes.
const CHECKPOINT_PAGES: i64 = 4_096;

/// One migration for each schema version; `PRAGMA user_version` counts those that are done. The statements of a
/// released migration never change.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/migrations/01_payments.sql"),
    include_str!("schema/migrations/02_flows_and_answers.sql"),
    include_str!("schema/migrations/03_claims_and_progress.sql"),
    include_str!("schema/migrations/04_leases.sql"),
    include_str!("schema/migrations/05_identity.sql"),
    include_str!("schema/migrations/06_failures.sql"),
    include_str!("schema/migrations/07_events.sql"),
    include_str!("schema/migrations/08_free_requests.sql"),
    include_str!("schema/migrations/09_changes.sql"),
    include_str!("schema/migrations/10_request_ids.sql"),
    include_str!("schema/migrations/11_refunds.sql"),
    include_str!("schema/migrations/12_story.sql"),
    include_str!("schema/migrations/13_webhook_attempts.sql"),
    include_str!("schema/migrations/14_funnel.sql"),
    include_str!("schema/migrations/15_debts.sql"),
    include_str!("schema/migrations/16_passes.sql"),
];

/// The schema version that this program reads and writes.
pub(crate) fn current_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// True if there is a ledger of this schema version.
pub(super) fn is_current(path: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(path, flags) else { return false };
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap_or_default();
    pragma("application_id") == APPLICATION_ID && pragma("user_version") == current_version()
}

/// Creates the schema in an empty file or upgrades an older one, in one transaction, and sets the connection up for
/// durable commits. Refuses other programs' databases and newer schemas.
pub(crate) fn prepare(connection: &mut Connection) -> Result<(), LedgerError> {
    done(connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit is on disk when it returns. WAL with NORMAL would lose the last commits in a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Milliseconds to wait for another tool that writes to the file.
    connection.pragma_update(None, "busy_timeout", 5_000)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    let transaction = connection.transaction()?;
    migrate(&transaction)?;
    transaction.commit()?;
    Ok(())
}

/// Creates the schema or upgrades an older one, in the transaction that is open.
pub(super) fn migrate(connection: &Connection) -> Result<(), LedgerError> {
    for migration in &MIGRATIONS[done(connection)?..] {
        connection.execute_batch(migration)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", current_version())?;
    Ok(())
}

/// The number of migrations that are done. Refuses other programs' databases and newer schemas.
fn done(connection: &Connection) -> Result<usize, LedgerError> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(LedgerError::Schema("the ledger file is another program's database: name another file".to_owned()));
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        return Err(LedgerError::Schema(format!(
            "the ledger file has schema version {version}, this Coinslot knows up to {}: run the newer Coinslot that wrote it",
            MIGRATIONS.len()
        )));
    }
    Ok(done)
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly,
            ) => Self::Disk(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
