//! Ledger against chain: what each says of the payments to one receiver, and where they differ.
//!
//! Pure: rows of the ledger come in, and the payments that the chain shows; whoever asks the chain is
//! elsewhere. A payment is its token, payer and nonce, so that a transaction that settles many is no
//! exception. The chain is the truth, the ledger is our memory of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy_primitives::{Address, B256};

use super::{Amount, Network, PaymentRow, PaymentState, ReportError, UnixTime, ZERO, plus};

/// Rows this much older than the period are read, too: a payment can be settled until its authorisation
/// ends, a day after the claim at most.
pub const LOOK_BACK: u64 = 2 * super::DAY;

/// A row that changed this recently may be at work right now, in seconds.
const AT_WORK: u64 = 600;

/// One spend on one chain: token, payer, nonce.
pub type Spend = (Address, Address, B256);

/// A payment as the chain shows it: an authorisation that was used, and its transfer right behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPayment {
    pub asset: Address,
    pub payer: Address,
    pub nonce: B256,
    pub pay_to: Address,
    pub amount: Amount,
    pub transaction: B256,
    pub when: Coverage,
}

impl ChainPayment {
    pub fn spend(&self) -> Spend {
        (self.asset, self.payer, self.nonce)
    }
}

/// What its time means for a payment that the ledger has no row for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Before the period: nothing.
    Before,
    /// Its row may have been pruned into the totals.
    Pruned,
    /// The ledger should have it.
    Within,
}

/// What became of a transaction that a row names and that does not show the row's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxOutcome {
    /// The node does not have it.
    Missing,
    Reverted,
    /// It did something else.
    Other,
}

/// A number of payments and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentSum {
    pub payments: u64,
    pub amount: Amount,
}

impl Default for PaymentSum {
    fn default() -> Self {
        Self { payments: 0, amount: ZERO }
    }
}

impl PaymentSum {
    pub fn add(&mut self, payments: u64, amount: Amount) -> Result<(), ReportError> {
        self.payments += payments;
        self.amount = plus(self.amount, amount)?;
        Ok(())
    }
}

/// Both sides of the payments in one asset to one receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub ledger: PaymentSum,
    pub chain: PaymentSum,
    /// Payments whose rows are pruned. The ledger's side is left out when the period does not cover all of it.
    pub pruned_ledger: Option<PaymentSum>,
    pub pruned_chain: PaymentSum,
    /// At work while the books were read.
    pub at_work: u64,
}

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The ledger says received, and names no transaction.
    NoTransaction,
    /// The node does not have the transaction.
    NotOnChain,
    /// The transaction was reverted.
    Reverted,
    /// The transaction succeeded, and does not hold this payment.
    NoTransfer,
    /// Another amount or another receiver.
    OtherTerms,
    /// The payment was made, by another transaction than the ledger says.
    OtherTransaction,
    /// Money was received for a payment that the ledger calls refused, unknown or unfinished.
    NotBooked,
    /// Money was received that the ledger knows nothing of.
    OutsideLedger,
    /// The totals of pruned rows are not what the chain shows.
    PrunedTotals,
    /// The row cannot be compared: it has no EVM address or nonce.
    Unreadable,
}

impl Difference {
    /// In reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoTransaction => "no transaction in the ledger",
            Self::NotOnChain => "transaction not on chain",
            Self::Reverted => "transaction reverted",
            Self::NoTransfer => "transaction without the transfer",
            Self::OtherTerms => "other amount or receiver",
            Self::OtherTransaction => "paid by another transaction",
            Self::NotBooked => "received, not booked",
            Self::OutsideLedger => "received outside the ledger",
            Self::PrunedTotals => "totals of pruned rows differ",
            Self::Unreadable => "row cannot be compared",
        }
    }
}

/// One difference, with what each side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerDifference {
    pub difference: Difference,
    pub network: Network,
    pub asset: String,
    pub pay_to: String,
    pub payer: Option<String>,
    pub nonce: Option<String>,
    pub payment_id: Option<String>,
    pub state: Option<PaymentState>,
    pub ledger_amount: Option<Amount>,
    pub chain_amount: Option<Amount>,
    pub ledger_transaction: Option<String>,
    pub chain_transaction: Option<B256>,
}

/// What is compared on one network.
#[derive(Clone, Debug)]
pub struct LedgerSide {
    pub network: Network,
    pub since: UnixTime,
    pub now: UnixTime,
    /// Of this network, from [`LOOK_BACK`] before `since` on.
    pub rows: Vec<PaymentRow>,
    /// Token and receiver with what its pruned rows earned, if `since` covers all of them.
    pub pruned: Vec<((Address, Address), PaymentSum)>,
}

/// Both sides, by token and receiver, and the differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub sides: BTreeMap<(Address, Address), Totals>,
    pub findings: Vec<LedgerDifference>,
}

impl LedgerSide {
    /// Rows whose payment is not among those seen, with their transaction: it should be looked up.
    pub fn unseen(&self, seen: &[ChainPayment]) -> Vec<(Spend, Address, B256)> {
        let seen: HashSet<Spend> = seen.iter().map(ChainPayment::spend).collect();
        let due = self.rows.iter().filter(|row| row.received() && row.created_at >= self.since);
        due.filter_map(|row| {
            let spend = spend(row).filter(|spend| !seen.contains(spend))?;
            Some((spend, row.pay_to.parse().ok()?, transaction(row)?))
        })
        .collect()
    }

