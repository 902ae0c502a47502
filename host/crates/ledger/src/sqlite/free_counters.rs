//! Keeps the counts of free requests: one row for each count, with the window that is open.

use std::time::Duration;

use coinslot_x402::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use crate::number::{from_sqlite, to_sqlite};
use crate::{FreeCounter, FreeLeft, FreeQuota, LedgerError};

/// The end of a window that never ends, as it is stored.
pub(crate) const NEVER: u64 = i64::MAX as u64;

/// The counts of clients that are kept, some 30 MB. Beyond it a client that is not counted yet gets nothing for free:
/// a flood of addresses must neither fill the disk nor get around the limit.
const MAX_COUNTERS: i64 = 250_000;

/// The windows that have ended and are deleted to make room for one more.
const SWEEP: u32 = 32;

/// The state of a count at a time.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) used: u64,
    begins: u64,
    ends: u64,
}

/// See [`crate::Ledger::free_left`].
pub(super) fn left(connection: &Connection, counter: &FreeCounter, at: UnixTime) -> Result<FreeLeft, LedgerError> {
    Ok(left_of(counter.quota, window(connection, counter, at)?))
}

/// True if the window of a count begins later than now: its first request came while the clock was ahead.
pub(super) fn is_ahead(connection: &Connection, counter: &FreeCounter, at: UnixTime) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM free_counter WHERE key = ?1 AND window_begin > ?2")?
        .exists(params![counter.id.0, to_sqlite(at.0)])
}

/// Has a window that begins later than now begin now. [`window`] shows it so at each look, and nothing else is written
/// to one that is used up: without this it would end no sooner than the clock comes to where it was.
pub(super) fn begin_now(connection: &Connection, counter: &FreeCounter, at: UnixTime) -> Result<(), LedgerError> {
    if is_ahead(connection, counter, at)? {
        let window = window(connection, counter, at)?;
        save(connection, counter, window)?;
    }
    Ok(())
}

pub(super) fn left_of(quota: FreeQuota, window: Window) -> FreeLeft {
    let resets_at = (window.ends != NEVER).then_some(UnixTime(window.ends));
    FreeLeft { quota, left: quota.requests.saturating_sub(window.used), resets_at }
}

/// The window of a count at this time: the one that is open, or a new one.
///
/// A window that ends later than a new one would was opened before the clock went back, or before the operator made
/// windows shorter. What was used in it counts on, and it ends when one
/// of the present length would that began when it did.
pub(super) fn window(connection: &Connection, counter: &FreeCounter, at: UnixTime) -> Result<Window, LedgerError> {
    let every = counter.quota.every;
    let end_of =
        |begins: u64| every.map_or(NEVER, |every: Duration| UnixTime(begins).plus(every.as_secs()).0.min(NEVER));
    let mut statement =
        connection.prepare_cached("SELECT used, window_begin, window_end FROM free_counter WHERE key = ?1")?;
    let known = statement.query_row([counter.id.0], |row| {
        Ok(Window { used: from_sqlite(row.get(0)?), begins: from_sqlite(row.get(1)?), ends: from_sqlite(row.get(2)?) })
    });
    let open = known.optional()?.map(|open| {
        let begins = open.begins.min(at.0);
        Window { begins, ends: open.ends.min(end_of(begins)), ..open }
    });
    let is_open = |window: &Window| at.0 < window.ends;
    Ok(open.filter(is_open).unwrap_or_else(|| Window { used: 0, begins: at.0, ends: end_of(at.0) }))
}

pub(super) fn save(connection: &Connection, counter: &FreeCounter, window: Window) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO free_counter (key, is_per_client, used, returned, requests, window_begin, window_end)
             VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6) ON CONFLICT (key) DO UPDATE SET used = excluded.used,
                returned = CASE WHEN free_counter.window_begin = excluded.window_begin THEN returned ELSE 0 END,
                requests = excluded.requests, window_begin = excluded.window_begin, window_end = excluded.window_end",
        )?
        .execute(params![
            counter.id.0,
            counter.is_per_client,
            to_sqlite(window.used),
            to_sqlite(counter.quota.requests),
            to_sqlite(window.begins),
            to_sqlite(window.ends)
        ])?;
    Ok(())
}

/// True if these counts have their rows, or there is room for more. Windows that have ended make room.
pub(super) fn has_room(connection: &Connection, counters: &[FreeCounter], at: UnixTime) -> rusqlite::Result<bool> {
    let mut rows = connection.prepare_cached("SELECT rows FROM free_counters")?;
    let count = |rows: &mut rusqlite::CachedStatement<'_>| rows.query_row([], |row| row.get::<_, i64>(0));
    if count(&mut rows)? < MAX_COUNTERS {
        return Ok(true);
    }
    let mut known = connection.prepare_cached("SELECT 1 FROM free_counter WHERE key = ?1")?;
    for counter in counters.iter().filter(|counter| counter.is_per_client) {
        if known.exists([counter.id.0])? {
            return Ok(true);
        }
    }
    delete_ended(connection, at, SWEEP)?;
    Ok(count(&mut rows)? < MAX_COUNTERS)
}

/// Deletes some windows that have ended.
pub(super) fn delete_ended(connection: &Connection, at: UnixTime, most: u32) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM free_counter WHERE rowid IN (SELECT rowid FROM free_counter INDEXED BY free_counter_by_end
                WHERE window_end <= ?1 LIMIT ?2)",
        )?
        .execute(params![to_sqlite(at.0), most])
}
