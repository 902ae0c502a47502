//! Writes the steps of a payment: its row of `progress`, and what never changes again beside it.

use std::time::Duration;

use coinslot_x402::{Flow, SettlementResponse, UnixTime};
use rusqlite::{Connection, params};

use crate::number::to_sqlite;
use crate::sqlite::due::{FIRST_PAUSE, WATCH_DELAY};
use crate::sqlite::leases::lease;
use crate::sqlite::{answers, failures, passes, transactions};
use crate::{LedgerError, PaymentState, Reported, Retained, SettledBy, Step};

/// The settlement of a payment whose money moved.
pub(super) struct Moved<'s> {
    pub(super) settlement: &'s SettlementResponse,
    pub(super) by: SettledBy,
    pub(super) block: Option<u64>,
}

/// Moves a row into a state, and changes nothing else of it but its lease and the time of its first run.
pub(super) fn enter(connection: &Connection, row: i64, state: PaymentState, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress SET state = ?2, lease_until = ?3, updated_at = ?4,
                run_at = coalesce(run_at, CASE ?2 WHEN 'executing' THEN ?4 END) WHERE id = ?1",
        )?
        .execute(params![row, state.as_str(), lease(state, at), to_sqlite(at.0)])?;
    Ok(())
}

/// Moves a row to `unknown`. One that is unknown already keeps the time of its next look.
pub(super) fn leave_to_recovery(
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
pub(super) fn stop_looking(
    connection: &Connection,
    row: i64,
    reason: Option<&str>,
    at: UnixTime,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress SET next_look = NULL, reason = coalesce(?2, reason), updated_at = ?3 WHERE id = ?1",
        )?
        .execute(params![row, reason, to_sqlite(at.0)])?;
    Ok(())
}

/// Lets recovery look at a refused row once its authorisation has expired. The time stays below what SQLite can add.
pub(super) fn look_after_expiry(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress SET looks = 0, next_look = (SELECT min(valid_before, ?3 - ?2) + ?2 FROM claim
                WHERE claim.id = progress.id) WHERE id = ?1",
        )?
        .execute(params![row, WATCH_DELAY, i64::MAX])?;
    Ok(())
}

/// Moves a row into a state that has a reason, and in which no attempt is at work.
pub(super) fn fail(
    connection: &Connection,
    row: i64,
    state: PaymentState,
    reason: &str,
    at: UnixTime,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress SET state = ?2, reason = ?3, lease_until = NULL, next_look = NULL, updated_at = ?4
             WHERE id = ?1",
        )?
        .execute(params![row, state.as_str(), reason, to_sqlite(at.0)])?;
    Ok(())
}

/// Notes that the client of an owed answer had left.
pub(super) fn note_client_left(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("UPDATE progress SET client_left = 1 WHERE id = ?1")?.execute(params![row])?;
    Ok(())
}

/// Ends the looks at a refused row.
pub(super) fn dismiss(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("UPDATE progress SET next_look = NULL WHERE id = ?1")?.execute(params![row])?;
    delete_outgoing(connection, row)
}

/// Deletes a payment that is given back, so that it can be claimed again.
pub(super) fn give_back(connection: &Connection, row: i64, step: &Step, at: UnixTime) -> Result<(), LedgerError> {
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
pub(super) fn send(
    connection: &Connection,
    row: i64,
    flow: Flow,
    request: &str,
    at: UnixTime,
) -> Result<(), LedgerError> {
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
pub(super) fn settle(
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
pub(super) fn answer(
    connection: &Connection,
    row: i64,
    kept: Retained,
    run: Duration,
    at: UnixTime,
) -> Result<(), LedgerError> {
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
pub(super) fn delete_outgoing(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM outgoing WHERE id = ?1")?.execute(params![row])?;
    Ok(())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
