//! Counts requests for the funnel from the price to the payment, by day. Payments are counted by triggers, in the commit that
//! makes the claim or the event: each once at each state, however often it comes to the state.

use coinslot_x402::UnixTime;
use rusqlite::{Connection, params};

use super::prune::{Cutoffs, SLICE_ROWS, Slice, deleted};
use crate::number::to_sqlite;
use crate::{DAY, LedgerError, RequestCount};

/// See [`crate::Ledger::count_requests`].
pub(super) fn count(connection: &Connection, counts: &[RequestCount], at: UnixTime) -> Result<(), LedgerError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO funnel_total (day, testnet, plugin, endpoint, subject, outcome, code, number)
            VALUES (?1, ?2, ?3, ?4, 'request', ?5, ?6, ?7)
            ON CONFLICT DO UPDATE SET number = number + excluded.number",
    )?;
    for count in counts {
        statement.execute(params![
            to_sqlite(at.0 / DAY),
            count.testnet,
            count.plugin,
            count.endpoint,
            count.outcome,
            count.code,
            to_sqlite(count.requests)
        ])?;
    }
    Ok(())
}

/// Deletes the numbers of days that are older than the audit log may be.
pub(super) fn prune(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let sql = "DELETE FROM funnel_total WHERE (day, testnet, plugin, endpoint, subject, outcome, code) IN
        (SELECT day, testnet, plugin, endpoint, subject, outcome, code FROM funnel_total WHERE day < ?1 LIMIT ?2)";
    deleted(connection.prepare_cached(sql)?.execute(params![cutoffs.changes() / to_sqlite(DAY), SLICE_ROWS])?)
}
