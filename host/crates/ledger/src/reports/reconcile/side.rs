//! Reads the ledger's side of a comparison: receivers, rows of the period, and totals of pruned rows.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use alloy_primitives::{Address, B256};
use coinslot_x402::{Network, UnixTime};

use super::{ChainPayment, PaymentSum, Spend, TokenReceiver};
use crate::DAY;
use crate::reports::{Filter, LedgerReader, PaymentRow, PrunedTotal, RefundRow, RefundState, ReportError, row};

/// Rows this much older than the period are read, too, in seconds: a payment can be settled until its authorisation
/// ends, a day after the claim at most.
pub const LOOK_BACK: u64 = 2 * DAY;

/// The greatest difference between a chain's clock and ours, in seconds. The chain is read from so much earlier on, to
/// find a payment whose row is of the period.
pub const SKEW: u64 = 600;

/// The receivers on one network.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The receivers of each token.
    pub receivers: BTreeMap<Address, BTreeSet<Address>>,
    /// True if any of the money is test money.
    pub testnet: bool,
}

/// The receivers on every network.
#[derive(Clone, Debug, Default)]
pub struct Scopes(pub BTreeMap<Network, Scope>);

impl Scopes {
    /// Adds a receiver. [`ReportError::NotEvm`] if the addresses or the network are not those of an EVM chain.
    pub fn add(&mut self, network: &Network, asset: &str, pay_to: &str, testnet: bool) -> Result<(), ReportError> {
        let (Some(_), Ok(token), Ok(receiver)) = (network.chain_id(), asset.parse(), pay_to.parse()) else {
            return Err(ReportError::NotEvm {
                network: network.to_string(),
                asset: asset.to_owned(),
                pay_to: pay_to.to_owned(),
            });
        };
        let scope = self.0.entry(network.clone()).or_default();
        scope.receivers.entry(token).or_default().insert(receiver);
        scope.testnet |= testnet;
        Ok(())
    }

    /// Adds every receiver of the ledger's rows and totals.
    pub fn add_ledger(&mut self, reader: &LedgerReader) -> Result<(), ReportError> {
        for (network, asset, pay_to, testnet) in reader.receivers()? {
            self.add(&row::network("of a receiver", &network)?, &asset, &pay_to, testnet)?;
        }
        for total in reader.pruned()? {
            self.add(&total.network, &total.asset, &total.pay_to, total.testnet)?;
        }
        Ok(())
    }
}

/// The ledger's side of a comparison on one network.
#[derive(Clone, Debug)]
pub struct LedgerSide {
    pub network: Network,
    /// The beginning of the period.
    pub since: UnixTime,
    pub now: UnixTime,
    /// The rows of this network, from [`LOOK_BACK`] before `since` on.
    pub rows: Vec<PaymentRow>,
    /// The refunds that were paid, from the beginning of the period on.
    pub refunds: Vec<RefundRow>,
    /// The earnings of pruned rows by token and receiver, if the period covers all of them.
    pub pruned: BTreeMap<TokenReceiver, PaymentSum>,
    /// The time until which rows may have been pruned, if it is later than `since`.
    pub pruned_until: Option<UnixTime>,
}

impl LedgerSide {
    /// The period that is compared unless another is asked for: from the day after the last pruned one, or from the
    /// oldest payment. `None` for an empty ledger.
    pub fn default_period(reader: &LedgerReader) -> Result<Option<UnixTime>, ReportError> {
        match reader.pruned()?.last() {
            Some(total) => Ok(Some(end_of(total))),
            None => reader.oldest(),
        }
    }

    /// Reads the side of every network from one state of the ledger. A network without rows and totals is missing.
    ///
    /// The rows since the beginning of the period are in memory together, each about one KiB: a later beginning needs
    /// less.
    pub fn read_all(
        reader: &LedgerReader,
        since: UnixTime,
        now: UnixTime,
    ) -> Result<BTreeMap<Network, Self>, ReportError> {
        reader.in_one_state(|| Self::read_state(reader, since, now))
    }

    fn read_state(
        reader: &LedgerReader,
        since: UnixTime,
        now: UnixTime,
    ) -> Result<BTreeMap<Network, Self>, ReportError> {
        let mut sides: BTreeMap<Network, Self> = BTreeMap::new();
        let filter = Filter { since: Some(UnixTime(since.0.saturating_sub(LOOK_BACK))), ..Filter::default() };
        for row in reader.select(&filter)?.rows()? {
            let row = row?;
            let empty = || Self::empty(row.network.clone(), since, now);
            sides.entry(row.network.clone()).or_insert_with(empty).rows.push(row);
        }
        for refund in reader.refunds(since, u32::MAX)?.into_iter().filter(|one| one.state == RefundState::Paid) {
            let empty = || Self::empty(refund.network.clone(), since, now);
            sides.entry(refund.network.clone()).or_insert_with(empty).refunds.push(refund);
        }
        let mut totals: BTreeMap<Network, Vec<PrunedTotal>> = BTreeMap::new();
        for total in reader.pruned()? {
            totals.entry(total.network.clone()).or_default().push(total);
        }
        for (network, totals) in totals {
            let side = sides.entry(network.clone()).or_insert_with(|| Self::empty(network, since, now));
            side.pruned_until = totals.last().map(end_of).filter(|until| *until > since);
            // Totals are kept by the day of a row's last change, and the chain knows another time. They can be compared
            // only if the period surely begins before all of them.
            if totals.first().is_some_and(|total| total.day * DAY >= since.0 + LOOK_BACK) {
                side.pruned = sums(&totals)?;
            }
        }
        Ok(sides)
    }

    /// A side without rows and totals.
    pub fn empty(network: Network, since: UnixTime, now: UnixTime) -> Self {
        Self { network, since, now, rows: Vec::new(), refunds: Vec::new(), pruned: BTreeMap::new(), pruned_until: None }
    }

    /// Lists the rows whose money was received and whose payment is not among those on chain: spend, receiver, and the
    /// transaction that the row names, which should be looked up.
    pub fn unseen(&self, on_chain: &[ChainPayment]) -> Vec<(Spend, Address, B256)> {
        let found: HashSet<Spend> = on_chain.iter().map(ChainPayment::spend).collect();
        let due = self.rows.iter().filter(|row| row.received() && row.created_at >= self.since);
        due.filter_map(|row| {
            let spend = spend(row).filter(|spend| !found.contains(spend))?;
            Some((spend, row.pay_to.parse().ok()?, transaction(row)?))
        })
        .collect()
    }
}

/// The time at which the day of a total is over for the chain, too.
fn end_of(total: &PrunedTotal) -> UnixTime {
    UnixTime((total.day + 1) * DAY + SKEW)
}

fn sums(totals: &[PrunedTotal]) -> Result<BTreeMap<TokenReceiver, PaymentSum>, ReportError> {
    let mut sums: BTreeMap<TokenReceiver, PaymentSum> = BTreeMap::new();
    for total in totals {
        if let (Ok(asset), Ok(pay_to)) = (total.asset.parse(), total.pay_to.parse()) {
            sums.entry((asset, pay_to)).or_default().add(total.payments, total.amount)?;
        }
    }
    Ok(sums)
}

/// The spend of a row; `None` if it has no EVM addresses or nonce.
pub(super) fn spend(row: &PaymentRow) -> Option<Spend> {
    Some((row.asset.parse().ok()?, row.payer.parse().ok()?, row.nonce.parse().ok()?))
}

/// The transaction that a row names.
pub(super) fn transaction(row: &PaymentRow) -> Option<B256> {
    row.transaction.as_deref()?.parse().ok()
}
