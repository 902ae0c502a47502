//! Declares the reasons why money is not paid back.

use alloy::primitives::B256;
use coinslot_evm::TransferError;
use coinslot_ledger::{LedgerError, PaymentState};
use coinslot_x402::Network;

/// The reason why a refund has not begun. Nothing was sent, but for [`RefundError::Stopped`] and
/// [`RefundError::Ledger`], which do not know: a commit that is not confirmed may be on disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefundError {
    #[error("the ledger has no such payment: look at the id; or it was given back, or its row is pruned")]
    NoPayment,
    #[error("the payment is {}, and only an owed answer is paid back{}", state.as_str(), hint(*state))]
    NotOwed { state: PaymentState },
    #[error(
        "no node of {network} is configured, so nothing is paid back on it: name `rpc` in the table of its facilitator, and restart the host"
    )]
    NoNode { network: Network },
    #[error(
        "the decimals of {asset} on {network} are not known, so it has no budget: name the asset in an [[accept]] table, and restart the host"
    )]
    UnknownAsset { asset: String, network: Network },
    #[error(
        "daily_budget of [refunds] names no amount of {symbol}: add one, such as \"10 {symbol}\", and restart the host"
    )]
    NoBudget { symbol: String },
    #[error(
        "{wanted} more would exceed the budget: {spent} of {limit} were paid back in the last 24 hours, or are on their way"
    )]
    OverBudget { wanted: String, spent: String, limit: String },
    #[error(
        "the refund of payment {payment_id} is under way, and the wallet sends one at a time on each network: ask again in a \
         while"
    )]
    Busy { payment_id: String },
    #[error("the node of {network} answers too slowly, and nothing was begun: look at the node, and ask again")]
    SlowNode { network: Network },
    #[error("the wallet {wallet}: {error}")]
    Wallet { wallet: String, error: TransferError },
    #[error(
        "the wallet sent the payer the same amount since the payment, by transaction {transaction}, which the ledger does \
         not count as a refund: it may be this very refund, after a restore of a backup, or after a node that did not show \
         it. Look at it; if it was for something else, send the money by hand"
    )]
    PaidBefore { transaction: B256 },
    #[error("the node of {network} shows an old state of the wallet: ask again when it has caught up")]
    NodeBehind { network: Network },
    #[error("{0}")]
    Node(String),
    #[error("{0}: look at `coinslot owed refunds` before you ask again")]
    Ledger(String),
    #[error("the host stops: look at `coinslot owed refunds` before you ask again")]
    Stopped,
}

impl RefundError {
    /// True if the same question may be answered otherwise in a while, without anything that an operator does.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::SlowNode { .. }
            | Self::NodeBehind { .. }
            | Self::Node(_)
            | Self::Ledger(_)
            | Self::Stopped => true,
            Self::Wallet { error, .. } => matches!(
                error,
                TransferError::Busy { .. } | TransferError::NodeBehind { .. } | TransferError::Unreachable(_)
            ),
            Self::NoPayment
            | Self::NotOwed { .. }
            | Self::NoNode { .. }
            | Self::UnknownAsset { .. }
            | Self::NoBudget { .. }
            | Self::OverBudget { .. }
            | Self::PaidBefore { .. } => false,
        }
    }

    /// True if a refund of another payment would fail for the same reason.
    pub(super) fn is_of_the_wallet(&self) -> bool {
        match self {
            Self::Wallet { error, .. } => {
                !matches!(error, TransferError::Reverts(_) | TransferError::TokenBalance { .. })
            }
            Self::Busy { .. }
            | Self::SlowNode { .. }
            | Self::NodeBehind { .. }
            | Self::Node(_)
            | Self::Ledger(_)
            | Self::Stopped => true,
            Self::NoPayment
            | Self::NotOwed { .. }
            | Self::NoNode { .. }
            | Self::UnknownAsset { .. }
            | Self::NoBudget { .. }
            | Self::OverBudget { .. }
            | Self::PaidBefore { .. } => false,
        }
    }
}

impl From<LedgerError> for RefundError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error.to_string())
    }
}

/// The reason why a payment is not owed.
fn hint(state: PaymentState) -> &'static str {
    match state {
        PaymentState::Executing => ": its plugin is at work",
        PaymentState::Refunding => ": its money is on its way back",
        PaymentState::Refunded => ": its money went back already",
        PaymentState::Settled | PaymentState::Delivered => ": its answer was given",
        PaymentState::Refused => ": its money did not move",
        PaymentState::Reserved | PaymentState::Settling | PaymentState::Unknown => ": its end is not known yet",
        PaymentState::Owed => "",
    }
}
