//! Takes the steps of a payment, as [`Step::next`] allows them.
//!
//! A step changes the one narrow row of `progress`, and writes what never changes again into tables beside it.
//!
//! The row is read first and then written by its number. Its state is no condition of the statements: as a parameter
//! it would make SQLite prepare a statement anew for each value, because a partial index depends on the state.

use std::time::Duration;

use coinslot_x402::{Flow, SettlementResponse, UnixTime};
use rusqlite::{Connection, params};

use super::due::{FIRST_PAUSE, WATCH_DELAY};
use super::leases::lease;
use super::{answers, failures, passes, transactions};
use crate::number::to_sqlite;
use crate::step::{Next, Position};
use crate::{Attempt, Hold, LedgerError, PaymentId, PaymentState, Reported, Retained, SettledBy, Step};

/// The row of a payment, as far as steps need it.
struct Row {
    id: i64,
    attempt: Attempt,
    position: Position,
}

/// Takes a step of the attempt that holds the row.
///
/// Everything that may refuse the step comes before the first write: a job that fails later takes the whole commit
/// with it, see [`super::writer`].
pub(super) fn advance(connection: &Connection, hold: &Hold, step: Step, at: UnixTime) -> Result<(), LedgerError> {
    let out_of_order = || LedgerError::OutOfOrder { id: hold.id.short(), step: step.name() };
    let held = row(connection, &hold.id)?.filter(|row| row.attempt == hold.attempt);
    let Row { id, position, .. } = held.ok_or_else(out_of_order)?;
    if let Step::Delivered { keep } = step {
        return deliver_row(connection, id, position, keep, at);
    }
    if let Step::Settled { settlement, by, .. } = &step
        && by.alone()
        && transactions::settles_another(connection, id, &settlement.transaction)?
    {
        return Err(LedgerError::Transaction { transaction: settlement.transaction.clone() });
    }
    let state = match step.next(position).ok_or_else(out_of_order)? {
        Next::State(state) => state,
        Next::Deleted => return give_back(connection, id, &step, at),
    };
    match step {
        Step::Released | Step::Failed { .. } | Step::NotSent | Step::Executing | Step::Delivered { .. } => {
            enter(connection, id, state, at)
        }
        Step::Settling { request, answer } => {
            send(connection, id, Flow::Authorization, &request, at)?;
            answers::keep(connection, id, &answer, at)
        }
        Step::SettlingUpfront { request } => send(connection, id, Flow::Upfront, &request, at),
        Step::Unknown { transaction, reason, reported } => {
            leave_to_recovery(connection, id, reason.as_deref(), reported, at)?;
            transaction.map_or(Ok(()), |transaction| transactions::record(connection, id, &transaction, None))
        }
        Step::Undecidable { reason } => stop_looking(connection, id, reason.as_deref(), at),
        Step::Settled { settlement, by, block } => {
            let remark = if position.state == PaymentState::Refused {
                Some("settled after it was refused")
            } else {
                settlement.transaction.is_empty().then_some("its authorization is used, and no transaction is named")
            };
            let money = Moved { settlement: &settlement, by, block };
            settle(connection, id, state, &money, remark, at)
        }
        Step::Answered { kept, run } => answer(connection, id, kept, run, at),
        Step::Owed { reason, client_left } => {
            fail(connection, id, state, &reason, at)?;
            if client_left {
                let sql = "UPDATE progress SET client_left = 1 WHERE id = ?1";
                connection.prepare_cached(sql)?.execute(params![id])?;
            }
            Ok(())
        }
        Step::Refused { reason, transaction, watch } => {
            fail(connection, id, state, &reason, at)?;
            if let Some(transaction) = transaction {
                transactions::record(connection, id, &transaction, None)?;
            }
            answers::delete(connection, id)?;
            if watch { look_after_expiry(connection, id) } else { delete_outgoing(connection, id) }
        }
        Step::Dismissed => {
            connection.prepare_cached("UPDATE progress SET next_look = NULL WHERE id = ?1")?.execute(params![id])?;
            delete_outgoing(connection, id)
        }
    }
}

