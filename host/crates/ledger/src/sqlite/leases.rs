//! Renews the leases of work that is under way, and ends the claims whose lease is over.

use coinslot_x402::UnixTime;
use rusqlite::{Connection, params};

use crate::number::to_sqlite;
use crate::{Hold, LEASE, LedgerError, PaymentState};

/// The end of a lease that begins now; `None` in a state in which no attempt is at work.
pub(super) fn lease(state: PaymentState, at: UnixTime) -> Option<i64> {
    match state {
        PaymentState::Reserved | PaymentState::Executing | PaymentState::Settling => {
            Some(to_sqlite(at.plus(LEASE.as_secs()).0))
        }
        PaymentState::Unknown
        | PaymentState::Settled
        | PaymentState::Delivered
        | PaymentState::Owed
        | PaymentState::Refunding
        | PaymentState::Refunded
        | PaymentState::Refused => None,
    }
}

/// See [`crate::Ledger::renew`]. A lease of which more than half is left stays as it is, which saves most writes.
pub(super) fn renew(connection: &Connection, holds: &[Hold], at: UnixTime) -> Result<(), LedgerError> {
    let mut renew = connection.prepare_cached(
        "UPDATE progress SET lease_until = ?3
         WHERE id = (SELECT id FROM claim WHERE key = ?1) AND attempt = ?2 AND lease_until < ?4",
    )?;
    let (until, half) = (to_sqlite(at.plus(LEASE.as_secs()).0), to_sqlite(at.plus(LEASE.as_secs() / 2).0));
    for hold in holds {
        renew.execute(params![hold.id.digest(), hold.attempt.0, until, half])?;
    }
    Ok(())
}

/// See [`crate::Ledger::expire`].
pub(super) fn expire(connection: &Connection, at: UnixTime) -> Result<u64, LedgerError> {
    // The end of a lease further ahead than any lease lasts was set before the clock went back.
    let longest = to_sqlite(at.plus(LEASE.as_secs()).0);
    connection
        .prepare_cached("UPDATE progress INDEXED BY progress_lease SET lease_until = ?1 WHERE lease_until > ?1")?
        .execute([longest])?;
    end(connection, to_sqlite(at.0), Some(to_sqlite(at.0)))
}

/// Ends every lease, when the file is opened: one process writes it, and the one before is gone. The rows keep the time
/// of their last change. Every unknown row is due: the host may have another configuration now, and the clock may have
/// gone back since the next look was set.
pub(super) fn end_all(connection: &Connection) -> Result<u64, LedgerError> {
    // Every open row has a row in `outgoing`, which is small.
    connection
        .prepare_cached(
            "UPDATE progress SET next_look = 0, looks = 0
             WHERE id IN (SELECT id FROM outgoing) AND state = 'unknown'",
        )?
        .execute([])?;
    end(connection, i64::MAX, None)
}

/// Ends the leases until `until`. Nobody knows how much of an interrupted answer its client has. Every statement walks
/// the index of leases, which has a row for each claim at work: without INDEXED BY the planner would scan the whole table.
fn end(connection: &Connection, until: i64, at: Option<i64>) -> Result<u64, LedgerError> {
    let mut ended = 0;
    connection
        .prepare_cached(
            "DELETE FROM claim WHERE id IN (SELECT id FROM progress INDEXED BY progress_lease
                WHERE lease_until <= ?1 AND state = 'reserved')",
        )?
        .execute(params![until])?;
    ended += connection
        .prepare_cached(
            "DELETE FROM progress INDEXED BY progress_lease WHERE lease_until <= ?1 AND state = 'reserved'",
        )?
        .execute(params![until])?;
    for sql in [
        "UPDATE progress INDEXED BY progress_lease SET state = 'owed', reason = 'interrupted', lease_until = NULL,
            client_left = 1, updated_at = coalesce(?2, updated_at)
            WHERE lease_until <= ?1 AND state = 'executing' AND paid",
        "UPDATE progress INDEXED BY progress_lease SET state = 'refused', reason = 'interrupted', lease_until = NULL,
            updated_at = coalesce(?2, updated_at) WHERE lease_until <= ?1 AND state = 'executing'",
        "UPDATE progress INDEXED BY progress_lease SET state = 'unknown', lease_until = NULL,
            next_look = coalesce(?2, 0), looks = 0, updated_at = coalesce(?2, updated_at) WHERE lease_until <= ?1 AND state = 'settling'",
    ] {
        ended += connection.prepare_cached(sql)?.execute(params![until, at])?;
    }
    Ok(ended as u64)
}
