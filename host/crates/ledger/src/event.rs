//! Names the changes of payments that are told, in their order: to metrics, pages and webhooks.

use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};

/// A change of a payment that somebody may want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// The money moved.
    Paid,
    /// The money moved, and its answer is owed.
    Owed,
    /// The money of an owed answer went back to its payer.
    Refunded,
    /// It is not known whether the money moves.
    Unknown,
    /// The payment was refused after its claim: see [`PaymentEvent::after_work`].
    Refused,
    /// The plugin failed, and the payment was given back: nothing was charged.
    Failed,
}

impl EventKind {
    pub const ALL: [Self; 6] = [Self::Paid, Self::Owed, Self::Refunded, Self::Unknown, Self::Refused, Self::Failed];

    /// Its name in the ledger's file, in metrics and in webhooks.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Owed => "owed",
            Self::Refunded => "refunded",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One event, with the payment as it was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentEvent {
    /// Grows in the order of the events, from 1.
    pub number: u64,
    pub kind: EventKind,
    pub at: UnixTime,
    pub payment_id: String,
    pub network: Network,
    pub asset: String,
    pub payer: String,
    pub pay_to: String,
    pub amount: Amount,
    /// The money is worth nothing.
    pub testnet: bool,
    pub endpoint: String,
    pub plugin: String,
    /// The transaction, as far as it is known by now: of the settlement, or of the refund.
    pub transaction: Option<String>,
    pub reason: Option<String>,
    /// The id of the HTTP request that made the claim.
    pub request_id: Option<String>,
    /// Of a refusal: true if the guest had begun its work, which nobody pays now. None of every other kind.
    pub after_work: Option<bool>,
}
