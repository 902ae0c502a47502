//! Reads the attempts to deliver messages to webhooks, the newest first, and counts the events that they tell.

use std::collections::BTreeMap;

use coinslot_x402::UnixTime;
use rusqlite::{Row, params};

use super::{LedgerReader, ReportError};
use crate::number::{from_sqlite, to_sqlite};
use crate::sqlite::events;
use crate::{EventKind, WebhookAttempt};

/// A choice of attempts.
#[derive(Clone, Debug, Default)]
pub struct AttemptFilter {
    /// Only of the webhook of this name.
    pub webhook: Option<String>,
    /// Only of messages about this payment.
    pub payment_id: Option<String>,
    /// Only older than the attempt of this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// An attempt that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAttempt {
    /// Grows in the order of the attempts of all webhooks.
    pub number: u64,
    pub attempt: WebhookAttempt,
}

impl LedgerReader {
    /// Lists attempts, the newest first.
    pub fn webhook_attempts(&self, filter: &AttemptFilter) -> Result<Vec<KeptAttempt>, ReportError> {
        let AttemptFilter { webhook, payment_id, before, limit } = filter;
        // Each is one walk along an index, from its end.
        let (chosen, order) = match (payment_id, webhook) {
            (Some(_), _) => ("payment_id = ?3 AND (?2 IS NULL OR webhook = ?2)", "id"),
            (None, Some(_)) => ("webhook = ?2 AND ?3 IS NULL", "number"),
            (None, None) => ("?2 IS NULL AND ?3 IS NULL", "id"),
        };
        let sql = format!(
            "SELECT id, webhook, at, message, kind, event, payment_id, status, error FROM webhook_attempt
             WHERE id < ?1 AND {chosen} ORDER BY {order} DESC LIMIT ?4"
        );
        let mut statement = self.connection().prepare_cached(&sql)?;
        let before = before.map_or(i64::MAX, to_sqlite);
        let rows = statement.query_map(params![before, webhook, payment_id, limit], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The number of the newest event. 0 if there was none.
    pub fn last_event(&self) -> Result<u64, ReportError> {
        events::last(self.connection()).map_err(|error| ReportError::Query(error.to_string()))
    }

    /// Counts the events after this one, by their kinds: of at most a hundred thousand that are kept.
    pub fn events_after(&self, number: u64) -> Result<BTreeMap<EventKind, u64>, ReportError> {
        let sql = "SELECT kind, count(*) FROM event WHERE id > ?1 GROUP BY kind";
        let mut statement = self.connection().prepare_cached(sql)?;
        let rows = statement.query_map([to_sqlite(number)], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let mut counts = BTreeMap::new();
        for row in rows {
            let (kind, count): (String, i64) = row?;
            let unknown = || ReportError::Query(format!("the ledger has an event of the unknown kind `{kind}`"));
            counts.insert(EventKind::parse(&kind).ok_or_else(unknown)?, from_sqlite(count));
        }
        Ok(counts)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<KeptAttempt> {
    Ok(KeptAttempt {
        number: from_sqlite(row.get(0)?),
        attempt: WebhookAttempt {
            webhook: row.get(1)?,
            at: UnixTime(from_sqlite(row.get(2)?)),
            message: row.get(3)?,
            kind: row.get(4)?,
            event: row.get::<_, Option<i64>>(5)?.map(from_sqlite),
            payment_id: row.get(6)?,
            status: row.get(7)?,
            error: row.get(8)?,
        },
    })
}