    /// Compares. `fates` has the transactions of [`LedgerSide::unseen`] that do not hold their payment.
    pub fn compare(&self, seen: &[ChainPayment], fates: &HashMap<B256, TxOutcome>) -> Result<Comparison, ReportError> {
        let mut result = Comparison::default();
        let by_spend: HashMap<Spend, &ChainPayment> = seen.iter().map(|seen| (seen.spend(), seen)).collect();
        let mut matched: HashSet<Spend> = HashSet::new();
        for row in &self.rows {
            let (Some(spend), Ok(pay_to)) = (spend(row), row.pay_to.parse::<Address>()) else {
                if row.received() && row.created_at >= self.since {
                    result.findings.push(self.finding(Difference::Unreadable, Some(row), None));
                }
                continue;
            };
            let found = by_spend.get(&spend).copied();
            matched.insert(spend);
            if row.created_at < self.since {
                continue;
            }
            let group = (spend.0, pay_to);
            match found {
                Some(seen) if row.received() => {
                    result.sides.entry(group).or_default().ledger.add(1, row.amount)?;
                    result.sides.entry((seen.asset, seen.pay_to)).or_default().chain.add(1, seen.amount)?;
                    let difference = if seen.pay_to != pay_to || seen.amount != row.amount {
                        Difference::OtherTerms
                    } else if transaction(row) != Some(seen.transaction) {
                        Difference::OtherTransaction
                    } else {
                        continue;
                    };
                    result.findings.push(self.finding(difference, Some(row), Some(seen)));
                }
                None if row.received() => {
                    result.sides.entry(group).or_default().ledger.add(1, row.amount)?;
                    let difference = match transaction(row).map(|hash| fates.get(&hash)) {
                        None => Difference::NoTransaction,
                        Some(Some(TxOutcome::Reverted)) => Difference::Reverted,
                        Some(Some(TxOutcome::Other)) => Difference::NoTransfer,
                        Some(Some(TxOutcome::Missing) | None) => Difference::NotOnChain,
                    };
                    result.findings.push(self.finding(difference, Some(row), None));
                }
                Some(seen) => {
                    let over = matches!(row.state, PaymentState::Refused | PaymentState::Unknown);
                    let sides = result.sides.entry((seen.asset, seen.pay_to)).or_default();
                    if !over && row.updated_at.plus(AT_WORK) > self.now {
                        sides.at_work += 1;
                        continue;
                    }
                    sides.chain.add(1, seen.amount)?;
                    result.findings.push(self.finding(Difference::NotBooked, Some(row), Some(seen)));
                }
                None => {}
            }
        }
        for seen in seen.iter().filter(|seen| !matched.contains(&seen.spend())) {
            let group = (seen.asset, seen.pay_to);
            match seen.when {
                Coverage::Before => {}
                Coverage::Pruned => result.sides.entry(group).or_default().pruned_chain.add(1, seen.amount)?,
                Coverage::Within => {
                    result.sides.entry(group).or_default().chain.add(1, seen.amount)?;
                    result.findings.push(self.finding(Difference::OutsideLedger, None, Some(seen)));
                }
            }
        }
        for ((asset, pay_to), totals) in &self.pruned {
            let sides = result.sides.entry((*asset, *pay_to)).or_default();
            sides.pruned_ledger = Some(*totals);
            if *totals != sides.pruned_chain {
                result.findings.push(LedgerDifference {
                    asset: asset.to_string(),
                    pay_to: pay_to.to_string(),
                    ledger_amount: Some(totals.amount),
                    chain_amount: Some(sides.pruned_chain.amount),
                    ..self.finding(Difference::PrunedTotals, None, None)
                });
            }
        }
        Ok(result)
    }

    fn finding(
        &self,
        difference: Difference,
        row: Option<&PaymentRow>,
        seen: Option<&ChainPayment>,
    ) -> LedgerDifference {
        let either = |of_row: fn(&PaymentRow) -> &String, of_seen: fn(&ChainPayment) -> String| {
            row.map(|row| of_row(row).clone()).or_else(|| seen.map(of_seen))
        };
        LedgerDifference {
            difference,
            network: self.network.clone(),
            asset: either(|row| &row.asset, |seen| seen.asset.to_string()).unwrap_or_default(),
            pay_to: either(|row| &row.pay_to, |seen| seen.pay_to.to_string()).unwrap_or_default(),
            payer: either(|row| &row.payer, |seen| seen.payer.to_string()),
            nonce: either(|row| &row.nonce, |seen| seen.nonce.to_string()),
            payment_id: row.map(|row| row.payment_id.clone()),
            state: row.map(|row| row.state),
            ledger_amount: row.map(|row| row.amount),
            chain_amount: seen.map(|seen| seen.amount),
            ledger_transaction: row.and_then(|row| row.transaction.clone()),
            chain_transaction: seen.map(|seen| seen.transaction),
        }
    }
}

fn spend(row: &PaymentRow) -> Option<Spend> {
    Some((row.asset.parse().ok()?, row.payer.parse().ok()?, row.nonce.parse().ok()?))
}

fn transaction(row: &PaymentRow) -> Option<B256> {
    row.transaction.as_deref()?.parse().ok()
}
