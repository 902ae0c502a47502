//! The states of a payment's row.

/// The state of one payment, as the ledger's file spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PaymentState {
    /// Claimed; nothing ran and nothing was sent.
    Reserved,
    /// The guest may be running, for a payment that is not settled yet or, in the upfront flow, already is.
    Executing,
    /// Its settlement may be on its way, in the hands of the request that sent it.
    Settling,
    /// Its settlement was sent and the request does not know how it ended; recovery asks the chain.
    Unknown,
    /// The money moved and the answer exists.
    Settled,
    /// Settled, and the answer was handed to the connection.
    Delivered,
    /// The money moved and no answer was given; the same payment may fetch it.
    Owed,
    /// The answer was owed, and its money is on its way back to the payer.
    Refunding,
    /// The money went back to the payer. The answer is not owed any more.
    Refunded,
    /// The money did not move and will not.
    Refused,
}

impl PaymentState {
    pub const ALL: [Self; 10] = [
        Self::Reserved,
        Self::Executing,
        Self::Settling,
        Self::Unknown,
        Self::Settled,
        Self::Delivered,
        Self::Owed,
        Self::Refunding,
        Self::Refunded,
        Self::Refused,
    ];

    /// The word of the column `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Executing => "executing",
            Self::Settling => "settling",
            Self::Unknown => "unknown",
            Self::Settled => "settled",
            Self::Delivered => "delivered",
            Self::Owed => "owed",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
            Self::Refused => "refused",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