/// Takes the step [`Step::Delivered`] for a request that fetched a stored answer. An answer that is fetched again was
/// delivered before: its row stays as it is, with its time.
pub(super) fn deliver(connection: &Connection, id: &PaymentId, keep: bool, at: UnixTime) -> Result<(), LedgerError> {
    match row(connection, id)? {
        Some(row) => deliver_row(connection, row.id, row.position, keep, at),
        None => Ok(()),
    }
}

fn deliver_row(
    connection: &Connection,
    row: i64,
    position: Position,
    keep: bool,
    at: UnixTime,
) -> Result<(), LedgerError> {
    if let Some(Next::State(state)) = (Step::Delivered { keep }).next(position) {
        enter(connection, row, state, at)?;
    }
    let fetched = matches!(position.state, PaymentState::Settled | PaymentState::Delivered);
    if keep || !fetched { Ok(()) } else { answers::delete(connection, row) }
}

fn row(connection: &Connection, id: &PaymentId) -> Result<Option<Row>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT progress.id, state, flow, paid, attempt, next_look IS NOT NULL
         FROM claim JOIN progress USING (id) WHERE key = ?1",
    )?;
    let mut rows = statement.query(params![id.digest()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let malformed = || LedgerError::Schema(format!("payment {} has no known state", id.short()));
    let position = Position {
        state: PaymentState::parse(&row.get::<_, String>(1)?).ok_or_else(malformed)?,
        flow: Flow::parse(&row.get::<_, String>(2)?).ok_or_else(malformed)?,
        paid: row.get(3)?,
        watched: row.get(5)?,
    };
    Ok(Some(Row { id: row.get(0)?, attempt: Attempt(row.get(4)?), position }))
}

/// The settlement of a payment whose money moved.
struct Moved<'s> {
    settlement: &'s SettlementResponse,
    by: SettledBy,
    block: Option<u64>,
}

/// Moves a row into a state, and changes nothing else of it but its lease and the time of its first run.
fn enter(connection: &Connection, row: i64, state: PaymentState, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress SET state = ?2, lease_until = ?3, updated_at = ?4,
                run_at = coalesce(run_at, CASE ?2 WHEN 'executing' THEN ?4 END) WHERE id = ?1",
        )?
        .execute(params![row, state.as_str(), lease(state, at), to_sqlite(at.0)])?;
    Ok(())
}

/// Moves a row to `unknown`. One that is unknown already keeps the time of its next look.
fn leave_to_recovery(
    connection: &Connection,
    row: i64,
    reason: Option<&str>,
    reported: Option<Reported>,
    at: UnixTime,
) -> Result<(), LedgerError> {
    let (next_look, at) = (to_sqlite(at.plus(FIRST_PAUSE).0), to_sqlite(at.0));
    connection
        .prepare_cached(
            "UPDATE progress SET state = 'unknown', lease_until = NULL, next_look = coalesce(next_look, ?2),
                updated_at = ?3, reason = coalesce(?4, reason), reported = coalesce(?5, reported) WHERE id = ?1",
        )?
        .execute(params![row, next_look, at, reason, reported.map(Reported::as_str)])?;
    Ok(())
}

/// Leaves an unknown row as it is, without another look.
fn stop_looking(connection: &Connection, row: i64, reason: Option<&str>, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress SET next_look = NULL, reason = coalesce(?2, reason), updated_at = ?3 WHERE id = ?1",
        )?
        .execute(params![row, reason, to_sqlite(at.0)])?;
    Ok(())
}

/// Lets recovery look at a refused row once its authorisation has expired. The time stays below what SQLite can add.
fn look_after_expiry(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress SET looks = 0, next_look = (SELECT min(valid_before, ?3 - ?2) + ?2 FROM claim
                WHERE claim.id = progress.id) WHERE id = ?1",
        )?
        .execute(params![row, WATCH_DELAY, i64::MAX])?;
    Ok(())
}

