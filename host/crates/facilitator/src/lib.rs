//! Whoever verifies payments against a chain and settles them: in this process (`local`), a
//! facilitator over HTTP (`remote`), or several of them as one (`pool`).
//!
//! A facilitator returns facts; only the payment room turns them into proofs. It knows nothing of
//! plugins, ledgers or our server. A timeout is not a refusal: see [`Settlement`].

pub mod http;

pub mod local;

pub mod remote;

pub mod cdp;
mod probe;

pub mod pool;

#[cfg(feature = "testing")]
pub mod testing;

use std::pin::Pin;

use coinslot_x402::facilitator::{PaymentRequest, Supported};
use coinslot_x402::{Reason, SettlementResponse};

pub use probe::{OnChain, SettlementProbe};

/// A boxed answer of a [`Facilitator`].
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Verifies and settles payments.
pub trait Facilitator: Send + Sync + std::fmt::Debug {
    /// Whether the payment would settle now. Reads only.
    fn verify<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Verification>;

    /// Moves the money. May be called again with the same request: it never moves it twice.
    fn settle<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Settlement>;

    /// Whether anything would be settled now. Asks nobody: it is read for each request.
    fn readiness(&self) -> Readiness;

    /// What can be verified and settled.
    fn supported(&self) -> Answer<'_, Result<Supported, Unavailable>>;
}

/// Whether payments would be settled at all, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// The wallet that pays for gas is empty.
    NoGas,
}

/// What a facilitator says about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It would settle. The payer as the facilitator sees it, which callers compare with their own view.
    Valid { payer: String, kind: PayerKind },
    /// It would not.
    Invalid { reason: String, message: Option<String>, payer: Option<String> },
    /// Nobody knows; nothing was written anywhere.
    Unavailable(Unavailable),
}

/// What stands behind the payer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayerKind {
    /// A key. A signature stays valid.
    Account,
    /// A contract, which may change its mind between verification and settlement.
    Contract,
    /// The facilitator does not say.
    Unknown,
}

/// How a settlement ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The money moved; the transaction is not empty.
    Settled(SettlementResponse),
    /// Nothing moved, and nothing will: the reason, and the transaction that failed if one was sent.
    Refused { reason: String, message: Option<String>, transaction: String },
    /// It may have moved, or may yet: the transaction, if known. Ask again with the same request.
    Unknown { transaction: Option<String>, message: String },
}

/// No answer that can be believed. Nothing was sent to a chain on behalf of this request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unavailable {
    /// For the operator's log; clients see a fixed sentence.
    pub message: String,
}

impl Verification {
    /// An invalid payment with one of the protocol's reasons.
    pub fn invalid(reason: Reason, payer: Option<String>) -> Self {
        Self::Invalid { reason: reason.as_str().to_owned(), message: None, payer }
    }
}
