//! Refusals of payments in the protocol's words.

use alloy::primitives::B256;
use coinslot_evm::CallError;
use coinslot_x402::Reason;

use crate::facilitator::{Finality, Settlement, Unavailable, Verification};

/// A refusal of a payment.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    pub(super) reason: Reason,
    pub(super) message: Option<String>,
    pub(super) payer: Option<String>,
}

/// The reason for which a payment is not accepted, or for which that is not known.
#[derive(Debug)]
pub(super) enum Judgement {
    Rejected(Rejection),
    Unavailable(Unavailable),
}

impl Rejection {
    /// The end of a settlement that was refused before anything was sent.
    pub(super) fn before_sending(self) -> Settlement {
        self.settlement(None, Finality::Final)
    }

    /// The end of a settlement that sent this transaction, or none.
    pub(super) fn settlement(self, transaction: Option<B256>, finality: Finality) -> Settlement {
        Settlement::Refused {
            reason: self.reason.as_str().to_owned(),
            message: self.message,
            transaction: transaction.map(|hash| hash.to_string()).unwrap_or_default(),
            finality,
        }
    }
}

impl From<Rejection> for Verification {
    fn from(rejection: Rejection) -> Self {
        Self::Invalid {
            reason: rejection.reason.as_str().to_owned(),
            message: rejection.message,
            payer: rejection.payer,
        }
    }
}

impl From<CallError> for Unavailable {
    fn from(error: CallError) -> Self {
        Self { message: error.to_string() }
    }
}

impl From<CallError> for Judgement {
    fn from(error: CallError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<Rejection> for Judgement {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}
