//! Opens a ledger's file for reading, and answers questions about it.

use std::path::Path;
use std::time::Duration;

use coinslot_x402::{Network, UnixTime};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::row::{self, PaymentRow};
use super::selection::{Selection, begin, open_rows};
use super::{Earnings, Filter, GroupBy, PrunedTotal, RefundRow, ReportError, ReportStop, earnings, refunds};
use crate::id::keys_of;
use crate::number::{from_sqlite, to_sqlite};
use crate::sqlite::{events, schema};
use crate::{PaymentEvent, PaymentState};

/// The time for which a reader waits for a host that is just opening or closing the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A ledger's file, opened for reading.
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
        Ok(Self { connection })
    }

    /// Opens a ledger for a report that can be stopped.
    pub fn open_until(path: &Path, stop: &ReportStop) -> Result<Self, ReportError> {
        let reader = Self::open(path)?;
        if stop.begin(reader.connection.get_interrupt_handle()) { Ok(reader) } else { Err(ReportError::Stopped) }
    }

    /// Selects the payments that the filter describes.
    pub fn select(&self, filter: &Filter) -> Result<Selection<'_>, ReportError> {
        Ok(Selection::of(&self.connection, filter))
    }

    /// Finds a payment by its id, as headers and logs have it. None if it was given back, or its row is pruned.
    pub fn payment(&self, id: &str) -> Result<Option<PaymentRow>, ReportError> {
        let Some([first, last]) = keys_of(id) else { return Ok(None) };
        let sql = format!("SELECT {} FROM payment WHERE key >= ?1 AND key <= ?2 LIMIT 1", row::COLUMNS);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![first, last])?;
        rows.next()?.map(PaymentRow::read).transpose()
    }

    /// Lists the events of a payment by its id, the oldest first: also of one that was given back, and has no row. They
    /// are found by a walk over all events that are kept, of which there are at most a hundred thousand.
    pub fn events_of(&self, id: &str) -> Result<Vec<PaymentEvent>, ReportError> {
        events::of_payment(&self.connection, id).map_err(|error| ReportError::Query(error.to_string()))
    }

    /// Lists the attempts to pay this payment back, the newest first.
    pub fn refunds_of(&self, id: &str) -> Result<Vec<RefundRow>, ReportError> {
        refunds::of_payment(&self.connection, id)
    }

    /// Lists the attempts to pay owed answers back that began at this time or later, the newest first, `limit` at most.
    pub fn refunds(&self, since: UnixTime, limit: u32) -> Result<Vec<RefundRow>, ReportError> {
        refunds::since(&self.connection, since, limit)
    }

    /// Lists the attempts without an end, on any network.
    pub fn open_refunds(&self) -> Result<Vec<RefundRow>, ReportError> {
        refunds::open(&self.connection)
    }

    /// The greatest nonce that a refund by this wallet had on a network. None: it has paid none back there.
    pub fn last_refund_nonce(&self, network: &Network, wallet: &str) -> Result<Option<u64>, ReportError> {
        refunds::last_nonce(&self.connection, network, wallet)
    }

    /// Lists the transactions that were signed for refunds of the other payments of a payment's payer, or paid them back by
    /// hand, on any network.
    pub fn refund_transactions_beside(&self, payment: &PaymentRow) -> Result<Vec<String>, ReportError> {
        refunds::transactions_beside(&self.connection, &payment.payer, &payment.payment_id)
    }

    /// Selects the payments of the filter that this transaction settled, the newest first.
    pub fn settled_by(&self, transaction: &str, filter: &Filter) -> Result<Vec<PaymentRow>, ReportError> {
        let sql = format!(
            "SELECT {} FROM payment WHERE id IN (SELECT id FROM settlement WHERE tx = ?1)
                AND (?2 IS NULL OR request_id = ?2 OR id IN (SELECT claim FROM repetition WHERE request_id = ?2))
             ORDER BY created_at DESC, id DESC",
            row::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        // As transactions are written: hex in lower case, and anything else as it is.
        let written =
            if transaction.starts_with("0x") { transaction.to_ascii_lowercase() } else { transaction.to_owned() };
        let mut rows = statement.query(params![written, filter.request_id])?;
        let begin = begin(&self.connection, filter)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let row = PaymentRow::read(row)?;
            let follows = begin.is_none_or(|begin| (to_sqlite(row.created_at.0), to_sqlite(row.number)) < begin);
            if follows && filter.selects(&row) {
                found.push(row);
            }
        }
        found.truncate(filter.limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(found)
    }

    /// Makes a report from one state of the ledger: that which its first query meets. Until it is made, the host's log
    /// only grows.
    pub(super) fn in_one_state<T>(&self, report: impl FnOnce() -> Result<T, ReportError>) -> Result<T, ReportError> {
        let _state = self.connection.unchecked_transaction()?;
        report()
    }

    /// Lists each network, token and receiver of the rows, and whether the money is test money.
    pub(super) fn receivers(&self) -> Result<Vec<(String, String, String, bool)>, ReportError> {
        let mut statement = self.connection.prepare("SELECT DISTINCT network, asset, pay_to, testnet FROM claim")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Sums up the money received, by group, asset and network, together with what pruned rows earned. A payment counts
    /// on the day of its last change. Pruned rows count by whole days: those that begin in the period.
    pub fn earned(
        &self,
        by: GroupBy,
        since: Option<UnixTime>,
        until: Option<UnixTime>,
    ) -> Result<Vec<Earnings>, ReportError> {
        self.earned_within(usize::MAX, by, since, until)
    }

    /// Sums up as [`Self::earned`] does, in at most so many groups.
    ///
    /// # Errors
    ///
    /// [`ReportError::TooMany`]: there are more.
    pub fn earned_within(
        &self,
        most: usize,
        by: GroupBy,
        since: Option<UnixTime>,
        until: Option<UnixTime>,
    ) -> Result<Vec<Earnings>, ReportError> {
        self.in_one_state(|| earnings::earned(&self.connection, most, by, since, until))
    }

    /// Counts the payments that have been in this state since before this time.
    pub fn count(&self, state: PaymentState, before: UnixTime) -> Result<u64, ReportError> {
        let open = open_rows(state).map_or_else(String::new, |open| format!("id IN ({open}) AND"));
        let sql = format!("SELECT count(*) FROM progress WHERE {open} state = ?1 AND +updated_at < ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let counted: i64 = statement.query_row(params![state.as_str(), to_sqlite(before.0)], |row| row.get(0))?;
        Ok(from_sqlite(counted))
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

    /// The connection of other reports.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}
