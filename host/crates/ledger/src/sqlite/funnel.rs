//! Counts requests for the funnel from the price to the payment, by day. Payments are counted by triggers, in the commit that
//! makes the claim or the event.

use coinslot_x402::UnixTime;
use rusqlite::{Connection, params};

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
