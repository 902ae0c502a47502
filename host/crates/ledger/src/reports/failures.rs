//! Payments that were given back because their plugin failed, as reports show them.

use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use rusqlite::Row;

use super::row::{amount, network, time};
use super::{LedgerReader, ReportError};
use crate::number::{from_sqlite, to_sqlite};

/// A payment that was given back: nothing was charged, and it can be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedPayment {
    /// The number of the row. It grows with each failure.
    pub number: u64,
    pub payment_id: String,
    pub network: Network,
    pub asset: String,
    pub payer: String,
    pub amount: Amount,
    /// The money is worth nothing.
    pub testnet: bool,
    pub endpoint: String,
    pub plugin: String,
    /// The failure of the plugin.
    pub reason: String,
    pub at: UnixTime,
    /// The id of the HTTP request. None of an older row.
    pub request_id: Option<String>,
    /// The time of the claim, and that at which its guest began to run. None of an older row.
    pub claimed_at: Option<UnixTime>,
    pub run_at: Option<UnixTime>,
}

/// A choice of failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureFilter {
    /// Only by this payer, in any case of letters.
    pub payer: Option<String>,
    /// Only of the HTTP request of this id.
    pub request_id: Option<String>,
    /// Only of this payment, by its id.
    pub payment_id: Option<String>,
}

/// The rows of one page: each may have some KiB of a trap's text.
const PAGE_ROWS: u32 = 100;

impl LedgerReader {
    /// Reads the payments of a choice that were given back because their plugin failed, before the failure of this number,
    /// the newest first, at most so many. The ledger keeps the newest ten thousand. They are read page by page, and no
    /// transaction is open between two pages.
    pub fn failures_before(
        &self,
        number: u64,
        filter: FailureFilter,
        limit: u32,
    ) -> impl Iterator<Item = Result<FailedPayment, ReportError>> + '_ {
        FailurePages { reader: self, filter, before: number, left: limit, page: Vec::new().into_iter() }
    }

    /// Reads the failures of the choice before this number, at most so many.
    fn page(&self, filter: &FailureFilter, before: u64, size: u32) -> Result<Vec<FailedPayment>, ReportError> {
        let FailureFilter { payer, request_id, payment_id } = filter;
        let mut statement = self.connection().prepare_cached(
            "SELECT id, payment_id, network, asset, payer, amount, testnet, endpoint, plugin, reason, at, request_id,
                claimed_at, run_at FROM failure
             WHERE id < ?1 AND (?3 IS NULL OR lower(payer) = lower(?3)) AND (?4 IS NULL OR request_id = ?4)
                AND (?5 IS NULL OR payment_id = ?5)
             ORDER BY id DESC LIMIT ?2",
        )?;
        let mut rows = statement.query((to_sqlite(before), size, payer, request_id, payment_id))?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            page.push(read(row)?);
        }
        Ok(page)
    }
}

fn read(row: &Row<'_>) -> Result<FailedPayment, ReportError> {
    let payment_id: String = row.get("payment_id")?;
    Ok(FailedPayment {
        number: from_sqlite(row.get("id")?),
        network: network(&payment_id, &row.get::<_, String>("network")?)?,
        asset: row.get("asset")?,
        payer: row.get("payer")?,
        amount: amount(&payment_id, &row.get::<_, String>("amount")?)?,
        testnet: row.get("testnet")?,
        endpoint: row.get("endpoint")?,
        plugin: row.get("plugin")?,
        reason: row.get("reason")?,
        at: UnixTime(from_sqlite(row.get("at")?)),
        request_id: row.get("request_id")?,
        claimed_at: time(row, "claimed_at")?,
        run_at: time(row, "run_at")?,
        payment_id,
    })
}

/// Failures that are read in pages.
struct FailurePages<'r> {
    reader: &'r LedgerReader,
    filter: FailureFilter,
    /// The number of the last row that was read.
    before: u64,
    /// The rows that may follow.
    left: u32,
    page: std::vec::IntoIter<FailedPayment>,
}

impl Iterator for FailurePages<'_> {
    type Item = Result<FailedPayment, ReportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 && self.left > 0 {
            match self.reader.page(&self.filter, self.before, self.left.min(PAGE_ROWS)) {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        let Some(failure) = self.page.next() else {
            self.left = 0;
            return None;
        };
        (self.before, self.left) = (failure.number, self.left - 1);
        Some(Ok(failure))
    }
}
