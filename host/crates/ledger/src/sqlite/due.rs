//! Takes the settlements that are due to be looked at.

use coinslot_x402::{Flow, Network, UnixTime};
use rusqlite::{Connection, params};

use crate::number::{from_sqlite, to_sqlite};
use crate::{Attempt, Hold, LedgerError, PaymentId, PaymentState, Pending, Reported};

/// The first pause between two looks, in seconds: a clock of whole seconds has no shorter one.
pub(super) const FIRST_PAUSE: u64 = 1;
/// The longest pause of the first [`FREQUENT_LOOKS`], which take an hour, and the pause after them. What is open for
/// this long waits for an operator, not for a block: a node that is gone, or a facilitator that has closed.
const LONGEST_PAUSE: u64 = 30;
const LATE_PAUSE: u64 = 300;
const FREQUENT_LOOKS: u32 = 120;

/// The time after the end of an authorisation at which a watched refusal is looked at, in seconds: blocks lag behind
/// the clock by seconds, not by minutes.
pub(super) const WATCH_DELAY: i64 = 120;

/// See [`crate::Ledger::take_due`].
pub(super) fn take(connection: &Connection, at: UnixTime, limit: u32) -> Result<Vec<Pending>, LedgerError> {
    // CROSS JOIN keeps SQLite from reordering: the index of looks has the open settlements and nothing else.
    let mut rows = connection.prepare_cached(
        "SELECT progress.id, network, asset, payer, nonce, attempt, outgoing.request, tx, kept_at IS NOT NULL,
            valid_before, flow, state, looks, reason, reported
         FROM progress INDEXED BY progress_look CROSS JOIN claim USING (id) CROSS JOIN outgoing USING (id)
            LEFT JOIN settlement USING (id) LEFT JOIN answer USING (id)
         WHERE next_look <= ?1 ORDER BY next_look LIMIT ?2",
    )?;
    let mut found = rows.query(params![to_sqlite(at.0), limit])?;
    let mut taken = Vec::new();
    let mut pauses = Vec::new();
    while let Some(row) = found.next()? {
        let id: i64 = row.get(0)?;
        let looks: u32 = row.get(12)?;
        pauses.push((id, pause(looks)));
        let (network, state): (String, String) = (row.get(1)?, row.get(11)?);
        let (Ok(network), Some(state)) = (Network::parse(&network), PaymentState::parse(&state)) else {
            tracing::error!(row = id, %network, %state, "an unfinished settlement cannot be read from the ledger");
            continue;
        };
        taken.push(Pending {
            hold: Hold {
                id: PaymentId::new(network, row.get(2)?, row.get(3)?, row.get(4)?),
                attempt: Attempt(row.get(5)?),
            },
            request: row.get(6)?,
            transaction: row.get::<_, Option<String>>(7)?.filter(|transaction| !transaction.is_empty()),
            reported: row.get::<_, Option<String>>(14)?.as_deref().and_then(Reported::parse),
            answer_kept: row.get(8)?,
            valid_before: UnixTime(from_sqlite(row.get(9)?)),
            flow: Flow::parse(&row.get::<_, String>(10)?).unwrap_or_default(),
            state,
            looks,
            reason: row.get(13)?,
        });
    }
    let mut schedule =
        connection.prepare_cached("UPDATE progress SET next_look = ?2, looks = looks + 1 WHERE id = ?1")?;
    for (id, pause) in pauses {
        schedule.execute(params![id, to_sqlite(at.plus(pause).0)])?;
    }
    Ok(taken)
}

/// Corrects the looks that are further ahead than any pause, which were set before the clock went back: an unknown
/// settlement is due, and a watched refusal once its authorisation has expired by the present clock.
pub(super) fn clock_went_back(connection: &Connection, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE progress INDEXED BY progress_look SET next_look = CASE state WHEN 'unknown' THEN ?1 ELSE
                (SELECT min(next_look, min(valid_before, ?4 - ?3) + ?3) FROM claim WHERE claim.id = progress.id) END
             WHERE next_look > ?2",
        )?
        .execute(params![to_sqlite(at.0), to_sqlite(at.plus(LATE_PAUSE).0), WATCH_DELAY, i64::MAX])?;
    Ok(())
}

/// See [`crate::Ledger::next_due`]. Each half reads one entry of an index that has open rows and nothing else.
pub(super) fn next(connection: &Connection) -> Result<Option<UnixTime>, LedgerError> {
    let mut first = connection.prepare_cached(
        "SELECT min(at) FROM (
            SELECT min(next_look) AS at FROM progress INDEXED BY progress_look WHERE next_look IS NOT NULL
            UNION ALL
            SELECT min(lease_until) FROM progress INDEXED BY progress_lease WHERE lease_until IS NOT NULL)",
    )?;
    let at: Option<i64> = first.query_row([], |row| row.get(0))?;
    Ok(at.map(|at| UnixTime(from_sqlite(at))))
}

/// The pause after a look, in seconds.
fn pause(looks_before: u32) -> u64 {
    if looks_before >= FREQUENT_LOOKS {
        return LATE_PAUSE;
    }
    FIRST_PAUSE.checked_shl(looks_before).map_or(LONGEST_PAUSE, |pause| pause.clamp(FIRST_PAUSE, LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_are_longer_after_an_hour() {
        let pauses = [0, 1, 2, 3, 4, 5, 6, 63, 64, 119, 120, u32::MAX].map(pause);
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 300, 300]);
        assert!((0..FREQUENT_LOOKS).map(pause).sum::<u64>() < 3_600);
    }
}
