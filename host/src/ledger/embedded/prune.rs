//! Forgetting: answers that were kept long enough, and rows that are finished and past their validity.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::integer;
use crate::ledger::{LedgerError, Retention};
use crate::price::Amount;
use crate::x402::UnixTime;

/// Rows that one call moves into the totals, at most: it shares a commit with payments that wait.
const ROWS: u32 = 1_000;

const DAY: u64 = 24 * 60 * 60;

/// Everything that can be forgotten now; how many rows and answers that was.
pub(super) fn prune(connection: &Connection, now: UnixTime, kept: Retention) -> Result<u64, LedgerError> {
    let answers_before = integer(now.0.saturating_sub(kept.answers.as_secs()));
    let answers = connection.execute(
        "DELETE FROM answer WHERE kept_at < ?1 AND NOT EXISTS (SELECT 1 FROM payment
            WHERE payment.key = answer.key AND state IN ('settling', 'unknown', 'executing', 'owed'))",
        params![answers_before],
    )?;
    connection.execute(
        "UPDATE payment SET identifier = NULL WHERE identifier IS NOT NULL AND updated_at < ?1
            AND state IN ('settled', 'delivered', 'refused')",
        params![answers_before],
    )?;
    let refused = connection.execute(
        "DELETE FROM payment WHERE state = 'refused' AND valid_before < ?1 AND updated_at < ?2",
        params![integer(now.0), answers_before],
    )?;
    let settled = fold(connection, now, integer(now.0.saturating_sub(kept.payments.as_secs())))?;
    Ok((answers + refused) as u64 + settled)
}

/// A line of the totals.
type Line = (i64, String, String, String, String, String, bool);

/// Moves the oldest finished rows into the totals.
fn fold(connection: &Connection, now: UnixTime, before: i64) -> Result<u64, LedgerError> {
    let mut rows = connection.prepare_cached(
        "SELECT key, updated_at, network, asset, pay_to, plugin, endpoint, testnet, amount FROM payment
         WHERE state IN ('settled', 'delivered') AND updated_at < ?1 AND valid_before < ?2 ORDER BY updated_at LIMIT ?3",
    )?;
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut totals: BTreeMap<Line, (i64, Amount)> = BTreeMap::new();
    let mut found = rows.query(params![before, integer(now.0), ROWS])?;
    while let Some(row) = found.next()? {
        let day = row.get::<_, i64>(1)? / integer(DAY);
        let line = (day, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?);
        let amount = atomic(&row.get::<_, String>(8)?)?;
        let (payments, sum) = totals.entry(line).or_insert((0, Amount::default()));
        *payments += 1;
        *sum = plus(*sum, amount)?;
        keys.push(row.get(0)?);
    }
    for ((day, network, asset, pay_to, plugin, endpoint, testnet), (payments, sum)) in totals {
        let earlier: Option<String> = connection
            .prepare_cached(
                "SELECT amount FROM total
                 WHERE (day, network, asset, pay_to, plugin, endpoint) = (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .query_row(params![day, network, asset, pay_to, plugin, endpoint], |row| row.get(0))
            .optional()?;
        let sum = match earlier {
            Some(earlier) => plus(sum, atomic(&earlier)?)?,
            None => sum,
        };
        connection
            .prepare_cached(
                "INSERT INTO total (day, network, asset, pay_to, plugin, endpoint, testnet, payments, amount)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO UPDATE SET payments = payments + excluded.payments, amount = excluded.amount",
            )?
            .execute(params![day, network, asset, pay_to, plugin, endpoint, testnet, payments, sum.to_string()])?;
    }
    for key in &keys {
        connection.prepare_cached("DELETE FROM payment WHERE key = ?1")?.execute(params![key])?;
        connection.prepare_cached("DELETE FROM answer WHERE key = ?1")?.execute(params![key])?;
    }
    Ok(keys.len() as u64)
}

fn atomic(digits: &str) -> Result<Amount, LedgerError> {
    Amount::parse_atomic(digits).map_err(|error| LedgerError::Schema(format!("the books hold {error}")))
}

fn plus(one: Amount, other: Amount) -> Result<Amount, LedgerError> {
    one.0.checked_add(other.0).map(Amount).ok_or_else(|| LedgerError::Schema("a total overflows".to_owned()))
}
