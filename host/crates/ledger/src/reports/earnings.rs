//! Sums of the money that was received.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use rusqlite::{Connection, Row, params};

use super::ReportError;
use super::row::{self, RECEIVED};
use crate::DAY;
use crate::number::{from_sqlite, to_sqlite};

/// The property that groups earnings, besides network and asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    Day,
    Endpoint,
    Plugin,
    Asset,
    Payer,
}

/// One group of earnings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKey {
    /// Every payment in the asset.
    All,
    /// Days since 1970, in UTC.
    Day(u64),
    /// An endpoint, a plugin or a payer.
    Name(String),
    /// Payments whose rows are pruned: their payers are forgotten.
    Pruned,
}

/// The worth of received money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MoneyKind {
    /// Money that was earned.
    Revenue,
    /// Money that moved from an address to itself, which is no revenue. Totals of pruned rows count it as revenue,
    /// because they do not know the payer.
    SelfPaid,
    /// Money on a test network, which is worth nothing.
    Testnet,
}

/// The earnings of one group in one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earnings {
    pub kind: MoneyKind,
    pub key: GroupKey,
    pub network: Network,
    pub asset: String,
    pub payments: u64,
    pub amount: Amount,
    /// The payments of these whose money went back to their payers.
    pub refunds: u64,
    /// Their sum, which `amount` contains.
    pub refunded: Amount,
}

impl Earnings {
    /// The amount less the refunds.
    pub fn net(&self) -> Amount {
        Amount(self.amount.0.saturating_sub(self.refunded.0))
    }
}

/// The earnings of pruned rows on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedTotal {
    /// The day on which the rows were last changed, in days since 1970.
    pub day: u64,
    pub network: Network,
    pub asset: String,
    pub pay_to: String,
    pub plugin: String,
    pub endpoint: String,
    pub testnet: bool,
    pub payments: u64,
    pub amount: Amount,
    /// The payments of these whose money went back to their payers, and their sum.
    pub refunds: u64,
    pub refunded: Amount,
}

/// See [`super::LedgerReader::earned`].
pub(super) fn earned(
    connection: &Connection,
    most: usize,
    by: GroupBy,
    since: Option<UnixTime>,
    until: Option<UnixTime>,
) -> Result<Vec<Earnings>, ReportError> {
    let mut sums = Sums { most, groups: BTreeMap::new() };
    let mut statement = connection.prepare(&format!(
        "SELECT payment_id, updated_at, endpoint, plugin, payer, pay_to, network, asset, testnet, amount,
            state = 'refunded' FROM payment WHERE {RECEIVED} AND updated_at >= ?1 AND updated_at < ?2"
    ))?;
    let (from, to) = (since.map_or(0, |time| time.0), until.map_or(u64::MAX, |time| time.0));
    let mut rows = statement.query(params![to_sqlite(from), to_sqlite(to)])?;
    while let Some(row) = rows.next()? {
        let payment: String = row.get(0)?;
        let (payer, pay_to): (String, String) = (row.get(4)?, row.get(5)?);
        let kind = match row.get(8)? {
            true => MoneyKind::Testnet,
            false if payer.eq_ignore_ascii_case(&pay_to) => MoneyKind::SelfPaid,
            false => MoneyKind::Revenue,
        };
        let key = match by {
            GroupBy::Day => GroupKey::Day(from_sqlite(row.get(1)?) / DAY),
            GroupBy::Endpoint => GroupKey::Name(row.get(2)?),
            GroupBy::Plugin => GroupKey::Name(row.get(3)?),
            GroupBy::Payer => GroupKey::Name(payer),
            GroupBy::Asset => GroupKey::All,
        };
        let amount = row::amount(&payment, &row.get::<_, String>(9)?)?;
        let network = row::network(&payment, &row.get::<_, String>(6)?)?;
        let back = if row.get(10)? { (1, amount) } else { (0, ZERO) };
        sums.add((kind, key, network, row.get(7)?), (1, amount), back)?;
    }
    // Days that begin in the period.
    let mut statement = connection.prepare(&format!("{PRUNED} WHERE day >= ?1 AND day < ?2 ORDER BY day"))?;
    let mut rows = statement.query(params![to_sqlite(from.div_ceil(DAY)), to_sqlite(to.div_ceil(DAY))])?;
    while let Some(row) = rows.next()? {
        let pruned = read_pruned(row)?;
        let kind = if pruned.testnet { MoneyKind::Testnet } else { MoneyKind::Revenue };
        let key = match by {
            GroupBy::Day => GroupKey::Day(pruned.day),
            GroupBy::Endpoint => GroupKey::Name(pruned.endpoint),
            GroupBy::Plugin => GroupKey::Name(pruned.plugin),
            GroupBy::Payer => GroupKey::Pruned,
            GroupBy::Asset => GroupKey::All,
        };
        let (received, back) = ((pruned.payments, pruned.amount), (pruned.refunds, pruned.refunded));
        sums.add((kind, key, pruned.network, pruned.asset), received, back)?;
    }
    Ok(sums.into_earnings())
}

