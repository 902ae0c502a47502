//! The differences that a comparison finds.

use alloy_primitives::B256;
use coinslot_x402::Network;
use coinslot_x402::price::Amount;

use crate::PaymentState;

/// The kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// The ledger says that the money was received, and names no transaction.
    NoTransaction,
    /// The node does not have the transaction.
    NotOnChain,
    /// The transaction was reverted.
    Reverted,
    /// The transaction succeeded, and does not hold this payment.
    NoTransfer,
    /// The payment was made with another amount or to another receiver.
    OtherTerms,
    /// The payment was made, by another transaction than the ledger says.
    OtherTransaction,
    /// The money was received for a payment that the ledger calls refused, unknown or unfinished.
    NotBooked,
    /// The money was received for a payment that the ledger does not have, or that it knows as another host's.
    OutsideLedger,
    /// The ledger says that the money went back, and the chain does not show that.
    RefundNotMade,
    /// The totals of pruned rows are not those of the chain.
    PrunedTotals,
    /// The row cannot be compared: it has no EVM address or nonce.
    Unreadable,
}

impl DifferenceKind {
    /// The text in reports, which programs may rely on.
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
            Self::RefundNotMade => "refund not on chain",
            Self::PrunedTotals => "totals of pruned rows differ",
            Self::Unreadable => "row cannot be compared",
        }
    }
}

/// One difference, with what each side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub kind: DifferenceKind,
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
