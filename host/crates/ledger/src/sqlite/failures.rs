//! Keeps a line of each payment that was given back because its plugin failed.
//!
//! Such a payment has no row: nothing was sent, and it can be used again, for another request too. The log
//! names it, and who looks for it in the ledger finds the line. Anybody with a signature can make a plugin fail, so only
//! the newest lines are kept.

use coinslot_x402::UnixTime;
use rusqlite::{Connection, params};

use crate::LedgerError;
use crate::number::to_sqlite;

/// The lines that are kept: some MB.
pub(super) const MOST: i64 = 10_000;

/// Writes down that the payment of this row is given back, before its row is deleted.
pub(super) fn record(connection: &Connection, row: i64, reason: &str, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO failure (payment_id, network, asset, payer, amount, testnet, endpoint, plugin, reason, at,
                    request_id, claimed_at, run_at)
                SELECT payment_id, network, asset, payer, amount, testnet, endpoint, plugin, ?2, ?3,
                    request_id, created_at, run_at
                FROM claim JOIN progress USING (id) WHERE id = ?1",
        )?
        .execute(params![row, reason, to_sqlite(at.0)])?;
    let oldest = connection.last_insert_rowid() - MOST;
    connection
        .prepare_cached(
            "INSERT INTO event (kind, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin,
                    request_id, reason, at)
                SELECT 'failed', payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin,
                    request_id, ?2, ?3
                FROM claim WHERE id = ?1",
        )?
        .execute(params![row, reason, to_sqlite(at.0)])?;
    connection.prepare_cached("DELETE FROM failure WHERE id <= ?1")?.execute(params![oldest])?;
    Ok(())
}
