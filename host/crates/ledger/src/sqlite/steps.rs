//! Takes the steps of a payment, as [`Step::next`] allows them.
//!
//! A step changes the one narrow row of `progress`, and writes what never changes again into tables beside it.
//!
//! The row is read first and then written by its number. Its state is no condition of the statements: as a parameter
//! it would make SQLite prepare a statement anew for each value, because a partial index depends on the state.

use std::time::Duration;

use coinslot_x402::{Flow, SettlementResponse, UnixTime};
use rusqlite::{Connection, OptionalExtension, params};

use super::claims;
use crate::number::to_sqlite;
use crate::step::{Next, Position};
use crate::{LedgerError, PaymentId, PaymentState, Retained, SettledBy, Step, StoredAnswer};

/// Takes any step but [`Step::Delivered`].
///
/// Everything that may refuse the step comes before the first write: a job that fails later takes the whole commit
/// with it, see [`super::writer`].
pub(super) fn advance(connection: &Connection, id: &PaymentId, step: Step, at: UnixTime) -> Result<(), LedgerError> {
    let out_of_order = || LedgerError::OutOfOrder { id: id.short(), step: step.name() };
    let (row, from) = position(connection, id)?.ok_or_else(out_of_order)?;
    if let Step::Settled { settlement, by: SettledBy::Request { alone: true, .. } } = &step
        && settles_another(connection, row, &settlement.transaction)?
    {
        return Err(LedgerError::Transaction { transaction: settlement.transaction.clone() });
    }
    let state = match step.next(from).ok_or_else(out_of_order)? {
        Next::State(state) => state,
        Next::Deleted => return delete(connection, row),
    };
    match step {
        Step::Released | Step::Executing | Step::Delivered { .. } => enter(connection, row, state, at),
        Step::Settling { request, answer } => {
            send(connection, row, Flow::Authorization, &request, at)?;
            keep(connection, row, &answer, at)
        }
        Step::SettlingUpfront { request } => send(connection, row, Flow::Upfront, &request, at),
        Step::Unknown { transaction } => {
            enter(connection, row, state, at)?;
            transaction.map_or(Ok(()), |transaction| record_transaction(connection, row, &transaction, None))
        }
        Step::Settled { settlement, by } => settle(connection, row, state, &settlement, by, at),
        Step::Answered { kept, run } => answer(connection, row, kept, run, at),
        Step::Owed { reason } => fail(connection, row, state, &reason, at),
        Step::Refused { reason, transaction } => {
            fail(connection, row, state, &reason, at)?;
            if let Some(transaction) = transaction {
                record_transaction(connection, row, &transaction, None)?;
            }
            delete_outgoing(connection, row)?;
            delete_answer(connection, row)
        }
    }
}

/// Takes the step [`Step::Delivered`], which is never out of order: an answer that is fetched again was delivered
/// before, and its row stays as it is, with its time.
pub(super) fn deliver(connection: &Connection, id: &PaymentId, keep: bool, at: UnixTime) -> Result<(), LedgerError> {
    let Some((row, from)) = position(connection, id)? else { return Ok(()) };
    if let Some(Next::State(state)) = (Step::Delivered { keep }).next(from) {
        enter(connection, row, state, at)?;
    }
    if keep { Ok(()) } else { delete_answer(connection, row) }
}

