//! Sums up the fees of refunds that ended long ago.

use coinslot_x402::price::Amount;
use rusqlite::{Connection, OptionalExtension, params};

use crate::number::to_sqlite;
use crate::sqlite::prune::totals::{add, parse};
use crate::sqlite::prune::{Cutoffs, SLICE_ROWS, Slice};
use crate::{DAY, LedgerError};

/// Replaces the fees of one old day and network by their sum, which stays.
pub(in crate::sqlite) fn sum_up(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let before = cutoffs.payments() / to_sqlite(DAY);
    let found: Option<(i64, String)> = connection
        .prepare_cached(
            "SELECT day, network FROM refund_fee WHERE day < ?1 GROUP BY day, network HAVING count(*) > 1 LIMIT 1",
        )?
        .query_row([before], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((day, network)) = found else { return Ok(Slice { deleted: 0, more: false }) };
    let mut ids: Vec<i64> = Vec::new();
    let mut sum = Amount::default();
    let mut oldest = connection
        .prepare_cached("SELECT id, fee FROM refund_fee WHERE day = ?1 AND network = ?2 ORDER BY id LIMIT ?3")?;
    let mut rows = oldest.query(params![day, network, SLICE_ROWS])?;
    while let Some(row) = rows.next()? {
        ids.push(row.get(0)?);
        sum = add(sum, parse(&row.get::<_, String>(1)?)?)?;
    }
    let Some((first, others)) = ids.split_first() else { return Ok(Slice { deleted: 0, more: false }) };
    connection
        .prepare_cached("UPDATE refund_fee SET fee = ?2 WHERE id = ?1")?
        .execute(params![first, sum.to_string()])?;
    for other in others {
        connection.prepare_cached("DELETE FROM refund_fee WHERE id = ?1")?.execute([other])?;
    }
    Ok(Slice { deleted: others.len() as u64, more: true })
}
