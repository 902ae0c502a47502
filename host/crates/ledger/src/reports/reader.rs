//! Opens a ledger's file for reading, and selects payments from it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use coinslot_x402::{Network, UnixTime};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, params, params_from_iter};

use super::row::{self, ListPlace, ListStart, PaymentRow};
use super::{
    ClaimOrder, Earnings, Filter, GroupBy, PrunedTotal, RefundRow, ReportError, ReportStop, earnings, refunds,
};
use crate::id::keys_of;
use crate::number::{from_sqlite, to_sqlite};
use crate::sqlite::{events, schema};
use crate::{PaymentEvent, PaymentState};

/// The time for which a reader waits for a host that is just opening or closing the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The rows that a list reads at once.
const PAGE_ROWS: u32 = 500;

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
        Ok(Selection { connection: &self.connection, filter: filter.clone() })
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

/// Payments that are selected and not read yet.
#[derive(Debug)]
pub struct Selection<'b> {
    connection: &'b Connection,
    filter: Filter,
}

impl Selection<'_> {
    /// Reads the payments page by page. Between two pages nothing of the file is held. A payment that is claimed or
    /// pruned meanwhile may be missing; none is read twice.
    ///
    /// # Errors
    ///
    /// [`ReportError::Gone`]: the list is to follow a payment that has no row.
    pub fn rows(&mut self) -> Result<impl Iterator<Item = Result<PaymentRow, ReportError>> + '_, ReportError> {
        let last = begin(self.connection, &self.filter)?;
        Ok(Pages {
            connection: self.connection,
            sql: sql(&self.filter),
            filter: &self.filter,
            left: self.filter.limit,
            last,
            page: Vec::new().into_iter(),
        })
    }
}

/// The place of a row in the order of claims: its time, and its number.
type PagePlace = (i64, i64);

/// The place after which the list of a filter goes on. None: it begins anew.
fn begin(connection: &Connection, filter: &Filter) -> Result<Option<PagePlace>, ReportError> {
    match &filter.after {
        Some(ListStart::Place(ListPlace { created_at, number })) => {
            Ok(Some((to_sqlite(created_at.0), to_sqlite(*number))))
        }
        Some(ListStart::Payment(id)) => {
            let found = place(connection, id)?;
            found.map(Some).ok_or_else(|| ReportError::Gone { payment: id.clone() })
        }
        None => Ok(None),
    }
}

/// The place of a payment in the order of claims. None if it has no row.
fn place(connection: &Connection, id: &str) -> Result<Option<PagePlace>, ReportError> {
    let Some([first, last]) = keys_of(id) else { return Ok(None) };
    let mut statement =
        connection.prepare_cached("SELECT created_at, id FROM claim WHERE key >= ?1 AND key <= ?2 LIMIT 1")?;
    let mut rows = statement.query(params![first, last])?;
    Ok(rows.next()?.map(|row| Ok::<_, rusqlite::Error>((row.get(0)?, row.get(1)?))).transpose()?)
}

/// Rows that are read in pages.
struct Pages<'s> {
    connection: &'s Connection,
    sql: String,
    filter: &'s Filter,
    /// The last row of the page before.
    last: Option<PagePlace>,
    /// The rows that may follow; `None` without a limit.
    left: Option<u32>,
    page: std::vec::IntoIter<PaymentRow>,
}

