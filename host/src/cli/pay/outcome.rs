//! Judges the outcome of a payment by the answer to it.

use coinslot_x402::{Reason, SettlementResponse};

/// The outcome of a payment, as its answer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Outcome {
    /// The answer came, paid or given.
    Answered,
    /// Paid, and the answer is gone for good.
    Gone,
    /// Paid, and the answer is still to come.
    Owed,
    /// Refused, with another challenge.
    Refused,
    /// Nothing was charged, and the same payment would fare no better.
    NotServed,
    /// Nothing was charged, and the same payment may buy the answer later.
    TryAgain,
    /// The server does not say whether it has charged.
    Unknown,
}

/// A server's word about the charge of a request that it has not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum ChargedWord {
    No,
    Yes,
    Unknown,
    /// It says nothing about it, as servers other than Coinslot do.
    Nothing,
}

impl ChargedWord {
    pub(in crate::cli) fn of(word: Option<&str>) -> Self {
        match word {
            Some("no") => Self::No,
            Some("yes") => Self::Yes,
            Some(_) => Self::Unknown,
            None => Self::Nothing,
        }
    }
}

impl Outcome {
    /// The outcome, if the status and the receipt tell it.
    pub(in crate::cli) fn by_receipt(status: u16, receipt: Option<&SettlementResponse>) -> Option<Self> {
        if receipt.and_then(|receipt| receipt.error_reason.as_deref()) == Some("settlement_pending") {
            return Some(Self::Unknown);
        }
        match (status, receipt.is_some_and(|receipt| receipt.success)) {
            (300..400, false) => None, // from a proxy: a payment is for one server, which settles what it answers so
            (..400, _) => Some(Self::Answered),
            (410, true) => Some(Self::Gone),
            (_, true) => Some(Self::Owed),
            (_, false) => None,
        }
    }

    /// The outcome by the server's word. Without its word that nothing was charged a failure means nothing: a plugin may
    /// be away whose answer was paid, and a proxy answers without asking the server.
    pub(in crate::cli) fn by_word(status: u16, word: ChargedWord, precedes_settlement: impl FnOnce() -> bool) -> Self {
        match (word, status) {
            (ChargedWord::Yes, 410) => Self::Gone,
            (ChargedWord::Yes, _) => Self::Owed,
            (ChargedWord::No, 402) => Self::Refused,
            // Middlewares answer 402 also where the facilitator's answer to the settlement was lost.
            (ChargedWord::Nothing, 402) if precedes_settlement() => Self::Refused,
            (ChargedWord::No, 408 | 409 | 425 | 429 | 500..) => Self::TryAgain,
            (ChargedWord::No, _) => Self::NotServed,
            (ChargedWord::Unknown | ChargedWord::Nothing, _) => Self::Unknown,
        }
    }

    /// The outcome of a payment that was sent before, or may have been. Only a success says something then: an earlier
    /// sending may have been settled and its answer lost, and a server that has forgotten it refuses the payment as used or
    /// as too late.
    pub(in crate::cli) fn of_repetition(self) -> Self {
        match self {
            Self::Answered | Self::Gone | Self::Owed => self,
            Self::Refused | Self::NotServed | Self::TryAgain | Self::Unknown => Self::Unknown,
        }
    }

    /// True if the server would say the same to the same payment once more.
    pub(in crate::cli) fn is_final_word(self) -> bool {
        matches!(self, Self::Answered | Self::Gone | Self::Refused | Self::NotServed)
    }

    /// True if the same payment may still fetch something.
    pub(in crate::cli) fn leaves_something(self) -> bool {
        match self {
            Self::Answered | Self::Gone | Self::Refused | Self::NotServed => false,
            Self::Owed | Self::TryAgain | Self::Unknown => true,
        }
    }
}

/// True if a reason is one for which no server sends a payment to be settled. It says nothing of an earlier sending of the
/// same payment: see [`Outcome::of_repetition`].
pub(in crate::cli) fn precedes_settlement(reason: &str) -> bool {
    // The words of the reference middlewares for a payment that fits none of their offers.
    Reason::parse(reason).is_some_and(Reason::precedes_sending) || reason.contains("matching payment requirements")
}
