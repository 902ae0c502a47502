//! Counts free requests, gives back those that were not served, and keeps a row of each.
//!
//! A request is counted in one transaction with its nonce and its row, so that of many requests for the last free one
//! a single one is counted, and a crash leaves either all of it or nothing. A row whose request has no end when the file
//! is opened is given back: its client has no answer, because the end of a served one is durable before its answer leaves.

use coinslot_x402::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::free_counters::{has_room, left_of, save, window};
use super::passes::UsablePass;
use super::{api_keys, passes};
use crate::number::to_sqlite;
use crate::{DAY, FreeClaim, FreeCounted, FreeCounter, FreeEnd, FreeGrant, FreeHold, LedgerError, PassProof};

/// The requests that are given back at once when the file is opened.
const ROUND: u32 = 32;

/// The time for which a nonce is kept after its end: clocks are set back.
pub(super) const NONCE_GRACE: u64 = 3_600;

/// The grounds of a free request, as they are found before anything is written.
struct Grounds<'c> {
    counters: Vec<FreeCounter>,
    nonce: Option<&'c (Vec<u8>, UnixTime)>,
    /// The id of its key.
    key: Option<i64>,
    pass: Option<UsablePass>,
}

/// See [`crate::Ledger::count_free`].
pub(super) fn count(connection: &Connection, claim: &FreeClaim, at: UnixTime) -> Result<FreeCounted, LedgerError> {
    let Grounds { counters, nonce, key, pass } = match grounds(connection, claim, at)? {
        Ok(grounds) => grounds,
        Err(refused) => return Ok(refused),
    };
    // Everything that may say no comes before the first change: a job that fails after one takes its batch with it.
    let mut windows = Vec::with_capacity(counters.len());
    for counter in &counters {
        let window = window(connection, counter, at)?;
        if window.used >= counter.quota.requests {
            return Ok(FreeCounted::Exhausted(left_of(counter.quota, window)));
        }
        windows.push(window);
    }
    if let Some((nonce, _)) = nonce
        && is_used(connection, nonce)?
    {
        return Ok(FreeCounted::NonceUsed);
    }
    if counters.iter().any(|counter| counter.is_per_client) && !has_room(connection, &counters, at)? {
        return Ok(FreeCounted::Full);
    }
    if let Some((nonce, end)) = nonce {
        connection
            .prepare_cached("INSERT INTO free_nonce (nonce, expires_at) VALUES (?1, ?2)")?
            .execute(params![nonce, to_sqlite(end.0)])?;
    }
    for (counter, window) in counters.iter().zip(&mut windows) {
        window.used += 1;
        save(connection, counter, *window)?;
    }
    let of_pass = pass.as_ref().map(|pass| passes::take(connection, pass)).transpose()?;
    let ids: Vec<&[u8]> = counters.iter().map(|counter| &counter.id.0[..]).collect();
    connection
        .prepare_cached(
            "INSERT INTO free_use (kind, who, key_id, plugin, endpoint, counter, total, outcome, at, request_id, claim)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'running', ?8, ?9, ?10)",
        )?
        .execute(params![
            claim.kind.as_str(),
            claim.who,
            key,
            claim.plugin,
            claim.endpoint,
            ids.first(),
            ids.get(1),
            to_sqlite(at.0),
            claim.request_id,
            pass.map(|pass| pass.claim)
        ])?;
    let left = counters.iter().zip(windows).map(|(counter, window)| left_of(counter.quota, window));
    let left = left.chain(of_pass).min_by_key(|left| left.left);
    Ok(FreeCounted::Counted(FreeHold(connection.last_insert_rowid()), left))
}

/// The counters of a claim. `Err`: the key or the pass does not count.
fn grounds<'c>(
    connection: &Connection,
    claim: &'c FreeClaim,
    at: UnixTime,
) -> Result<Result<Grounds<'c>, FreeCounted>, LedgerError> {
    let none = Grounds { counters: Vec::new(), nonce: None, key: None, pass: None };
    Ok(match &claim.grant {
        FreeGrant::Counters { counters, nonce } => {
            Ok(Grounds { counters: counters.clone(), nonce: nonce.as_ref(), ..none })
        }
        FreeGrant::Key(hash) => match api_keys::by_hash(connection, *hash)? {
            Some(key) if key.counts_at(at) && key.is_for(&claim.plugin, &claim.endpoint) => {
                let counters = api_keys::counter(&key, *hash).into_iter().collect();
                Ok(Grounds { counters, key: Some(key.id), ..none })
            }
            Some(_) | None => Err(FreeCounted::KeyGone),
        },
        FreeGrant::Pass(query) => {
            let nonce = match &query.proof {
                PassProof::Account { nonce, .. } => Some(nonce),
                PassProof::Token(_) => None,
            };
            let found = passes::find(connection, query, at)?;
            found.map(|pass| Grounds { nonce, pass: Some(pass), ..none }).map_err(FreeCounted::NoPass)
        }
    })
}

