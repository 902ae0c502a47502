//! Reads the audit log, the newest line first.

use coinslot_x402::UnixTime;
use rusqlite::params;

use super::{LedgerReader, ReportError};
use crate::number::{from_sqlite, to_sqlite};
use crate::{ChangeKind, RecordedChange};

/// A choice of changes.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    /// Only made at this time or later.
    pub since: Option<UnixTime>,
    pub kind: Option<ChangeKind>,
    /// Only older than the change of this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

impl LedgerReader {
    /// Lists changes, the newest first.
    pub fn changes(&self, filter: &ChangeFilter) -> Result<Vec<RecordedChange>, ReportError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT id, at, who, kind, subject, before, after FROM change
             WHERE id < ?1 AND at >= ?2 AND (?3 IS NULL OR kind = ?3) ORDER BY id DESC LIMIT ?4",
        )?;
        let mut rows = statement.query(params![
            filter.before.map_or(i64::MAX, to_sqlite),
            filter.since.map_or(0, |since| to_sqlite(since.0)),
            filter.kind.map(ChangeKind::as_str),
            filter.limit,
        ])?;
        let mut changes = Vec::new();
        while let Some(row) = rows.next()? {
            let number = from_sqlite(row.get(0)?);
            let kind: String = row.get(3)?;
            let Some(kind) = ChangeKind::parse(&kind) else {
                return Err(ReportError::Query(format!("change {number} of the ledger has the unknown kind `{kind}`")));
            };
            changes.push(RecordedChange {
                number,
                at: UnixTime(from_sqlite(row.get(1)?)),
                who: row.get(2)?,
                kind,
                subject: row.get(4)?,
                before: row.get(5)?,
                after: row.get(6)?,
            });
        }
        Ok(changes)
    }
}
