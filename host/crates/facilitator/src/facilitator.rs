//! The contract of every facilitator, and the facts that it returns.

use async_trait::async_trait;
use coinslot_x402::facilitator::{PaymentRequest, Supported};
use coinslot_x402::{Reason, SettlementResponse};

/// Verifies and settles payments.
#[async_trait]
pub trait Facilitator: Send + Sync + std::fmt::Debug {
    /// Checks that the payment would settle now. It only reads.
    async fn verify(&self, request: &PaymentRequest) -> Verification;

    /// Moves the money. It may be called again with the same request: the money never moves twice.
    async fn settle(&self, request: &PaymentRequest) -> Settlement;

    /// Tells whether anything would be settled now, as far as is known. It asks nothing over the network: it is called
    /// for each request.
    fn readiness(&self) -> Readiness;

    /// Lists what can be verified and settled.
    async fn supported(&self) -> Result<Supported, Unavailable>;
}

/// The ability of a facilitator to settle payments at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// The wallet that pays for gas is empty.
    NoGas,
}

/// The verdict of a facilitator on a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The payment would settle. The payer is as the facilitator sees it; callers compare it with their own view.
    Valid { payer: String, kind: PayerKind },
    /// The payment would not settle.
    Invalid { reason: String, message: Option<String>, payer: Option<String> },
    /// No verdict is known; nothing was written anywhere.
    Unavailable(Unavailable),
}

/// The kind of account at the payer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayerKind {
    /// An account with a key. Its signature stays valid.
    Account,
    /// A contract, which may change its mind between verification and settlement.
    Contract,
    /// The facilitator does not say.
    Unknown,
}

/// The end of a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The money moved; the transaction is not empty.
    Settled(SettlementResponse),
    /// No money moved, and none will: the reason, and the transaction that failed if one was sent.
    Refused { reason: String, message: Option<String>, transaction: String },
    /// The money may have moved, or may yet: the transaction, if known. Ask again with the same request.
    Unknown { transaction: Option<String>, message: String },
}

/// No answer that can be believed. Nothing was sent to a chain on behalf of this request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unavailable {
    /// The cause, for the operator's log; clients see a fixed sentence.
    pub message: String,
}

impl Verification {
    /// An invalid payment with one of the protocol's reasons.
    pub fn invalid(reason: Reason, payer: Option<String>) -> Self {
        Self::Invalid { reason: reason.as_str().to_owned(), message: None, payer }
    }
}
