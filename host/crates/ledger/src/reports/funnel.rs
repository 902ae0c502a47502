//! Sums up the funnel from the price to the payment, and lists the gas of refunds.

use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};

use super::{LedgerReader, ReportError};
use crate::DAY;
use crate::number::{from_sqlite, to_sqlite};

/// Requests or payments of one endpoint that came to the same end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunnelTotal {
    /// The money is worth nothing.
    pub testnet: bool,
    pub plugin: String,
    /// The method and the path template.
    pub endpoint: String,
    /// `request` or `payment`.
    pub subject: String,
    /// The end of a request (`challenged`, `refused`, ..), or the state that a payment came to, `claimed` at first.
    pub outcome: String,
    /// The code of the error that a request was answered with. Empty: there was none.
    pub code: String,
    pub number: u64,
}

/// The gas of a refund that has ended, or of all that ended on an old day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundFee {
    /// Days since 1970, in UTC.
    pub day: u64,
    pub network: Network,
    /// In wei.
    pub fee: Amount,
}

impl LedgerReader {
    /// Sums up what became of requests and payments. Days count whole: those that begin at a time or later.
    pub fn funnel(&self, since: Option<UnixTime>) -> Result<Vec<FunnelTotal>, ReportError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT testnet, plugin, endpoint, subject, outcome, code, sum(number) AS number FROM funnel_total
             WHERE day >= ?1 GROUP BY testnet, plugin, endpoint, subject, outcome, code",
        )?;
        let rows = statement.query_map([first_day(since)], |row| {
            Ok(FunnelTotal {
                testnet: row.get("testnet")?,
                plugin: row.get("plugin")?,
                endpoint: row.get("endpoint")?,
                subject: row.get("subject")?,
                outcome: row.get("outcome")?,
                code: row.get("code")?,
                number: from_sqlite(row.get("number")?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The first day of which anything is counted, in days since 1970. None: nothing was ever counted.
    pub fn funnel_begins(&self) -> Result<Option<u64>, ReportError> {
        let first: Option<i64> =
            self.connection().query_row("SELECT min(day) FROM funnel_total", [], |row| row.get(0))?;
        Ok(first.map(from_sqlite))
    }

    /// Lists the gas of refunds, also of those whose rows are pruned: of these the sum of a day.
    pub fn refund_fees(&self) -> Result<Vec<RefundFee>, ReportError> {
        let mut statement = self.connection().prepare_cached("SELECT day, network, fee FROM refund_fee ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut fees = Vec::new();
        while let Some(row) = rows.next()? {
            let (network, fee): (String, String) = (row.get("network")?, row.get("fee")?);
            fees.push(RefundFee {
                day: from_sqlite(row.get("day")?),
                network: super::row::network("(refund)", &network)?,
                fee: super::row::amount("(refund)", &fee)?,
            });
        }
        Ok(fees)
    }
}

/// The first day that begins at a time or later.
fn first_day(since: Option<UnixTime>) -> i64 {
    to_sqlite(since.map_or(0, |time| time.0.div_ceil(DAY)))
}