fn is_used(connection: &Connection, nonce: &[u8]) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM free_nonce WHERE nonce = ?1")?.exists([nonce])
}

/// See [`crate::Ledger::end_free`]. A row that has an end already keeps it, unless an answer that was served breaks off.
pub(super) fn end(connection: &Connection, hold: FreeHold, end: FreeEnd, at: UnixTime) -> Result<(), LedgerError> {
    let mut outcome = connection.prepare_cached("SELECT outcome FROM free_use WHERE id = ?1")?;
    let was_served = match outcome.query_row([hold.0], |row| row.get::<_, String>(0)).optional()?.as_deref() {
        Some("running") => false,
        Some("served") if matches!(end, FreeEnd::Failed | FreeEnd::Interrupted) => true,
        Some(_) | None => return Ok(()),
    };
    if was_served {
        not_served(connection, hold.0)?;
    }
    connection.prepare_cached("UPDATE free_use SET outcome = ?2, ended_at = ?3 WHERE id = ?1")?.execute(params![
        hold.0,
        end.as_str(),
        to_sqlite(at.0)
    ])?;
    match end {
        FreeEnd::NotRun | FreeEnd::Interrupted => give_back(connection, hold.0, false)?,
        FreeEnd::Failed => give_back(connection, hold.0, true)?,
        FreeEnd::Served | FreeEnd::HungUp => {}
    }
    if end == FreeEnd::Served {
        connection
            .prepare_cached(
                "UPDATE api_key SET served = served + 1, last_used_at = ?2
                 WHERE id = (SELECT key_id FROM free_use WHERE id = ?1)",
            )?
            .execute(params![hold.0, to_sqlite(at.0)])?;
    }
    connection
        .prepare_cached(
            "INSERT INTO free_total (day, kind, plugin, endpoint, outcome, uses)
                SELECT at / ?2, kind, plugin, endpoint, outcome, 1 FROM free_use WHERE id = ?1
             ON CONFLICT (day, kind, plugin, endpoint, outcome) DO UPDATE SET uses = uses + 1",
        )?
        .execute(params![hold.0, to_sqlite(DAY)])?;
    Ok(())
}

/// Takes a row that was served off the sums.
fn not_served(connection: &Connection, row: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE api_key SET served = served - 1
             WHERE id = (SELECT key_id FROM free_use WHERE id = ?1) AND served > 0",
        )?
        .execute([row])?;
    connection
        .prepare_cached(
            "UPDATE free_total SET uses = uses - 1 WHERE (day, kind, plugin, endpoint, outcome) IN
                (SELECT at / ?2, kind, plugin, endpoint, outcome FROM free_use WHERE id = ?1) AND uses > 0",
        )?
        .execute(params![row, to_sqlite(DAY)])?;
    Ok(())
}

/// Takes one use off the counts of a row, where the window of the use is still open, and off its pass.
fn give_back(connection: &Connection, row: i64, is_failure: bool) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE free_counter SET used = used - 1, returned = returned + ?2
             WHERE key IN (SELECT counter FROM free_use WHERE id = ?1 UNION ALL SELECT total FROM free_use WHERE id = ?1)
                AND used > 0 AND window_begin <= (SELECT at FROM free_use WHERE id = ?1)
                AND (NOT ?2 OR returned < requests)",
        )?
        .execute(params![row, is_failure])?;
    passes::give_back(connection, row, is_failure)
}

/// Gives back what was counted and has no end, when the file is opened: the process before is gone.
pub(super) fn give_back_all(connection: &Connection) -> Result<(), LedgerError> {
    while give_back_before(connection, i64::MAX, ROUND)? > 0 {}
    Ok(())
}

/// Gives back the oldest requests that were counted before this time and have no end, so many at most: no request is at
/// work for so long, and its end could not be written. Returns their number.
pub(super) fn give_back_before(connection: &Connection, before: i64, most: u32) -> Result<usize, LedgerError> {
    let mut running = connection.prepare_cached(
        "SELECT id FROM free_use INDEXED BY free_use_running WHERE outcome = 'running' AND at < ?1 ORDER BY id LIMIT ?2",
    )?;
    let ids: Vec<i64> = running.query_map(params![before, most], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in &ids {
        give_back(connection, *id, false)?;
        connection
            .prepare_cached("UPDATE free_use SET outcome = 'interrupted', ended_at = at WHERE id = ?1")?
            .execute([id])?;
    }
    Ok(ids.len())
}
