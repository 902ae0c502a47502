//! Takes the steps of a payment, as [`Step::next`] allows them.
//!
//! A step changes the one narrow row of `progress`, and writes what never changes again into tables beside it.
//!
//! The row is read first and then written by its number. Its state is no condition of the statements: as a parameter
//! it would make SQLite prepare a statement anew for each value, because a partial index depends on the state.

mod rows;

use coinslot_x402::{Flow, UnixTime};
use rusqlite::{Connection, params};

use self::rows::{
    Moved, answer, delete_outgoing, dismiss, enter, fail, give_back, leave_to_recovery, look_after_expiry,
    note_client_left, send, settle, stop_looking,
};
use super::{answers, transactions};
use crate::step::{Next, Position};
use crate::{Attempt, Hold, LedgerError, PaymentId, PaymentState, Step};

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
            if client_left { note_client_left(connection, id) } else { Ok(()) }
        }
        Step::Refused { reason, transaction, watch } => {
            fail(connection, id, state, &reason, at)?;
            if let Some(transaction) = transaction {
                transactions::record(connection, id, &transaction, None)?;
            }
            answers::delete(connection, id)?;
            if watch { look_after_expiry(connection, id) } else { delete_outgoing(connection, id) }
        }
        Step::Dismissed => dismiss(connection, id),
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
