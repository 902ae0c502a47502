//! Deletes answers that were kept long enough, and rows that are finished and past their validity.
//!
//! Rows that earned money move into the table `total`, by day, receiver, plugin and endpoint; refused rows leave
//! nothing.
//!
//! Payments wait while the writer prunes. So each function here does a slice that takes milliseconds, as a job of its
//! own, and is called until nothing is left. Each finds its rows by an index.

pub(super) mod totals;

use std::time::Duration;

use coinslot_x402::UnixTime;
use rusqlite::{Connection, params};

use super::{answers, changes, claims, free_counters, free_uses, funnel, passes, refunds, webhook_attempts};
use crate::number::{from_sqlite, to_sqlite};
use crate::{DAY, LedgerError, Retention};

/// The most rows of one slice.
pub(super) const SLICE_ROWS: u32 = 100;

/// The bytes of answers after which a slice ends: every page of an answer is visited to free it.
const SLICE_BYTES: i64 = 4 * 1024 * 1024;

/// The difference between the clock and the time that has passed since the first pruning that is taken for a drift of
/// the clock, in seconds.
const CLOCK_DRIFT: u64 = 3_600;

/// The ages and the size beyond which rows and answers are forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutoffs {
    /// The present time.
    now: i64,
    /// The time of the newest answer that is old enough.
    answers: i64,
    /// The time of the newest row that is old enough.
    payments: i64,
    /// The size of all answers that is never exceeded for long.
    answer_bytes: i64,
}

/// The work of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// Rows and answers that were deleted.
    pub(super) deleted: u64,
    /// True if there may be more to do.
    pub(super) more: bool,
}

/// Does one slice of one kind.
pub(super) type PruneSlice = fn(&Connection, Cutoffs) -> Result<Slice, LedgerError>;

/// Every kind, in order. What sums up comes last: a malformed amount stops it, and nothing else.
pub(super) const KINDS: [PruneSlice; 13] = [
    delete_old_answers,
    delete_excess_answers,
    forget_identifiers,
    delete_refused,
    delete_ended_counters,
    delete_nonces,
    end_free_uses,
    delete_free_uses,
    changes::prune,
    webhook_attempts::prune,
    funnel::prune,
    totals::move_into_totals,
    refunds::fees::sum_up,
];

impl Cutoffs {
    pub(super) fn new(now: UnixTime, kept: Retention) -> Self {
        Self {
            now: to_sqlite(now.0),
            answers: to_sqlite(now.0.saturating_sub(kept.answers.as_secs())),
            payments: to_sqlite(now.0.saturating_sub(kept.payments.as_secs())),
            answer_bytes: to_sqlite(kept.answer_bytes),
        }
    }

    /// The time of the newest row that is old enough.
    pub(super) fn payments(self) -> i64 {
        self.payments
    }

    /// The time of the newest line of the audit log, and of the newest number of the funnel, that is old enough: a year
    /// longer than payments are kept.
    pub(super) fn changes(self) -> i64 {
        self.payments.saturating_sub(to_sqlite(365 * DAY))
    }
}

/// The time that pruning goes by: that of the clock, unless the clock has run ahead of the time that passed since it
/// said `first`. A clock that jumps by a day would otherwise make every answer a day old at once.
pub(super) fn believed(now: UnixTime, first: UnixTime, passed: Duration) -> UnixTime {
    now.min(first.plus(passed.as_secs()).plus(CLOCK_DRIFT))
}

fn delete_old_answers(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    delete_answers(connection, cutoffs.answers, i64::MAX)
}

/// Deletes the oldest answers while all together are too large.
fn delete_excess_answers(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let bytes = answers::bytes(connection)?;
    if bytes <= cutoffs.answer_bytes {
        return Ok(Slice { deleted: 0, more: false });
    }
    delete_answers(connection, i64::MAX, bytes - cutoffs.answer_bytes)
}

