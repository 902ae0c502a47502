//! Deletes answers that were kept long enough, and rows that are finished and past their validity.
//!
//! Rows that earned money move into the table `total`, by day, receiver, plugin and endpoint; refused rows leave
//! nothing.

use std::collections::BTreeMap;

use coinslot_x402::UnixTime;
use coinslot_x402::price::Amount;
use rusqlite::{Connection, OptionalExtension, params};

use crate::number::to_sqlite;
use crate::{DAY, LedgerError, Retention};

/// The most rows that one call moves into the totals: it shares a commit with payments that wait.
const MAX_ROWS: u32 = 1_000;

/// The key of one total: day, network, asset, receiver, plugin, endpoint, and whether the money is test money.
type TotalKey = (i64, String, String, String, String, String, bool);

/// Rows that totals can stand for, with the number of payments that each total gains and the sum that it becomes.
struct PrunableRows {
    ids: Vec<i64>,
    totals: BTreeMap<TotalKey, (i64, Amount)>,
}

/// Deletes everything that can be forgotten now. Returns the number of rows and answers.
///
/// Amounts are read and summed first: a malformed one or an overflow is found before the first change, see
/// [`super::writer`].
pub(super) fn prune(connection: &Connection, now: UnixTime, kept: Retention) -> Result<u64, LedgerError> {
    let prunable = prunable(connection, now, to_sqlite(now.0.saturating_sub(kept.payments.as_secs())))?;
    let answers_before = to_sqlite(now.0.saturating_sub(kept.answers.as_secs()));
    let answers = connection.execute(
        "DELETE FROM answer WHERE kept_at < ?1 AND NOT EXISTS (SELECT 1 FROM progress
            WHERE progress.id = answer.id AND state IN ('settling', 'unknown', 'executing', 'owed'))",
        params![answers_before],
    )?;
    // A client may use an identifier again once the answer that it named is gone.
    connection.execute(
        "UPDATE claim SET identifier = NULL WHERE identifier IS NOT NULL AND EXISTS (SELECT 1 FROM progress
            WHERE progress.id = claim.id AND updated_at < ?1 AND state IN ('settled', 'delivered', 'refused'))",
        params![answers_before],
    )?;
    let refused = delete_refused(connection, now, answers_before)?;
    Ok(answers as u64 + refused + move_into_totals(connection, prunable)?)
}

/// Deletes rows that were refused before this time and whose authorisation can no longer be tried.
fn delete_refused(connection: &Connection, now: UnixTime, before: i64) -> Result<u64, LedgerError> {
    let mut rows = connection.prepare_cached(
        "SELECT id FROM progress JOIN claim USING (id) WHERE state = 'refused' AND updated_at < ?1 AND valid_before < ?2",
    )?;
    let found = rows.query_map(params![before, to_sqlite(now.0)], |row| row.get(0))?;
    let ids = found.collect::<Result<Vec<i64>, _>>()?;
    delete(connection, &ids)?;
    Ok(ids.len() as u64)
}

/// Deletes these payments from every table.
fn delete(connection: &Connection, ids: &[i64]) -> Result<(), LedgerError> {
    for id in ids {
        for sql in [
            "DELETE FROM claim WHERE id = ?1",
            "DELETE FROM progress WHERE id = ?1",
            "DELETE FROM outgoing WHERE id = ?1",
            "DELETE FROM settlement WHERE id = ?1",
            "DELETE FROM answer WHERE id = ?1",
        ] {
            connection.prepare_cached(sql)?.execute(params![id])?;
        }
    }
    Ok(())
}

/// Finds the oldest rows that were settled or delivered before this time and can no longer be settled,
/// [`MAX_ROWS`] at most.
fn prunable(connection: &Connection, now: UnixTime, before: i64) -> Result<PrunableRows, LedgerError> {
    // A row is never older than its last change, so the condition on `created_at` excludes nothing. It lets SQLite walk
    // the index of claims by time from the old end, and CROSS JOIN keeps it there.
    let mut rows = connection.prepare_cached(
        "SELECT claim.id, updated_at, network, asset, pay_to, plugin, endpoint, testnet, amount
         FROM claim CROSS JOIN progress USING (id) WHERE created_at < ?1
            AND state IN ('settled', 'delivered') AND updated_at < ?1 AND valid_before < ?2 ORDER BY created_at LIMIT ?3",
    )?;
    let mut ids = Vec::new();
    let mut totals: BTreeMap<TotalKey, (i64, Amount)> = BTreeMap::new();
    let mut found = rows.query(params![before, to_sqlite(now.0), MAX_ROWS])?;
    while let Some(row) = found.next()? {
        let day = row.get::<_, i64>(1)? / to_sqlite(DAY);
        let key = (day, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?);
        let amount = parse(&row.get::<_, String>(8)?)?;
        let (payments, sum) = totals.entry(key).or_insert((0, Amount::default()));
        *payments += 1;
        *sum = add(*sum, amount)?;
        ids.push(row.get(0)?);
    }
    for ((day, network, asset, pay_to, plugin, endpoint, _), (_, sum)) in &mut totals {
        let earlier: Option<String> = connection
            .prepare_cached(
                "SELECT amount FROM total
                 WHERE (day, network, asset, pay_to, plugin, endpoint) = (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .query_row(params![day, network, asset, pay_to, plugin, endpoint], |row| row.get(0))
            .optional()?;
        if let Some(earlier) = earlier {
            *sum = add(*sum, parse(&earlier)?)?;
        }
    }
    Ok(PrunableRows { ids, totals })
}

/// Replaces the rows by their totals. Returns the number of rows.
fn move_into_totals(connection: &Connection, prunable: PrunableRows) -> Result<u64, LedgerError> {
    for ((day, network, asset, pay_to, plugin, endpoint, testnet), (payments, sum)) in prunable.totals {
        connection
            .prepare_cached(
                "INSERT INTO total (day, network, asset, pay_to, plugin, endpoint, testnet, payments, amount)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO UPDATE SET payments = payments + excluded.payments, amount = excluded.amount",
            )?
            .execute(params![day, network, asset, pay_to, plugin, endpoint, testnet, payments, sum.to_string()])?;
    }
    delete(connection, &prunable.ids)?;
    Ok(prunable.ids.len() as u64)
}

fn parse(digits: &str) -> Result<Amount, LedgerError> {
    Amount::parse_atomic(digits).map_err(|error| LedgerError::Schema(format!("the ledger has a bad amount: {error}")))
}

fn add(one: Amount, other: Amount) -> Result<Amount, LedgerError> {
    one.0.checked_add(other.0).map(Amount).ok_or_else(|| LedgerError::Schema("a total exceeds 256 bits".to_owned()))
}