/// Moves a row into a state that has a reason, and in which no attempt is at work.
fn fail(connection: &Connection, row: i64, state: PaymentState, reason: &str, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress SET state = ?2, reason = ?3, lease_until = NULL, next_look = NULL, updated_at = ?4
             WHERE id = ?1",
        )?
        .execute(params![row, state.as_str(), reason, to_sqlite(at.0)])?;
    Ok(())
}

/// Deletes a payment that is given back, so that it can be claimed again.
fn give_back(connection: &Connection, row: i64, step: &Step, at: UnixTime) -> Result<(), LedgerError> {
    if let Step::Failed { reason } = step {
        failures::record(connection, row, reason, at)?;
    }
    delete_outgoing(connection, row)?;
    answers::delete(connection, row)?;
    delete(connection, row)
}

/// Deletes a payment that has neither a transaction nor an answer yet.
fn delete(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    // The claim first: a trigger reads its progress, and keeps that it was given back.
    connection.prepare_cached("DELETE FROM claim WHERE id = ?1")?.execute(params![row])?;
    connection.prepare_cached("DELETE FROM progress WHERE id = ?1")?.execute(params![row])?;
    Ok(())
}

/// Moves a row to `settling`, with the request that recovery would send again. The flow becomes that of the step.
fn send(connection: &Connection, row: i64, flow: Flow, request: &str, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress SET state = 'settling', flow = ?2, sent = 1, lease_until = ?3, updated_at = ?4, sent_at = ?4
             WHERE id = ?1",
        )?
        .execute(params![row, flow.as_str(), lease(PaymentState::Settling, at), to_sqlite(at.0)])?;
    connection.prepare_cached("INSERT INTO outgoing (id, request) VALUES (?1, ?2)")?.execute(params![row, request])?;
    Ok(())
}

/// Writes down that the money moved. Durations that the caller does not know stay as they are. The answer is kept from
/// now on: its settlement may have taken longer than answers are kept.
fn settle(
    connection: &Connection,
    row: i64,
    state: PaymentState,
    Moved { settlement, by, block }: &Moved<'_>,
    reason: Option<&str>,
    at: UnixTime,
) -> Result<(), LedgerError> {
    let json = serde_json::to_string(settlement).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    let (verify, run, settle) = match *by {
        SettledBy::Request { verify, run, settle, .. } => (Some(micros(verify)), run.map(micros), Some(micros(settle))),
        SettledBy::Recovery { .. } => (None, None, None),
    };
    if state == PaymentState::Owed {
        // The events of one statement have no order: the money moves first, and then the answer is owed.
        let sql = "UPDATE progress SET paid = 1, updated_at = ?2 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute(params![row, to_sqlite(at.0)])?;
    }
    connection
        .prepare_cached(
            "UPDATE progress SET state = ?2, paid = 1, reason = ?3, lease_until = ?4, next_look = NULL, updated_at = ?5,
                verify_us = coalesce(?6, verify_us), run_us = coalesce(?7, run_us), settle_us = coalesce(?8, settle_us),
                paid_at = ?5, run_at = coalesce(run_at, CASE ?2 WHEN 'executing' THEN ?5 END)
             WHERE id = ?1",
        )?
        .execute(params![
            row,
            state.as_str(),
            reason,
            lease(state, at),
            to_sqlite(at.0),
            verify,
            run,
            settle
        ])?;
    connection
        .prepare_cached("UPDATE answer SET kept_at = ?2 WHERE id = ?1 AND kept_at < ?2")?
        .execute(params![row, to_sqlite(at.0)])?;
    transactions::record(connection, row, &settlement.transaction, Some((&json, *block)))?;
    passes::make(connection, row, at)?;
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
            "UPDATE progress SET state = 'settled', run_us = ?2, lease_until = NULL, updated_at = ?3, answered_at = ?3,
                reason = ?4 WHERE id = ?1",
        )?
        .execute(params![row, micros(run), to_sqlite(at.0), why])?;
    answer.map_or(Ok(()), |answer| answers::keep(connection, row, &answer, at))
}

/// Deletes the request of a settlement whose end is known, so that it is never sent again.
fn delete_outgoing(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM outgoing WHERE id = ?1")?.execute(params![row])?;
    Ok(())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