/// The number of a payment's row, and its position in the state diagram.
fn position(connection: &Connection, id: &PaymentId) -> Result<Option<(i64, Position)>, LedgerError> {
    let found: Option<(i64, String, String, bool)> = connection
        .prepare_cached("SELECT progress.id, state, flow, paid FROM claim JOIN progress USING (id) WHERE key = ?1")?
        .query_row(params![id.digest()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((row, state, flow, paid)) = found else { return Ok(None) };
    let (Some(state), Some(flow)) = (PaymentState::parse(&state), Flow::parse(&flow)) else {
        return Err(LedgerError::Schema(format!("payment {} has the state `{state}`, flow `{flow}`", id.short())));
    };
    Ok(Some((row, Position { state, flow, paid })))
}

/// Moves a row into a state, and changes nothing else of it.
fn enter(connection: &Connection, row: i64, state: PaymentState, at: UnixTime) -> Result<(), LedgerError> {
    connection.prepare_cached("UPDATE progress SET state = ?2, updated_at = ?3 WHERE id = ?1")?.execute(params![
        row,
        state.as_str(),
        to_sqlite(at.0)
    ])?;
    Ok(())
}

/// Moves a row into a state that has a reason.
fn fail(connection: &Connection, row: i64, state: PaymentState, reason: &str, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached("UPDATE progress SET state = ?2, reason = ?3, updated_at = ?4 WHERE id = ?1")?
        .execute(params![row, state.as_str(), reason, to_sqlite(at.0)])?;
    Ok(())
}

/// Deletes a payment that has neither a transaction nor an answer yet.
fn delete(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM progress WHERE id = ?1")?.execute(params![row])?;
    connection.prepare_cached("DELETE FROM claim WHERE id = ?1")?.execute(params![row])?;
    Ok(())
}

/// Moves a row to `settling`, with the request that recovery would send again. The flow becomes that of the step.
fn send(connection: &Connection, row: i64, flow: Flow, request: &str, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached("UPDATE progress SET state = 'settling', flow = ?2, sent = 1, updated_at = ?3 WHERE id = ?1")?
        .execute(params![row, flow.as_str(), to_sqlite(at.0)])?;
    connection.prepare_cached("INSERT INTO outgoing (id, request) VALUES (?1, ?2)")?.execute(params![row, request])?;
    Ok(())
}

/// Writes down that the money moved. Durations that the caller does not know stay as they are.
fn settle(
    connection: &Connection,
    row: i64,
    state: PaymentState,
    settlement: &SettlementResponse,
    by: SettledBy,
    at: UnixTime,
) -> Result<(), LedgerError> {
    let json = serde_json::to_string(settlement).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    let (verify, run, settle) = match by {
        SettledBy::Request { verify, run, settle, .. } => (Some(micros(verify)), run.map(micros), Some(micros(settle))),
        SettledBy::Recovery => (None, None, None),
    };
    connection
        .prepare_cached(
            "UPDATE progress SET state = ?2, paid = 1, reason = NULL, updated_at = ?3,
                verify_us = coalesce(?4, verify_us), run_us = coalesce(?5, run_us), settle_us = coalesce(?6, settle_us)
             WHERE id = ?1",
        )?
        .execute(params![row, state.as_str(), to_sqlite(at.0), verify, run, settle])?;
    record_transaction(connection, row, &settlement.transaction, Some(&json))?;
    delete_outgoing(connection, row)
}

/// Writes down that the guest answered what was paid before.
fn answer(connection: &Connection, row: i64, kept: Retained, run: Duration, at: UnixTime) -> Result<(), LedgerError> {
    let (answer, why) = match kept {
        Retained::Answer(answer) => (Some(answer), None),
        Retained::Nothing { why } => (None, Some(why)),
    };
    connection
        .prepare_cached(
            "UPDATE progress SET state = 'settled', run_us = ?2, updated_at = ?3, reason = ?4 WHERE id = ?1",
        )?
        .execute(params![row, micros(run), to_sqlite(at.0), why])?;
    answer.map_or(Ok(()), |answer| keep(connection, row, &answer, at))
}

/// True if the ledger records this transaction for another payment.
fn settles_another(connection: &Connection, row: i64, transaction: &str) -> Result<bool, LedgerError> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM settlement WHERE tx = ?1 AND id <> ?2)")?
        .query_row(params![transaction, row], |row| row.get(0))?)
}

/// Records the transaction of a payment, with the JSON of its settlement if the money moved.
fn record_transaction(
    connection: &Connection,
    row: i64,
    transaction: &str,
    settlement: Option<&str>,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO settlement (id, tx, response) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET tx = excluded.tx, response = excluded.response",
        )?
        .execute(params![row, transaction, settlement])?;
    Ok(())
}

/// Deletes the request of a settlement whose end is known, so that it is never sent again.
fn delete_outgoing(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM outgoing WHERE id = ?1")?.execute(params![row])?;
    Ok(())
}

/// Stores an answer, in place of an earlier one.
fn keep(connection: &Connection, row: i64, answer: &StoredAnswer, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO answer (id, head, body, kept_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![row, claims::encode_head(answer), answer.body.as_ref(), to_sqlite(at.0)])?;
    Ok(())
}

fn delete_answer(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM answer WHERE id = ?1")?.execute(params![row])?;
    Ok(())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
