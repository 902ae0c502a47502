//! Sums of payments on both sides of a comparison.

use alloy_primitives::Address;
use coinslot_x402::price::Amount;

use crate::reports::ReportError;
use crate::reports::earnings::{ZERO, add};

/// A token and a receiver.
pub type TokenReceiver = (Address, Address);

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
        self.amount = add(self.amount, amount)?;
        Ok(())
    }
}

/// The sums of both sides, for the payments in one token to one receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub ledger: PaymentSum,
    pub chain: PaymentSum,
    /// The ledger's totals of pruned rows, if the period covers all of them.
    pub pruned_ledger: Option<PaymentSum>,
    /// Payments without a row from days whose rows are pruned.
    pub pruned_chain: PaymentSum,
    /// Payments that were at work while the ledger was read. They count on neither side.
    pub at_work: u64,
}
