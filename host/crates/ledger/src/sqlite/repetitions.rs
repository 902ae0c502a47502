//! Keeps a line of each request that presents a claimed payment again and may get something for it, so that the request is
//! found by its id. The line is written before the answer is given: it says what the request asked for.

use coinslot_x402::UnixTime;
use rusqlite::{Connection, params};

use crate::LedgerError;
use crate::number::to_sqlite;

/// The most lines of one payment: an answer may be fetched for as long as it is kept.
const MOST: i64 = 100;

/// The reason why a request that presents a claimed payment again may get an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepetitionOutcome {
    /// The answer is owed, and the guest is to run anew.
    Run,
    /// The answer is kept.
    Answer,
}

impl RepetitionOutcome {
    /// The word of the column `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Answer => "answer",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Run, Self::Answer].into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// Writes down that a request presented the payment of this row again.
pub(super) fn record(
    connection: &Connection,
    row: i64,
    request_id: Option<&str>,
    outcome: RepetitionOutcome,
    at: UnixTime,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO repetition (claim, request_id, outcome, event, at)
                SELECT ?1, ?2, ?3, coalesce((SELECT max(id) FROM event), 0), ?4
                WHERE (SELECT count(*) FROM repetition WHERE claim = ?1) < ?5",
        )?
        .execute(params![row, request_id, outcome.as_str(), to_sqlite(at.0), MOST])?;
    Ok(())
}
