//! The chain's side of a comparison.

use alloy_primitives::{Address, B256};
use coinslot_x402::price::Amount;

/// One spend on one chain: token, payer, nonce.
pub type Spend = (Address, Address, B256);

/// A payment as the chain shows it: an authorisation that was used, and its transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPayment {
    pub asset: Address,
    pub payer: Address,
    pub nonce: B256,
    pub pay_to: Address,
    pub amount: Amount,
    pub transaction: B256,
    pub coverage: Coverage,
}

impl ChainPayment {
    pub fn spend(&self) -> Spend {
        (self.asset, self.payer, self.nonce)
    }
}

/// The traces of a payment that the ledger should have, by the time of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Nothing: it is from before the period.
    Outside,
    /// A row, or a share in the totals of pruned rows.
    RowOrTotal,
    /// A row.
    Row,
}

impl Coverage {
    /// The coverage of a block. The period begins with the block `within`, and rows are certainly there from the block
    /// `unpruned` on.
    pub fn of(block: u64, within: u64, unpruned: u64) -> Self {
        match block {
            block if block < within => Self::Outside,
            block if block < unpruned => Self::RowOrTotal,
            _ => Self::Row,
        }
    }
}

/// The outcome of a transaction that a row names and that does not show the row's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxOutcome {
    /// The node does not have it.
    Missing,
    Reverted,
    /// It succeeded and did something else.
    Other,
}
