//! Declares refunds: an owed answer's money that goes back to its payer, once.
//!
//! A refund begins with a signed transaction, in one commit: the row becomes [`crate::PaymentState::Refunding`], the
//! budget is counted, and the bytes are durable. Nothing else may be sent: a [`StoredTransaction`] comes from the
//! ledger alone. Every transaction of a refund has the nonce of its first, so that the chain lets one of them through
//! at most, however often they are sent and whichever process sends them. The refund ends by what the chain says of
//! that nonce.
//!
//! An operator may pay a debt by hand ([`PaidByHand`]). Such a refund has no nonce and no stored transaction.

use std::time::Duration;

use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};

use crate::{Change, PaymentState};

/// An order to begin a refund.
#[derive(Clone, Debug)]
pub struct RefundOrder {
    /// The payment's id, as headers and logs have it.
    pub payment_id: String,
    pub ordered_by: RefundAuthor,
    /// The address of the wallet that pays.
    pub sender: String,
    pub budget: RefundBudget,
    pub signed: SignedRefund,
    /// The line of the audit log, in the same commit.
    pub change: Change,
}

/// A transaction that is signed and not stored yet. It must not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRefund {
    /// The nonce of the wallet.
    pub nonce: u64,
    /// The transaction's hash, as chains write it.
    pub hash: String,
    /// The bytes that a node takes.
    pub raw: Vec<u8>,
}

/// The most that may be paid back within a time, over several assets of the same currency.
#[derive(Clone, Debug)]
pub struct RefundBudget {
    /// In the smallest unit of an asset with [`RefundBudget::DECIMALS`] decimals.
    pub limit: Amount,
    /// The time that counts, up to now.
    pub window: Duration,
    /// The assets whose refunds count, with their decimals. The asset of the refund is among them.
    pub assets: Vec<BudgetedAsset>,
}

/// An asset whose refunds count for a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetedAsset {
    pub network: Network,
    pub asset: String,
    pub decimals: u8,
}

/// The choice of [`crate::Ledger::refunds_due`].
#[derive(Clone, Debug)]
pub struct RefundsDue {
    pub network: Network,
    /// Only payments whose money came to one of these: token and receiver.
    pub received_by: Vec<(String, String)>,
    /// Only payments that were claimed before this time.
    pub owed_before: UnixTime,
    /// Only payments for which no refund failed at this time or later.
    pub failed_before: UnixTime,
    pub limit: u32,
}

/// The one who wanted a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundAuthor {
    /// An operator, by a command or a page.
    Operator,
    /// The rule of the configuration.
    Policy,
}

/// The outcome of [`crate::Ledger::begin_refund`].
#[derive(Debug)]
pub enum RefundBegun {
    /// The refund has begun: its transaction may be sent.
    Begun(OpenRefund),
    /// The payment is not owed. None: there is no such payment.
    NotOwed(Option<PaymentState>),
    /// Another refund of this wallet on this network has no end yet.
    Busy { payment_id: String },
    /// A refund has had this nonce before: the node shows an old state of the wallet.
    NonceUsed,
    /// It would exceed the budget. Both amounts as in [`RefundBudget::limit`].
    OverBudget { spent: Amount, wanted: Amount },
}

/// A refund that has begun and has no known end. [`crate::Ledger::end_refund`] takes it, and fails if it has ended: of two
/// tasks that follow one refund, only the first can end it.
#[derive(Debug)]
pub struct OpenRefund {
    /// The number of the attempt.
    pub(crate) id: i64,
    pub payment_id: String,
    pub network: Network,
    pub asset: String,
    /// The address that is paid.
    pub payer: String,
    pub amount: Amount,
    /// The wallet that pays, in lower case.
    pub sender: String,
    pub nonce: u64,
    pub ordered_by: RefundAuthor,
    pub begun_at: UnixTime,
    /// Every transaction that was signed for it, the newest last.
    pub transactions: Vec<StoredTransaction>,
}

/// A signed transaction that is durable in the ledger, and may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTransaction {
    pub(crate) hash: String,
    pub(crate) raw: Vec<u8>,
    pub(crate) signed_at: UnixTime,
}

/// A debt that was paid by hand, as the chain has shown it.
#[derive(Debug)]
pub struct PaidByHand {
    /// The payment's id, as headers and logs have it.
    pub payment_id: String,
    /// The hash of the transaction.
    pub transaction: String,
    /// The account that paid.
    pub sender: String,
    /// The sum that the transaction moved to the payer, in the payment's asset: it may end several debts.
    pub moved: Amount,
    /// True: nothing is written, and the answer is what it would be.
    pub dry_run: bool,
    /// The refund that was under way and moved nothing, with its end ([`RefundEnd::Failed`]). It ends in the same commit.
    pub instead_of: Option<(OpenRefund, RefundEnd)>,
    /// The line of the audit log, in the same commit.
    pub change: Change,
}

/// The outcome of [`crate::Ledger::end_debt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DebtEnded {
    /// The payment is refunded.
    Ended,
    /// The payment is not owed. None: there is no such payment.
    NotOwed(Option<PaymentState>),
    /// Other debts were ended by the same transaction already, with `counted` of what it moved.
    Counted { by: String, counted: Amount, owed: Amount },
    /// The host signed the transaction for the refund of this payment.
    SignedFor { payment_id: String },
}

/// The end of a refund, by what the chain says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundEnd {
    /// The transfer is in the chain. `fee` in wei.
    Paid { transaction: String, fee: Amount },
    /// The transfer was not made and cannot be made any more: the answer is owed again. `transaction`: one that was
    /// reverted, with its fee.
    Failed { reason: String, transaction: Option<(String, Amount)> },
}

impl RefundBudget {
    /// The decimals in which budgets are counted: those of the finest token in use.
    pub const DECIMALS: u8 = 18;

    /// An amount of an asset with these decimals, as budgets count it. None above 256 bits, and for an asset with more
    /// than [`Self::DECIMALS`].
    pub fn counted(amount: Amount, decimals: u8) -> Option<Amount> {
        let more = Self::DECIMALS.checked_sub(decimals)?;
        let scale = alloy_primitives::U256::from(10_u8).checked_pow(alloy_primitives::U256::from(more))?;
        amount.0.checked_mul(scale).map(Amount)
    }
}

impl RefundAuthor {
    /// The word of the column `ordered_by`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Policy => "policy",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Operator, Self::Policy].into_iter().find(|author| author.as_str() == text)
    }
}

impl StoredTransaction {
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The bytes that a node takes.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub fn signed_at(&self) -> UnixTime {
        self.signed_at
    }
}
