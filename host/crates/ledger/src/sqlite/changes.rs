//! Writes the audit log and forgets its oldest lines.
//!
//! A line is never changed: a trigger of the schema refuses it. Lines are kept a year longer than finished payments, and
//! the schema keeps the newest hundred thousand, so that a file which is rewritten in a loop cannot fill the disk.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use super::prune::{Cutoffs, Slice};
use super::schema;
use crate::number::to_sqlite;
use crate::{Change, LedgerError};

/// The characters of one text that are kept.
const TEXT: usize = 2_000;

/// The lines of one slice of pruning.
const SLICE_ROWS: u32 = 100;

/// The time for which a command waits for a host that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes one line, in the transaction of its caller.
pub(super) fn record(connection: &Connection, change: &Change) -> Result<(), LedgerError> {
    let text = |text: &String| coinslot_base::text::excerpt(text, TEXT);
    connection
        .prepare_cached("INSERT INTO change (at, who, kind, subject, before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            to_sqlite(change.at.0),
            text(&change.who.to_string()),
            change.kind.as_str(),
            text(&change.subject),
            change.before.as_ref().map(text),
            change.after.as_ref().map(text),
        ])?;
    Ok(())
}

/// Writes a line into the ledger of a host beside the host, for a command that changes something on its own. A file that
/// is no ledger of this version is left as it is.
pub fn record_beside(path: &Path, change: &Change) -> Result<(), LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if pragma("application_id")? != schema::APPLICATION_ID || pragma("user_version")? != schema::current_version() {
        return Err(LedgerError::Schema("the file is no ledger of this version of Coinslot".to_owned()));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    record(&connection, change)
}

/// Deletes lines that are old enough. The oldest are looked at, and no others.
pub(super) fn prune(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let deleted = connection
        .prepare_cached("DELETE FROM change WHERE id IN (SELECT id FROM change ORDER BY id LIMIT ?2) AND at < ?1")?
        .execute(params![cutoffs.changes(), SLICE_ROWS])?;
    Ok(Slice { deleted: deleted as u64, more: deleted == SLICE_ROWS as usize })
}