/// See [`super::LedgerReader::pruned`].
pub(super) fn pruned(connection: &Connection) -> Result<Vec<PrunedTotal>, ReportError> {
    let mut statement = connection.prepare(&format!("{PRUNED} ORDER BY day"))?;
    let rows = statement.query_and_then([], read_pruned)?;
    rows.collect()
}

/// The columns that [`read_pruned`] reads.
const PRUNED: &str = "SELECT day, network, asset, pay_to, plugin, endpoint, total.testnet, payments, total.amount,
        coalesce(refunds, 0), coalesce(refund_total.amount, '0')
    FROM total LEFT JOIN refund_total USING (day, network, asset, pay_to, plugin, endpoint)";

fn read_pruned(row: &Row<'_>) -> Result<PrunedTotal, ReportError> {
    let day = from_sqlite(row.get(0)?);
    let named = format!("of the totals of day {day}");
    Ok(PrunedTotal {
        day,
        network: row::network(&named, &row.get::<_, String>(1)?)?,
        asset: row.get(2)?,
        pay_to: row.get(3)?,
        plugin: row.get(4)?,
        endpoint: row.get(5)?,
        testnet: row.get(6)?,
        payments: from_sqlite(row.get(7)?),
        amount: row::amount(&named, &row.get::<_, String>(8)?)?,
        refunds: from_sqlite(row.get(9)?),
        refunded: row::amount(&named, &row.get::<_, String>(10)?)?,
    })
}

/// A group within a network and an asset.
type EarningsKey = (MoneyKind, GroupKey, Network, String);

/// Payments and refunds, each with their sum.
#[derive(Clone, Copy)]
struct Sum {
    received: (u64, Amount),
    back: (u64, Amount),
}

/// The sums, by group.
struct Sums {
    /// The most groups.
    most: usize,
    groups: BTreeMap<EarningsKey, Sum>,
}

impl Sums {
    fn add(&mut self, key: EarningsKey, received: (u64, Amount), back: (u64, Amount)) -> Result<(), ReportError> {
        let sum = self.groups.entry(key).or_insert(Sum { received: (0, ZERO), back: (0, ZERO) });
        for (sum, more) in [(&mut sum.received, received), (&mut sum.back, back)] {
            *sum = (sum.0 + more.0, add(sum.1, more.1)?);
        }
        if self.groups.len() > self.most { Err(ReportError::TooMany(self.most)) } else { Ok(()) }
    }

    fn into_earnings(self) -> Vec<Earnings> {
        let earnings = |((kind, key, network, asset), Sum { received, back })| Earnings {
            kind,
            key,
            network,
            asset,
            payments: received.0,
            amount: received.1,
            refunds: back.0,
            refunded: back.1,
        };
        self.groups.into_iter().map(earnings).collect()
    }
}

pub(super) const ZERO: Amount = Amount(U256::ZERO);

/// Adds two amounts. [`ReportError::Overflow`] above 256 bits.
pub(super) fn add(one: Amount, other: Amount) -> Result<Amount, ReportError> {
    one.0.checked_add(other.0).map(Amount).ok_or(ReportError::Overflow)
}