/// Deletes the oldest answers that were kept before this time and that no open payment needs, until this many bytes are
/// free.
fn delete_answers(connection: &Connection, before: i64, bytes: i64) -> Result<Slice, LedgerError> {
    let mut oldest = connection.prepare_cached(
        "SELECT answer.id, octet_length(head) + octet_length(body) FROM answer INDEXED BY answer_by_age
            CROSS JOIN progress USING (id)
         WHERE kept_at < ?1 AND state NOT IN ('settling', 'unknown', 'executing', 'owed', 'refunding') ORDER BY kept_at LIMIT ?2",
    )?;
    let found = oldest.query_map(params![before, SLICE_ROWS], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut ids: Vec<i64> = Vec::new();
    let mut freed: i64 = 0;
    let mut more = false;
    for answer in found {
        let (id, size): (i64, i64) = answer?;
        ids.push(id);
        freed = freed.saturating_add(size);
        more = freed < bytes && (is_full(&ids) || freed >= SLICE_BYTES);
        if more || freed >= bytes {
            break;
        }
    }
    for id in &ids {
        answers::delete(connection, *id)?;
    }
    Ok(Slice { deleted: ids.len() as u64, more })
}

/// Frees the identifiers of payments whose answers are old enough to be gone: a client may use them again.
fn forget_identifiers(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let ids = ids(
        connection,
        "SELECT id FROM progress INDEXED BY progress_named
         WHERE named = 1 AND state IN ('settled', 'delivered', 'refunded', 'refused') AND updated_at < ?1
         ORDER BY updated_at LIMIT ?2",
        params![cutoffs.answers, SLICE_ROWS],
    )?;
    for id in &ids {
        claims::forget_identifier(connection, *id)?;
    }
    // Neither a row nor an answer is deleted.
    Ok(Slice { deleted: 0, more: is_full(&ids) })
}

/// Deletes rows that were refused long enough ago and whose authorisation can no longer be tried. A refusal that is
/// watched stays until it is dismissed.
fn delete_refused(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let ids = ids(
        connection,
        "SELECT id FROM progress INDEXED BY progress_refused CROSS JOIN claim USING (id)
         WHERE state = 'refused' AND updated_at < ?1 AND next_look IS NULL AND valid_before < ?3
         ORDER BY updated_at LIMIT ?2",
        params![cutoffs.answers, SLICE_ROWS, cutoffs.now],
    )?;
    delete(connection, &ids)?;
    Ok(Slice { deleted: ids.len() as u64, more: is_full(&ids) })
}

/// Deletes counts of free requests whose windows have ended.
fn delete_ended_counters(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let now = UnixTime(from_sqlite(cutoffs.now));
    deleted(free_counters::delete_ended(connection, now, SLICE_ROWS)?)
}

/// Deletes nonces that no proof can name any more.
fn delete_nonces(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let until = cutoffs.now.saturating_sub(to_sqlite(free_uses::NONCE_GRACE));
    let sql = "DELETE FROM free_nonce WHERE nonce IN (SELECT nonce FROM free_nonce INDEXED BY free_nonce_by_end
        WHERE expires_at <= ?1 LIMIT ?2)";
    deleted(connection.prepare_cached(sql)?.execute(params![until, SLICE_ROWS])?)
}

/// Ends free requests of which no end could be written for a day.
fn end_free_uses(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let before = cutoffs.now.saturating_sub(to_sqlite(DAY));
    deleted(free_uses::give_back_before(connection, before, SLICE_ROWS)?)
}

/// Deletes rows of free requests that are as old as payments may be. Their numbers stay.
fn delete_free_uses(connection: &Connection, cutoffs: Cutoffs) -> Result<Slice, LedgerError> {
    let sql = "DELETE FROM free_use WHERE id IN (SELECT id FROM free_use INDEXED BY free_use_by_time
        WHERE at < ?1 AND outcome <> 'running' LIMIT ?2)";
    deleted(connection.prepare_cached(sql)?.execute(params![cutoffs.payments, SLICE_ROWS])?)
}

/// The slice of a statement that deleted so many rows.
pub(super) fn deleted(rows: usize) -> Result<Slice, LedgerError> {
    Ok(Slice { deleted: rows as u64, more: rows >= SLICE_ROWS as usize })
}

/// True if a slice has as many rows as it takes.
fn is_full(ids: &[i64]) -> bool {
    ids.len() >= SLICE_ROWS as usize
}

fn ids(connection: &Connection, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<i64>, LedgerError> {
    let mut rows = connection.prepare_cached(sql)?;
    let found = rows.query_map(params, |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Deletes these payments from every table.
fn delete(connection: &Connection, ids: &[i64]) -> Result<(), LedgerError> {
    for id in ids {
        for sql in [
            "DELETE FROM claim WHERE id = ?1",
            "DELETE FROM progress WHERE id = ?1",
            "DELETE FROM outgoing WHERE id = ?1",
            "DELETE FROM settlement WHERE id = ?1",
            "DELETE FROM repetition WHERE claim = ?1",
        ] {
            connection.prepare_cached(sql)?.execute(params![id])?;
        }
        answers::delete(connection, *id)?;
        refunds::delete(connection, *id)?;
        passes::delete(connection, *id)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_pruning_runs_with_the_time_that_passes() {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let at = |hours: u64| UnixTime(1_000_000 + hours * 3_600);
        assert_eq!(believed(at(0), at(0), hours(0)), at(0));
        assert_eq!(believed(at(5), at(0), hours(5)), at(5));
        assert_eq!(believed(at(29), at(0), hours(5)), at(6), "a day ahead");
        assert_eq!(believed(at(0), at(24), hours(5)), at(0), "a clock that was set back deletes less");
    }
}
