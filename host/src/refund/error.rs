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
         it. Look at it: if it was this refund, end the debt with `coinslot owed settle`; if it was for something else, \
         send the money by hand, and then end the debt"
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

/// The reason why a debt is not ended. Nothing was changed, but for [`SettleError::Ledger`], which does not know.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    #[error("the ledger has no such payment: look at the id; or it was given back, or its row is pruned")]
    NoPayment,
    #[error("the payment is {}, and only a debt is settled{}", state.as_str(), hint(*state))]
    NotOwed { state: PaymentState },
    #[error("no refund of the payment is under way: its answer is owed, and its payer may fetch it")]
    NothingUnderWay,
    #[error("`{written}` is no hash of a transaction: it begins with 0x and has 64 hexadecimal digits behind that")]
    NotAHash { written: String },
    #[error(
        "no node of {network} is configured, so nothing can be looked up on it: name `rpc` in the table of its facilitator, and restart the host"
    )]
    NoNode { network: Network },
    #[error(
        "the node does not know transaction {transaction}: look at the hash, and at the network, which is {network}"
    )]
    Unknown { transaction: B256, network: Network },
    #[error("transaction {transaction} is in no block that is deep enough: ask again in a while")]
    NotDeep { transaction: B256 },
    #[error("transaction {transaction} was reverted and moved nothing: send the money again")]
    Reverted { transaction: B256 },
    #[error(
        "transaction {transaction} is in block {block}, and the payment was settled in block {settled}: only a later block \
         can pay it back"
    )]
    Older { transaction: B256, block: u64, settled: u64 },
    #[error(
        "the node does not know the block in which the payment was settled (the ledger has {settlement}), so transaction \
         {transaction} counts only in a block of after {after}, when the payment could not be settled any more: name a \
         node that keeps old receipts"
    )]
    Unplaced { transaction: B256, settlement: String, after: String },
    #[error("transaction {transaction} moves nothing of {asset}: a debt is paid back in the asset of its payment")]
    OtherAsset { transaction: B256, asset: String },
    #[error("transaction {transaction} pays {receiver}, and the payer is {payer}: send the money to the payer")]
    OtherReceiver { transaction: B256, receiver: String, payer: String },
    #[error(
        "transaction {transaction} paid {moved} to the payer, and {owed} is owed: pay the whole debt by one transaction"
    )]
    TooLittle { transaction: B256, moved: String, owed: String },
    #[error(
        "transaction {transaction} paid {paid} to the payer, who sent {sent} in it: what is left does not reach the \
         {owed} that is owed"
    )]
    SentBack { transaction: B256, paid: String, sent: String, owed: String },
    #[error(
        "transaction {transaction} paid {moved} to the payer, from {sender}, which is no receiver and no wallet of this \
         host: if it paid this debt for you, say so with --sender-is-mine (`senderIsMine`)"
    )]
    ForeignSender { transaction: B256, moved: String, sender: String },
    #[error(
        "transaction {transaction} paid {moved} to the payer, of which {counted} count for payment {by} and others, and {owed} \
         is owed: name the transaction that paid this debt"
    )]
    Counted { transaction: String, by: String, moved: String, counted: String, owed: String },
    #[error(
        "the host signed transaction {transaction} for the refund of payment {payment_id}: settle that payment by it"
    )]
    SignedFor { transaction: String, payment_id: String },
    #[error(
        "a refund by the wallet {wallet} is under way, and no wallet of the configuration follows it: name the key of {wallet} \
         in [refunds], and restart the host"
    )]
    NoWallet { wallet: String },
    #[error(
        "the transaction of its refund may still get into a block: wait for it; or send another transaction from {wallet} with \
         the nonce {nonce}, and the host sees that the refund cannot be made any more"
    )]
    MayStillBeMade { nonce: u64, wallet: String },
    #[error(
        "the host is about to end its refund by what the chain shows: look at `coinslot owed refunds` in some minutes"
    )]
    Undecided,
    #[error(
        "the transaction of its refund succeeded, and only the logs of the token are silent: look whether the payer has the \
         money, and ask again in {minutes} min"
    )]
    TooEarly { minutes: u64 },
    #[error("{0}: look at the node, and ask again")]
    Node(String),
    #[error("{0}: look at `coinslot owed refunds` before you ask again")]
    Ledger(String),
}

impl SettleError {
    /// True if the same question may be answered otherwise in a while, without anything that an operator does.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::NotDeep { .. } | Self::Undecided | Self::TooEarly { .. } | Self::Node(_) | Self::Ledger(_))
    }
}

impl From<LedgerError> for SettleError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error.to_string())
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
