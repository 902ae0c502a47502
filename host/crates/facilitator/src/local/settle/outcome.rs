//! Declares the outcomes of an attempt to settle a payment.

use alloy::primitives::B256;
use coinslot_x402::UnixTime;

use crate::facilitator::Finality;
use crate::local::rejection::Rejection;

/// The transaction that made a payment.
#[derive(Clone, Copy, Debug)]
pub(super) struct PayingTx {
    pub(super) hash: B256,
    /// The number of its block.
    pub(super) block: u64,
    pub(super) by: SubmittedBy,
}

/// The end of an attempt that does not show the payment.
pub(super) enum NotSettled {
    Refused {
        rejection: Rejection,
        transaction: Option<B256>,
        finality: Finality,
    },
    Unknown {
        transaction: Option<B256>,
        message: String,
    },
    /// This transaction made the payment for another seller.
    Elsewhere(B256),
    /// The authorisation is used at this time, or cancelled, and no transaction that did it was found.
    Used {
        transaction: Option<B256>,
        at: UnixTime,
    },
    /// This call sent nothing.
    NotSent(String),
    /// It failed in a batch, perhaps because of the other calls: it is tried again in a transaction of its own.
    TryAlone,
}

/// The account whose transaction made a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubmittedBy {
    /// This process, or another account while this process was settling it.
    Us,
    /// Another account, before this process did anything.
    Others,
}
