//! Selects payments, and reads them page by page.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::row::{self, ListPlace, ListStart, PaymentRow};
use super::{ClaimOrder, Filter, ReportError};
use crate::PaymentState;
use crate::id::keys_of;
use crate::number::to_sqlite;

/// The rows that a list reads at once.
const PAGE_ROWS: u32 = 500;

/// Payments that are selected and not read yet.
#[derive(Debug)]
pub struct Selection<'b> {
    connection: &'b Connection,
    filter: Filter,
}

impl<'b> Selection<'b> {
    pub(super) fn of(connection: &'b Connection, filter: &Filter) -> Self {
        Self { connection, filter: filter.clone() }
    }

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
pub(super) type PagePlace = (i64, i64);

/// The place after which the list of a filter goes on. None: it begins anew.
pub(super) fn begin(connection: &Connection, filter: &Filter) -> Result<Option<PagePlace>, ReportError> {
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
pub(super) fn open_rows(state: PaymentState) -> Option<&'static str> {
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
