//! Compares both sides.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy_primitives::{Address, B256};
use coinslot_x402::Reason;

use super::side::{spend, transaction};
use super::{
    ChainPayment, Coverage, Difference, DifferenceKind, LedgerSide, PaymentSum, Spend, TokenReceiver, Totals, TxOutcome,
};
use crate::PaymentState;
use crate::reports::{PaymentRow, RefundRow, ReportError};

/// A row that changed this recently, in seconds, may be at work right now.
const AT_WORK: u64 = 600;

/// The result of a comparison on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub totals: BTreeMap<TokenReceiver, Totals>,
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Compares the ledger with the payments that the chain shows. `outcomes` has the transactions of
    /// [`LedgerSide::unseen`] that do not hold their payment. `not_made` has the refunds of [`LedgerSide::refunds`], by
    /// their payments, whose transaction does not make them.
    pub fn of(
        ledger: &LedgerSide,
        on_chain: &[ChainPayment],
        outcomes: &HashMap<B256, TxOutcome>,
        not_made: &HashSet<String>,
    ) -> Result<Self, ReportError> {
        let mut comparison = Self::default();
        let by_spend: HashMap<Spend, &ChainPayment> =
            on_chain.iter().map(|payment| (payment.spend(), payment)).collect();
        let mut matched: HashSet<Spend> = HashSet::new();
        for row in &ledger.rows {
            let (Some(spend), Ok(pay_to)) = (spend(row), row.pay_to.parse::<Address>()) else {
                if row.received() && row.created_at >= ledger.since {
                    comparison.differs(DifferenceKind::Unreadable, ledger, Some(row), None);
                }
                continue;
            };
            // A row from before the period explains a payment in it, and is not compared itself.
            matched.insert(spend);
            if row.created_at < ledger.since {
                continue;
            }
            let group = (spend.0, pay_to);
            match by_spend.get(&spend) {
                Some(payment) if row.received() => comparison.received(ledger, row, group, payment)?,
                None if row.received() => comparison.not_found(ledger, row, group, outcomes)?,
                Some(payment) => comparison.not_booked(ledger, row, payment)?,
                None => {}
            }
        }
        for payment in on_chain.iter().filter(|payment| !matched.contains(&payment.spend())) {
            comparison.without_row(ledger, payment)?;
        }
        for refund in ledger.refunds.iter().filter(|refund| not_made.contains(&refund.payment_id)) {
            comparison.not_paid_back(ledger, refund);
        }
        for (group, totals) in &ledger.pruned {
            comparison.pruned(ledger, *group, *totals);
        }
        Ok(comparison)
    }

    /// Both sides have the payment.
    fn received(
        &mut self,
        ledger: &LedgerSide,
        row: &PaymentRow,
        group: TokenReceiver,
        payment: &ChainPayment,
    ) -> Result<(), ReportError> {
        self.totals_of(group).ledger.add(1, row.amount)?;
        self.totals_of((payment.asset, payment.pay_to)).chain.add(1, payment.amount)?;
        if payment.pay_to != group.1 || payment.amount != row.amount {
            self.differs(DifferenceKind::OtherTerms, ledger, Some(row), Some(payment));
        } else if transaction(row) != Some(payment.transaction) {
            self.differs(DifferenceKind::OtherTransaction, ledger, Some(row), Some(payment));
        }
        Ok(())
    }

    /// The ledger says that the money was received, and the chain does not show the payment.
    fn not_found(
        &mut self,
        ledger: &LedgerSide,
        row: &PaymentRow,
        group: TokenReceiver,
        outcomes: &HashMap<B256, TxOutcome>,
    ) -> Result<(), ReportError> {
        self.totals_of(group).ledger.add(1, row.amount)?;
        let kind = match transaction(row).map(|hash| outcomes.get(&hash)) {
            None => DifferenceKind::NoTransaction,
            Some(Some(TxOutcome::Reverted)) => DifferenceKind::Reverted,
            Some(Some(TxOutcome::Other)) => DifferenceKind::NoTransfer,
            Some(Some(TxOutcome::Missing) | None) => DifferenceKind::NotOnChain,
        };
        self.differs(kind, ledger, Some(row), None);
        Ok(())
    }

    /// The chain shows a payment that its row does not call received. It is no difference while the payment is at work.
    fn not_booked(&mut self, ledger: &LedgerSide, row: &PaymentRow, payment: &ChainPayment) -> Result<(), ReportError> {
        let over = matches!(row.state, PaymentState::Refused | PaymentState::Unknown);
        let totals = self.totals_of((payment.asset, payment.pay_to));
        if !over && row.updated_at.plus(AT_WORK) > ledger.now {
            totals.at_work += 1;
            return Ok(());
        }
        totals.chain.add(1, payment.amount)?;
        // Presented here, and settled for another host with this receiver: the money is for a sale of that one.
        let is_elsewhere =
            row.state == PaymentState::Refused && row.reason.as_deref() == Some(Reason::DuplicateSettlement.as_str());
        let kind = if is_elsewhere { DifferenceKind::OutsideLedger } else { DifferenceKind::NotBooked };
        self.differs(kind, ledger, Some(row), Some(payment));
        Ok(())
    }

    /// The chain shows a payment that has no row.
    fn without_row(&mut self, ledger: &LedgerSide, payment: &ChainPayment) -> Result<(), ReportError> {
        match payment.coverage {
            Coverage::Outside => {}
            Coverage::RowOrTotal => {
                self.totals_of((payment.asset, payment.pay_to)).pruned_chain.add(1, payment.amount)?;
            }
            Coverage::Row => {
                self.totals_of((payment.asset, payment.pay_to)).chain.add(1, payment.amount)?;
                self.differs(DifferenceKind::OutsideLedger, ledger, None, Some(payment));
            }
        }
        Ok(())
    }

    /// The ledger says that a payment was paid back, and the chain does not.
    fn not_paid_back(&mut self, ledger: &LedgerSide, refund: &RefundRow) {
        self.differences.push(Difference {
            asset: refund.asset.clone(),
            pay_to: refund.payer.clone(),
            payer: Some(refund.sender.clone()),
            payment_id: Some(refund.payment_id.clone()),
            state: Some(PaymentState::Refunded),
            ledger_amount: Some(refund.amount),
            ledger_transaction: refund.transaction.clone(),
            ..difference(DifferenceKind::RefundNotMade, ledger, None, None)
        });
    }

    /// Compares the totals of pruned rows, after every payment without a row is counted.
    fn pruned(&mut self, ledger: &LedgerSide, group: TokenReceiver, totals: PaymentSum) {
        let sides = self.totals_of(group);
        sides.pruned_ledger = Some(totals);
        let on_chain = sides.pruned_chain;
        if totals != on_chain {
            self.differences.push(Difference {
                asset: group.0.to_string(),
                pay_to: group.1.to_string(),
                ledger_amount: Some(totals.amount),
                chain_amount: Some(on_chain.amount),
                ..difference(DifferenceKind::PrunedTotals, ledger, None, None)
            });
        }
    }

    fn totals_of(&mut self, group: TokenReceiver) -> &mut Totals {
        self.totals.entry(group).or_default()
    }

    fn differs(
        &mut self,
        kind: DifferenceKind,
        ledger: &LedgerSide,
        row: Option<&PaymentRow>,
        payment: Option<&ChainPayment>,
    ) {
        self.differences.push(difference(kind, ledger, row, payment));
    }
}

/// A difference, described by the row where there is one, else by the payment on chain.
fn difference(
    kind: DifferenceKind,
    ledger: &LedgerSide,
    row: Option<&PaymentRow>,
    payment: Option<&ChainPayment>,
) -> Difference {
    let either = |of_row: fn(&PaymentRow) -> &String, of_payment: fn(&ChainPayment) -> String| {
        row.map(|row| of_row(row).clone()).or_else(|| payment.map(of_payment))
    };
    Difference {
        kind,
        network: ledger.network.clone(),
        asset: either(|row| &row.asset, |payment| payment.asset.to_string()).unwrap_or_default(),
        pay_to: either(|row| &row.pay_to, |payment| payment.pay_to.to_string()).unwrap_or_default(),
        payer: either(|row| &row.payer, |payment| payment.payer.to_string()),
        nonce: either(|row| &row.nonce, |payment| payment.nonce.to_string()),
        payment_id: row.map(|row| row.payment_id.clone()),
        state: row.map(|row| row.state),
        ledger_amount: row.map(|row| row.amount),
        chain_amount: payment.map(|payment| payment.amount),
        ledger_transaction: row.and_then(|row| row.transaction.clone()),
        chain_transaction: payment.map(|payment| payment.transaction),
    }
}