impl Pages<'_> {
    /// Reads the page after the last one. It is empty at the end.
    fn read(&mut self) -> Result<Vec<PaymentRow>, ReportError> {
        let filter = self.filter;
        let since = filter.since.map_or(0, |time| to_sqlite(time.0));
        let until = filter.until.map_or(i64::MAX, |time| to_sqlite(time.0));
        let (time, number) = self.last.unwrap_or(match filter.order {
            ClaimOrder::NewestFirst => (until, i64::MIN),
            ClaimOrder::OldestFirst => (since, i64::MIN),
        });
        let size = self.left.unwrap_or(PAGE_ROWS).min(PAGE_ROWS);
        let values = [
            Value::Integer(since),
            Value::Integer(until),
            filter.endpoint.clone().map_or(Value::Null, Value::Text),
            filter.payer.clone().map_or(Value::Null, Value::Text),
            Value::Integer(time),
            Value::Integer(number),
            Value::Integer(i64::from(size)),
        ];
        // A query has this parameter only if the filter has the field.
        let values = values.into_iter().chain(filter.request_id.clone().map(Value::Text));
        let mut statement = self.connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            let row = PaymentRow::read(row)?;
            self.last = Some((to_sqlite(row.created_at.0), to_sqlite(row.number)));
            page.push(row);
        }
        Ok(page)
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<PaymentRow, ReportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == Some(0) {
            return None;
        }
        if self.page.len() == 0 {
            match self.read() {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => {
                    self.left = Some(0);
                    return Some(Err(error));
                }
            }
        }
        let row = self.page.next();
        self.left = match &row {
            Some(_) => self.left.map(|left| left - 1),
            None => Some(0),
        };
        row.map(Ok)
    }
}

/// The query of one page. Its parameters: since, until, endpoint, payer, time and number of the last row, size, and the id
/// of the HTTP request if there is one.
///
/// A list of rows that are not finished begins with the few that there are, and so does a list of the payments of a
/// request; the plus keeps SQLite from walking the index of all claims instead. Every other list walks that index.
pub(super) fn sql(filter: &Filter) -> String {
    let states = if filter.states.is_empty() { &PaymentState::ALL[..] } else { &filter.states };
    let open: Option<BTreeSet<&str>> = states.iter().map(|state| open_rows(*state)).collect();
    let open = open.map(|open| open.into_iter().collect::<Vec<_>>().join(" UNION ALL "));
    let of_request = filter.request_id.is_some().then(|| of_request(8));
    let few: Vec<String> = open.into_iter().chain(of_request).map(|rows| format!("id IN ({rows}) AND")).collect();
    let time = if few.is_empty() { "created_at" } else { "+created_at" };
    let rows = few.join(" ");
    let states: Vec<String> = states.iter().map(|state| format!("'{}'", state.as_str())).collect();
    let (after, order) = match filter.order {
        ClaimOrder::NewestFirst => ("<", "DESC"),
        ClaimOrder::OldestFirst => (">", "ASC"),
    };
    format!(
        "SELECT {} FROM payment WHERE {rows} {time} >= ?1 AND {time} < ?2
            AND (?3 IS NULL OR endpoint = ?3 OR substr(endpoint, instr(endpoint, ' ') + 1) = ?3)
            AND (?4 IS NULL OR lower(payer) = lower(?4)) AND state IN ({}) AND ({time}, id) {after} (?5, ?6)
         ORDER BY {time} {order}, id {order} LIMIT ?7",
        row::COLUMNS,
        states.join(", ")
    )
}

/// The query of the numbers of rows that a request claimed or presented again. Its id is the parameter of this number. It
/// reads the whole index of claims, some 60 bytes of each, and no row.
pub(super) fn of_request(parameter: u8) -> String {
    format!(
        "SELECT id FROM claim INDEXED BY claim_by_time WHERE created_at >= 0 AND request_id = ?{parameter}
            UNION ALL SELECT claim FROM repetition WHERE request_id = ?{parameter}"
    )
}

/// The query of the numbers of rows that may be in this state, by an index of few rows; `None` if there is none.
fn open_rows(state: PaymentState) -> Option<&'static str> {
    match state {
        PaymentState::Reserved | PaymentState::Executing | PaymentState::Settling => {
            Some("SELECT id FROM progress INDEXED BY progress_lease WHERE lease_until IS NOT NULL")
        }
        PaymentState::Unknown => Some("SELECT id FROM progress INDEXED BY progress_look WHERE next_look IS NOT NULL"),
        PaymentState::Owed => Some("SELECT id FROM progress INDEXED BY progress_owed WHERE state = 'owed'"),
        PaymentState::Refunding => {
            Some("SELECT id FROM progress INDEXED BY progress_refunding WHERE state = 'refunding'")
        }
        PaymentState::Settled | PaymentState::Delivered | PaymentState::Refunded | PaymentState::Refused => None,
    }
}
