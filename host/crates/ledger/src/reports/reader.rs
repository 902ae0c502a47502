//! Opens a ledger's file for reading, and selects payments from it.

use std::path::Path;
use std::time::Duration;

use coinslot_x402::UnixTime;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, params_from_iter};

use super::row::{self, PaymentRow};
use super::{ClaimOrder, Earnings, Filter, GroupBy, PrunedTotal, ReportError, earnings};
use crate::PaymentState;
use crate::number::{from_sqlite, to_sqlite};
use crate::sqlite::schema;

/// The time for which a reader waits for a host that is just opening or closing the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One state of a ledger: that which the first query meets.
#[derive(Debug)]
pub struct LedgerReader {
    connection: Connection,
}

impl LedgerReader {
    /// Opens a ledger for reading; creates and changes nothing.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let shown = path.display().to_string();
        if !path.exists() {
            return Err(ReportError::Missing(shown));
        }
        let unreadable = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => ReportError::Foreign(shown.clone()),
            _ => ReportError::Unreadable { path: shown.clone(), reason: error.to_string() },
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(unreadable)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(unreadable)?;
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(unreadable);
        if pragma("application_id")? != schema::APPLICATION_ID {
            return Err(ReportError::Foreign(shown));
        }
        let (found, known) = (pragma("user_version")?, schema::current_version());
        match found.cmp(&known) {
            std::cmp::Ordering::Greater => return Err(ReportError::Newer { path: shown, found, known }),
            std::cmp::Ordering::Less => return Err(ReportError::Older { path: shown, found, known }),
            std::cmp::Ordering::Equal => {}
        }
        // One transaction for all reports: SQLite fixes its state at the first read in it.
        connection.execute_batch("BEGIN").map_err(unreadable)?;
        Ok(Self { connection })
    }

    /// Selects the payments that the filter describes.
    pub fn select(&self, filter: &Filter) -> Result<Selection<'_>, ReportError> {
        let states = if filter.states.is_empty() { &PaymentState::ALL[..] } else { &filter.states };
        let states: Vec<String> = states.iter().map(|state| format!("'{}'", state.as_str())).collect();
        let order = match filter.order {
            ClaimOrder::NewestFirst => "DESC",
            ClaimOrder::OldestFirst => "ASC",
        };
        let statement = self.connection.prepare(&format!(
            "SELECT {} FROM payment WHERE created_at >= ?1 AND created_at < ?2
                AND (?3 IS NULL OR endpoint = ?3 OR substr(endpoint, instr(endpoint, ' ') + 1) = ?3)
                AND (?4 IS NULL OR lower(payer) = lower(?4)) AND state IN ({})
             ORDER BY created_at {order}, id {order} LIMIT ?5",
            row::COLUMNS,
            states.join(", ")
        ))?;
        let values = vec![
            Value::Integer(filter.since.map_or(0, |time| to_sqlite(time.0))),
            Value::Integer(filter.until.map_or(i64::MAX, |time| to_sqlite(time.0))),
            filter.endpoint.clone().map_or(Value::Null, Value::Text),
            filter.payer.clone().map_or(Value::Null, Value::Text),
            Value::Integer(filter.limit.map_or(-1, i64::from)),
        ];
        Ok(Selection { statement, values })
    }

    /// Sums up the money received, by group, asset and network, together with what pruned rows earned. A payment counts
    /// on the day of its last change. Pruned rows count by whole days: those that begin in the period.
    pub fn earned(
        &self,
        by: GroupBy,
        since: Option<UnixTime>,
        until: Option<UnixTime>,
    ) -> Result<Vec<Earnings>, ReportError> {
        earnings::earned(&self.connection, by, since, until)
    }

    /// Lists what pruned rows earned, by day.
    pub fn pruned(&self) -> Result<Vec<PrunedTotal>, ReportError> {
        earnings::pruned(&self.connection)
    }

    /// The time at which the oldest payment was claimed that still has a row.
    pub fn oldest(&self) -> Result<Option<UnixTime>, ReportError> {
        let oldest: Option<i64> =
            self.connection.query_row("SELECT min(created_at) FROM payment", [], |row| row.get(0))?;
        Ok(oldest.map(|time| UnixTime(from_sqlite(time))))
    }

    /// The connection, for a test that tries to write through it.
    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// Payments that are selected and not read yet.
#[derive(Debug)]
pub struct Selection<'b> {
    statement: Statement<'b>,
    values: Vec<Value>,
}

impl Selection<'_> {
    /// Reads one payment after the other from the file.
    pub fn rows(&mut self) -> Result<impl Iterator<Item = Result<PaymentRow, ReportError>> + '_, ReportError> {
        Ok(self.statement.query_and_then(params_from_iter(&self.values), PaymentRow::read)?)
    }
}
