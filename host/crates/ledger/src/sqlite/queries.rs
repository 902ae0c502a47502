//! Reads what recovery and the exposure limits need, and writes the heartbeat.

use coinslot_x402::{Flow, Network, UnixTime};
use rusqlite::{Connection, params};

use crate::number::{from_sqlite, to_sqlite};
use crate::{LedgerError, PaymentId, Pending};

/// See [`crate::Ledger::pending`].
pub(super) fn pending(
    connection: &Connection,
    settling_before: UnixTime,
    limit: u32,
) -> Result<Vec<Pending>, LedgerError> {
    // CROSS JOIN keeps SQLite from reordering: `outgoing` has a row for each open settlement and for nothing else.
    let mut rows = connection.prepare_cached(
        "SELECT network, asset, payer, nonce, outgoing.request, kept_at IS NOT NULL, valid_before, flow
         FROM outgoing CROSS JOIN progress USING (id) JOIN claim USING (id) LEFT JOIN answer USING (id)
         WHERE state = 'unknown' OR (state = 'settling' AND updated_at < ?1)
         ORDER BY updated_at LIMIT ?2",
    )?;
    let mut found = rows.query(params![to_sqlite(settling_before.0), limit])?;
    let mut pending = Vec::new();
    while let Some(row) = found.next()? {
        let network =
            Network::parse(&row.get::<_, String>(0)?).map_err(|error| LedgerError::Schema(error.to_string()))?;
        pending.push(Pending {
            id: PaymentId::new(network, row.get(1)?, row.get(2)?, row.get(3)?),
            request: row.get(4)?,
            answer_kept: row.get(5)?,
            valid_before: UnixTime(from_sqlite(row.get(6)?)),
            flow: Flow::parse(&row.get::<_, String>(7)?).unwrap_or_default(),
        });
    }
    Ok(pending)
}

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
