//! Moves rows that earned money into the totals of their days.

use std::collections::BTreeMap;

use coinslot_x402::price::Amount;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Cutoffs, SLICE_ROWS, Slice, delete, is_full};
use crate::number::to_sqlite;
use crate::{DAY, LedgerError};

/// The days for which the row of a refund is kept at least: budgets of refunds are for one day.
const REFUND_DAYS: i64 = 2;

/// The key of one total: day, network, asset, receiver, plugin, endpoint, and whether the money is test
/// money.
type TotalKey = (i64, String, String, String, String, String, bool);

/// The number of rows that each total gains, and the sum that it becomes.
type Totals = BTreeMap<TotalKey, (i64, Amount)>;

/// Rows that totals can stand for.
#[derive(Default)]
struct PrunableRows {
    ids: Vec<i64>,
    received: Totals,
    /// Those of the rows whose money went back.
    refunded: Totals,
}

/// Replaces the oldest rows by their totals: those that were settled, delivered or refunded long enough ago and whose
/// authorisation has expired. A refund is kept for two days at least: it counts for its budget. A payment is kept for as
/// long as the pass that it bought.
///
/// Amounts are read and summed first: a malformed one or an overflow is found before the first change, see
/// [`super::writer`].
pub(super) fn move_into_totals(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let PrunableRows { ids, received, refunded } = prunable(connection, cutoffs)?;
    for (table, count, totals) in [("total", "payments", received), ("refund_total", "refunds", refunded)] {
        let sql = format!(
            "INSERT INTO {table} (day, network, asset, pay_to, plugin, endpoint, testnet, {count}, amount)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET {count} = {count} + excluded.{count}, amount = excluded.amount"
        );
        for ((day, network, asset, pay_to, plugin, endpoint, testnet), (rows, sum)) in totals {
            connection.prepare_cached(&sql)?.execute(params![
                day,
                network,
                asset,
                pay_to,
                plugin,
                endpoint,
                testnet,
                rows,
                sum.to_string()
            ])?;
        }
    }
    delete(connection, &ids)?;
    Ok(Slice { deleted: ids.len() as u64, more: is_full(&ids) })
}

fn prunable(connection: &Connection, cutoffs: Cutoffs) -> Result<PrunableRows, LedgerError> {
    // A row is never older than its last change, so the condition on `created_at` excludes nothing. It lets SQLite walk
    // the index of claims by time from the old end, and CROSS JOIN keeps it there.
    let mut rows = connection.prepare_cached(
        "SELECT claim.id, updated_at, network, asset, pay_to, plugin, endpoint, testnet, amount, state = 'refunded'
         FROM claim INDEXED BY claim_by_time CROSS JOIN progress USING (id) WHERE created_at < ?1
            AND (state IN ('settled', 'delivered') OR state = 'refunded' AND updated_at < ?4)
            AND updated_at < ?1 AND valid_before < ?2
            AND NOT EXISTS (SELECT 1 FROM pass WHERE pass.claim = claim.id AND ends_at > ?2)
         ORDER BY created_at LIMIT ?3",
    )?;
    let mut prunable = PrunableRows::default();
    let refunds = cutoffs.now.saturating_sub(REFUND_DAYS * to_sqlite(DAY));
    let mut found = rows.query(params![cutoffs.payments, cutoffs.now, SLICE_ROWS, refunds])?;
    while let Some(row) = found.next()? {
        let day = row.get::<_, i64>(1)? / to_sqlite(DAY);
        let key = (day, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?);
        let amount = parse(&row.get::<_, String>(8)?)?;
        if row.get(9)? {
            count(&mut prunable.refunded, key.clone(), amount)?;
        }
        count(&mut prunable.received, key, amount)?;
        prunable.ids.push(row.get(0)?);
    }
    add_earlier(connection, "total", &mut prunable.received)?;
    add_earlier(connection, "refund_total", &mut prunable.refunded)?;
    Ok(prunable)
}

/// Counts a row for its total.
fn count(totals: &mut Totals, key: TotalKey, amount: Amount) -> Result<(), LedgerError> {
    let (rows, sum) = totals.entry(key).or_insert((0, Amount::default()));
    *rows += 1;
    *sum = add(*sum, amount)?;
    Ok(())
}

/// Adds what the totals of this table are by now to the sums.
fn add_earlier(connection: &Connection, table: &str, totals: &mut Totals) -> Result<(), LedgerError> {
    let sql = format!(
        "SELECT amount FROM {table} WHERE (day, network, asset, pay_to, plugin, endpoint) = (?1, ?2, ?3, ?4, ?5, ?6)"
    );
    for ((day, network, asset, pay_to, plugin, endpoint, _), (_, sum)) in totals {
        let earlier: Option<String> = connection
            .prepare_cached(&sql)?
            .query_row(params![day, network, asset, pay_to, plugin, endpoint], |row| row.get(0))
            .optional()?;
        if let Some(earlier) = earlier {
            *sum = add(*sum, parse(&earlier)?)?;
        }
    }
    Ok(())
}

pub(in crate::sqlite) fn parse(digits: &str) -> Result<Amount, LedgerError> {
    Amount::parse_atomic(digits).map_err(|error| LedgerError::Schema(format!("the ledger has a bad amount: {error}")))
}

pub(in crate::sqlite) fn add(one: Amount, other: Amount) -> Result<Amount, LedgerError> {
    one.0.checked_add(other.0).map(Amount).ok_or_else(|| LedgerError::Schema("a total exceeds 256 bits".to_owned()))
}
