//! Payments that were given back because their plugin failed, as reports show them.

use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};

use super::row::{amount, network};
use super::{LedgerReader, ReportError};
use crate::number::from_sqlite;

/// A payment that was given back: nothing was charged, and it can be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedPayment {
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
}

impl LedgerReader {
    /// Lists the payments that were given back because their plugin failed, the newest first, at most so many. The
    /// ledger keeps the newest ten thousand.
    pub fn failures(&self, limit: u32) -> Result<Vec<FailedPayment>, ReportError> {
        let mut statement = self.connection().prepare(
            "SELECT payment_id, network, asset, payer, amount, testnet, endpoint, plugin, reason, at FROM failure
             ORDER BY id DESC LIMIT ?1",
        )?;
        let mut rows = statement.query([limit])?;
        let mut failures = Vec::new();
        while let Some(row) = rows.next()? {
            let payment_id: String = row.get(0)?;
            failures.push(FailedPayment {
                network: network(&payment_id, &row.get::<_, String>(1)?)?,
                asset: row.get(2)?,
                payer: row.get(3)?,
                amount: amount(&payment_id, &row.get::<_, String>(4)?)?,
                testnet: row.get(5)?,
                endpoint: row.get(6)?,
                plugin: row.get(7)?,
                reason: row.get(8)?,
                at: UnixTime(from_sqlite(row.get(9)?)),
                payment_id,
            });
        }
        Ok(failures)
    }
}
