//! Reads what the exposure limits need, and writes the heartbeat.

use coinslot_x402::UnixTime;
use rusqlite::{Connection, params};

use crate::LedgerError;
use crate::number::to_sqlite;

/// See [`crate::Ledger::failed_settlements`]. A payment that was refused before it was sent is no failed settlement.
pub(super) fn failed_settlements(connection: &Connection, since: UnixTime) -> Result<Vec<(String, u32)>, LedgerError> {
    let mut rows = connection.prepare_cached(
        "SELECT payer, count(*) FROM progress JOIN claim USING (id)
         WHERE state = 'refused' AND sent AND updated_at >= ?1 GROUP BY payer",
    )?;
    let found = rows.query_map(params![to_sqlite(since.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.collect::<Result<_, _>>().map_err(LedgerError::from)
}

/// Writes the time into the one row of the table `heartbeat`.
pub(super) fn beat(connection: &Connection, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached("INSERT INTO heartbeat (one, at) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = ?1")?
        .execute(params![to_sqlite(at.0)])?;
    Ok(())
}
