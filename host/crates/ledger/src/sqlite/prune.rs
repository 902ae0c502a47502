//! Forgetting: answers that were kept long enough, and rows that are finished and past their validity.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::integer;
use crate::{LedgerError, Retention};
use coinslot_x402::UnixTime;
use coinslot_x402::price::Amount;

/// Rows that one call moves into the totals, at most: it shares a commit with payments that wait.
const ROWS: u32 = 1_000;

const DAY: u64 = 24 * 60 * 60;

/// Everything that can be forgotten now; how many rows and answers that was. Whatever may be wrong with the
/// books shows before the first change.
pub(super) fn prune(connection: &Connection, now: UnixTime, kept: Retention) -> Result<u64, LedgerError> {
    let finished = finished(connection, now, integer(now.0.saturating_sub(kept.payments.as_secs())))?;
    let answers_before = integer(now.0.saturating_sub(kept.answers.as_secs()));
    let answers = connection.execute(
        "DELETE FROM answer WHERE kept_at < ?1 AND NOT EXISTS (SELECT 1 FROM progress
            WHERE progress.id = answer.id AND state IN ('settling', 'unknown', 'executing', 'owed'))",
        params![answers_before],
    )?;
    connection.execute(
        "UPDATE claim SET identifier = NULL WHERE identifier IS NOT NULL AND EXISTS (SELECT 1 FROM progress
            WHERE progress.id = claim.id AND updated_at < ?1 AND state IN ('settled', 'delivered', 'refused'))",
        params![answers_before],
    )?;
    let refused = refused(connection, now, answers_before)?;
    Ok(answers as u64 + refused + fold(connection, finished)?)
}

/// Throws away what was refused before this time and can no longer be tried.
fn refused(connection: &Connection, now: UnixTime, before: i64) -> Result<u64, LedgerError> {
    let mut rows = connection.prepare_cached(
        "SELECT id FROM progress JOIN claim USING (id) WHERE state = 'refused' AND updated_at < ?1 AND valid_before < ?2",
    )?;
    let found = rows.query_map(params![before, integer(now.0)], |row| row.get(0))?;
    let ids = found.collect::<Result<Vec<i64>, _>>()?;
    remove(connection, &ids)?;
    Ok(ids.len() as u64)
}

/// Everything of these payments.
fn remove(connection: &Connection, ids: &[i64]) -> Result<(), LedgerError> {
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

/// A line of the totals.
type Line = (i64, String, String, String, String, String, bool);

/// Rows that the totals can stand for, and what their lines of the totals become.
struct Finished {
    ids: Vec<i64>,
    totals: BTreeMap<Line, (i64, Amount)>,
}

/// The oldest of them.
fn finished(connection: &Connection, now: UnixTime, before: i64) -> Result<Finished, LedgerError> {
    let mut rows = connection.prepare_cached(
        "SELECT claim.id, updated_at, network, asset, pay_to, plugin, endpoint, testnet, amount
         FROM claim CROSS JOIN progress USING (id) WHERE created_at < ?1
            AND state IN ('settled', 'delivered') AND updated_at < ?1 AND valid_before < ?2 ORDER BY created_at LIMIT ?3",
    )?;
    let mut ids = Vec::new();
    let mut totals: BTreeMap<Line, (i64, Amount)> = BTreeMap::new();
    let mut found = rows.query(params![before, integer(now.0), ROWS])?;
    while let Some(row) = found.next()? {
        let day = row.get::<_, i64>(1)? / integer(DAY);
        let line = (day, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?);
        let amount = atomic(&row.get::<_, String>(8)?)?;
        let (payments, sum) = totals.entry(line).or_insert((0, Amount::default()));
        *payments += 1;
        *sum = plus(*sum, amount)?;
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
            *sum = plus(*sum, atomic(&earlier)?)?;
        }
    }
    Ok(Finished { ids, totals })
}

/// Moves them into the totals.
fn fold(connection: &Connection, finished: Finished) -> Result<u64, LedgerError> {
    for ((day, network, asset, pay_to, plugin, endpoint, testnet), (payments, sum)) in finished.totals {
        connection
            .prepare_cached(
                "INSERT INTO total (day, network, asset, pay_to, plugin, endpoint, testnet, payments, amount)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO UPDATE SET payments = payments + excluded.payments, amount = excluded.amount",
            )?
            .execute(params![day, network, asset, pay_to, plugin, endpoint, testnet, payments, sum.to_string()])?;
    }
    remove(connection, &finished.ids)?;
    Ok(finished.ids.len() as u64)
}

fn atomic(digits: &str) -> Result<Amount, LedgerError> {
    Amount::parse_atomic(digits).map_err(|error| LedgerError::Schema(format!("the books hold {error}")))
}

fn plus(one: Amount, other: Amount) -> Result<Amount, LedgerError> {
    one.0.checked_add(other.0).map(Amount).ok_or_else(|| LedgerError::Schema("a total overflows".to_owned()))
}
