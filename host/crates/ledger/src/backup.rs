//! Copies SQLite files beside the process that writes them, and makes the copy of a ledger ready for a host.
//!
//! A copy is made within one read transaction, so it shows one state. Without the transaction SQLite begins a backup
//! anew whenever another process has written between two of its steps, and beside a busy host it would never end. The
//! host does not wait for the copy: it writes into its write-ahead log, which grows until the copy is made.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use crate::sqlite::{self, schema};
use crate::{LedgerError, PaymentState};

/// Pages that are copied in one step, a mebibyte in most files.
const STEP_PAGES: i32 = 256;

/// The pause between two steps, which leaves the disk to the host.
const STEP_PAUSE: Duration = Duration::from_millis(2);

/// The time for which a copy waits for a host that is just opening or closing the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why a file cannot be copied, or why a copy is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    #[error("{path}: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("{path}: the file is damaged: {reason}")]
    Damaged { path: String, reason: String },
    #[error("{path}: it is no ledger")]
    Foreign { path: String },
    #[error("{path}: {source}")]
    Ledger { path: String, source: LedgerError },
}

/// The content of a ledger, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerContent {
    /// The payments in each state that has any, by its name.
    pub payments: BTreeMap<String, u64>,
}

impl LedgerContent {
    /// The payments in all states.
    pub fn total(&self) -> u64 {
        self.payments.values().sum()
    }

    /// The payments in one state.
    pub fn count(&self, state: PaymentState) -> u64 {
        self.payments.get(state.as_str()).copied().unwrap_or_default()
    }
}

/// Copies a SQLite file in one state, which may be written meanwhile, to an empty or missing file, and checks the copy.
/// The copy is one file, without files beside it; it is not synced. After an error the target is of no use.
pub fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let (source_failed, target_failed) = (unreadable(from), unreadable(to));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(&source_failed)?;
    source.busy_timeout(BUSY_TIMEOUT).map_err(&source_failed)?;
    let state = source.unchecked_transaction().map_err(&source_failed)?;
    // A transaction of SQLite takes its state with its first question.
    state.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map_err(&source_failed)?;
    let mut target = Connection::open(to).map_err(&target_failed)?;
    target.pragma_update(None, "synchronous", "OFF").map_err(&target_failed)?;
    Backup::new(&state, &mut target)
        .and_then(|backup| backup.run_to_completion(STEP_PAGES, STEP_PAUSE, None))
        .map_err(&source_failed)?;
    drop(target);
    // Opened again: the copy brought the journal mode of the source along.
    let copy = Connection::open(to).map_err(&target_failed)?;
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(&target_failed)?;
    check(&copy, from)
}

/// Counts what a ledger has, of any schema version.
pub fn content(ledger: &Path) -> Result<LedgerContent, BackupError> {
    let failed = unreadable(ledger);
    let connection = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(&failed)?;
    let application = connection.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0));
    if application.map_err(&failed)? != schema::APPLICATION_ID {
        return Err(BackupError::Foreign { path: ledger.display().to_string() });
    }
    let mut statement = connection.prepare("SELECT state, count(*) FROM payment GROUP BY state").map_err(&failed)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).map_err(&failed)?;
    let mut content = LedgerContent::default();
    for row in rows {
        let (state, payments): (String, i64) = row.map_err(&failed)?;
        content.payments.insert(state, payments.unsigned_abs());
    }
    Ok(content)
}

/// Takes the lock that a host holds while it runs on this ledger, so that none starts on it until the returned file is
/// dropped. Fails if a host runs.
pub fn lock(ledger: &Path) -> Result<File, LedgerError> {
    sqlite::lock(ledger)
}

/// Makes the copy of a ledger ready for the host that goes on with it. Checks it, upgrades its schema, and removes the
/// claims of payments that were at work when it was made and that had sent nothing: the host of that time went on with
/// them, so nothing that is written here says how they ended. A payment that is sent again is then judged by the chain,
/// as one that was never seen. A settlement that had begun is looked up by recovery when a host opens the ledger.
/// Returns the number of those claims.
pub fn revive(copy: &Path) -> Result<usize, BackupError> {
    let failed = unreadable(copy);
    content(copy)?;
    let mut connection = Connection::open(copy).map_err(&failed)?;
    check(&connection, copy)?;
    let path = copy.display().to_string();
    schema::prepare(&mut connection).map_err(|source| BackupError::Ledger { path, source })?;
    let transaction = connection.transaction().map_err(&failed)?;
    const AT_WORK: &str = "state = 'reserved' OR (state = 'executing' AND NOT paid)";
    let claims = format!("DELETE FROM claim WHERE id IN (SELECT id FROM progress WHERE {AT_WORK})");
    let removed = transaction.execute(&claims, []).map_err(&failed)?;
    transaction.execute(&format!("DELETE FROM progress WHERE {AT_WORK}"), []).map_err(&failed)?;
    transaction.commit().map_err(&failed)?;
    // So that all of it is in one file.
    connection.pragma_update(None, "journal_mode", "DELETE").map_err(&failed)?;
    Ok(removed)
}

/// Checks that a file is whole. `shown` names it in the error.
fn check(connection: &Connection, shown: &Path) -> Result<(), BackupError> {
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match found.map_err(unreadable(shown))?.as_str() {
        "ok" => Ok(()),
        reason => Err(BackupError::Damaged { path: shown.display().to_string(), reason: reason.to_owned() }),
    }
}

fn unreadable(path: &Path) -> impl Fn(rusqlite::Error) -> BackupError {
    let path = path.display().to_string();
    move |error| BackupError::Unreadable { path: path.clone(), reason: error.to_string() }
}
