//! Records the transaction of each payment, and finds those of other payments.

use std::borrow::Cow;

use rusqlite::{Connection, params};

use crate::LedgerError;
use crate::number::to_sqlite;

/// True if the ledger records this transaction for another payment.
pub(super) fn settles_another(connection: &Connection, row: i64, transaction: &str) -> Result<bool, LedgerError> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM settlement WHERE tx = ?1 AND id <> ?2)")?
        .query_row(params![one_spelling(transaction), row], |row| row.get(0))?)
}

/// Records the transaction of a payment in place of an earlier one. If the money moved: with the JSON of its settlement,
/// and the number of its block where that is known.
pub(super) fn record(
    connection: &Connection,
    row: i64,
    transaction: &str,
    settlement: Option<(&str, Option<u64>)>,
) -> Result<(), LedgerError> {
    let (response, block) = settlement.map_or((None, None), |(response, block)| (Some(response), block));
    connection
        .prepare_cached(
            "INSERT INTO settlement (id, tx, response, block) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET tx = excluded.tx, response = excluded.response, block = excluded.block",
        )?
        .execute(params![row, one_spelling(transaction), response, block.map(to_sqlite)])?;
    Ok(())
}

/// A transaction's name as it is stored and compared. The hash of an EVM chain is hex, in which upper and lower case
/// mean the same; in the names of other chains they differ.
fn one_spelling(transaction: &str) -> Cow<'_, str> {
    match transaction.get(..2) {
        Some("0x" | "0X") => Cow::Owned(transaction.to_ascii_lowercase()),
        _ => Cow::Borrowed(transaction),
    }
}
