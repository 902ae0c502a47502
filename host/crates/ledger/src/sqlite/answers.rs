//! Keeps the paid answers that their payments may fetch again, and counts their bytes.
//!
//! The count has a row of its own, because a sum would read every answer before each pruning. All writes of answers are
//! in this module, so that none escapes the count.

use bytes::Bytes;
use coinslot_x402::UnixTime;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::number::to_sqlite;
use crate::{KeptAnswer, LedgerError, StoredAnswer};

/// Stores an answer, in place of an earlier one.
pub(super) fn keep(connection: &Connection, row: i64, answer: &StoredAnswer, at: UnixTime) -> Result<(), LedgerError> {
    delete(connection, row)?;
    let head = encode_head(answer);
    let bytes = head.len() + answer.body.len();
    connection
        .prepare_cached("INSERT INTO answer (id, head, body, kept_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![row, head, answer.body.as_ref(), to_sqlite(at.0)])?;
    count(connection, i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// See [`crate::Ledger::answer`].
pub(super) fn read(connection: &Connection, kept: KeptAnswer) -> Result<Option<StoredAnswer>, LedgerError> {
    let found: Option<(String, Vec<u8>)> = connection
        .prepare_cached("SELECT head, body FROM answer WHERE id = ?1")?
        .query_row(params![kept.row], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.and_then(|(head, body)| decode(&head, body)))
}

/// Deletes the answer of this payment, if it has one.
pub(super) fn delete(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    let bytes: Option<i64> = connection
        .prepare_cached("SELECT octet_length(head) + octet_length(body) FROM answer WHERE id = ?1")?
        .query_row(params![row], |row| row.get(0))
        .optional()?;
    let Some(bytes) = bytes else { return Ok(()) };
    connection.prepare_cached("DELETE FROM answer WHERE id = ?1")?.execute(params![row])?;
    count(connection, -bytes)
}

/// The bytes of all kept answers.
pub(super) fn bytes(connection: &Connection) -> Result<i64, LedgerError> {
    Ok(connection.prepare_cached("SELECT bytes FROM kept_bytes")?.query_row([], |row| row.get(0))?)
}

fn count(connection: &Connection, bytes: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("UPDATE kept_bytes SET bytes = bytes + ?1")?.execute(params![bytes])?;
    Ok(())
}

/// Status and header fields of an answer as they are stored: JSON, with the values of the fields in hex because HTTP
/// allows bytes that are not UTF-8.
pub(crate) fn encode_head(answer: &StoredAnswer) -> String {
    let headers: Vec<(&str, String)> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), hex::encode(value))).collect();
    serde_json::json!({ "status": answer.status, "headers": headers }).to_string()
}

/// None if the head is no such JSON.
fn decode(head: &str, body: Vec<u8>) -> Option<StoredAnswer> {
    #[derive(serde::Deserialize)]
    struct AnswerHead {
        status: u16,
        headers: Vec<(String, String)>,
    }
    let head: AnswerHead = serde_json::from_str(head).ok()?;
    let headers =
        head.headers.into_iter().map(|(name, value)| Some((name, hex::decode(value).ok()?))).collect::<Option<_>>()?;
    Some(StoredAnswer { status: head.status, headers, body: Bytes::from(body) })
}
