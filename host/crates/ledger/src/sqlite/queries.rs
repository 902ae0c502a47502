//! Reads what the limits of payers need, and writes the heartbeat.

use coinslot_x402::{Network, UnixTime};
use rusqlite::{Connection, params};

use crate::number::{from_sqlite, to_sqlite};
use crate::{LedgerError, PaymentId};

/// See [`crate::Ledger::failed_settlements`]. A payment that was refused before it was sent is no failed settlement.
pub(super) fn failed_settlements(
    connection: &Connection,
    since: UnixTime,
) -> Result<Vec<(String, UnixTime)>, LedgerError> {
    let mut rows = connection.prepare_cached(
        "SELECT payer, max(updated_at) FROM progress JOIN claim USING (id)
         WHERE state = 'refused' AND sent AND updated_at >= ?1 GROUP BY payer",
    )?;
    let found =
        rows.query_map(params![to_sqlite(since.0)], |row| Ok((row.get(0)?, UnixTime(from_sqlite(row.get(1)?)))))?;
    found.collect::<Result<_, _>>().map_err(LedgerError::from)
}

/// See [`crate::Ledger::open_settlements`]. Every open row has a row in `outgoing`, which is small.
pub(super) fn open_settlements(connection: &Connection) -> Result<Vec<(PaymentId, String)>, LedgerError> {
    let mut rows = connection.prepare_cached(
        "SELECT network, asset, payer, nonce, amount
         FROM outgoing CROSS JOIN progress USING (id) CROSS JOIN claim USING (id)
         WHERE state IN ('settling', 'unknown') AND flow = 'authorization'",
    )?;
    let mut found = rows.query([])?;
    let mut open = Vec::new();
    while let Some(row) = found.next()? {
        // A network that cannot be read is none that this host takes payments on.
        let Ok(network) = Network::parse(&row.get::<_, String>(0)?) else { continue };
        open.push((PaymentId::new(network, row.get(1)?, row.get(2)?, row.get(3)?), row.get(4)?));
    }
    Ok(open)
}

/// See [`crate::Ledger::recent_payers`].
pub(super) fn recent_payers(connection: &Connection, payments: u32) -> Result<Vec<String>, LedgerError> {
    let mut rows = connection.prepare_cached(
        "SELECT DISTINCT payer FROM claim
         WHERE id IN (SELECT id FROM progress WHERE paid = 1 ORDER BY id DESC LIMIT ?1)",
    )?;
    let found = rows.query_map(params![payments], |row| row.get(0))?;
    found.collect::<Result<_, _>>().map_err(LedgerError::from)
}

/// See [`crate::Ledger::identity`].
pub(super) fn identity(connection: &Connection) -> Result<[u8; 16], LedgerError> {
    Ok(connection.query_row("SELECT id FROM identity", [], |row| row.get(0))?)
}

/// Writes the time into the one row of the table `heartbeat`.
pub(super) fn beat(connection: &Connection, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached("INSERT INTO heartbeat (one, at) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = ?1")?
        .execute(params![to_sqlite(at.0)])?;
    Ok(())
}
