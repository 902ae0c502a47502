//! Tells an observer what becomes of the transactions of each wallet.

use std::fmt;
use std::time::Duration;

use alloy::primitives::Address;

/// An event of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEvent {
    /// It has a nonce, and the node has it or may have it.
    Submitted,
    /// It was in no block for long, and is signed again with higher fees.
    Replaced,
    /// It is in a block, this long after it was submitted.
    Included(Duration),
    /// It is in a block, where it failed, this long after it was submitted.
    Reverted(Duration),
    /// It was not sent: the wallet cannot pay for it, the budget of the day is spent, or the node does not take it.
    NotSent,
    /// Another transaction has used its nonce. Its calls are sent anew.
    Displaced,
}

impl TransactionEvent {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Replaced => "replaced",
            Self::Included(_) => "included",
            Self::Reverted(_) => "reverted",
            Self::NotSent => "not_sent",
            Self::Displaced => "displaced",
        }
    }

    /// The time from the submission to the block.
    pub fn time_to_inclusion(self) -> Option<Duration> {
        match self {
            Self::Included(time) | Self::Reverted(time) => Some(time),
            Self::Submitted | Self::Replaced | Self::NotSent | Self::Displaced => None,
        }
    }
}

/// Hears of each event when it happens. It must not block.
pub trait TransactionObserver: Send + Sync + fmt::Debug {
    fn happened(&self, wallet: Address, event: TransactionEvent);
}
