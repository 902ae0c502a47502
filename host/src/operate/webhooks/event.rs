//! What an address can be told.

use coinslot_ledger::EventKind;

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookEvent {
    /// The money of a payment moved.
    Paid,
    /// The money moved, and its answer is owed.
    Owed,
    /// It is not known whether the money moves: recovery looks.
    Unknown,
    /// A settlement was refused.
    Refused,
    /// The plugin failed, and nothing was charged.
    Failed,
    /// Something is wrong with the host, or is mended.
    Alert,
}

impl WebhookEvent {
    pub const ALL: [Self; 6] = [Self::Paid, Self::Owed, Self::Unknown, Self::Refused, Self::Failed, Self::Alert];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => EventKind::Paid.as_str(),
            Self::Owed => EventKind::Owed.as_str(),
            Self::Unknown => EventKind::Unknown.as_str(),
            Self::Refused => EventKind::Refused.as_str(),
            Self::Failed => EventKind::Failed.as_str(),
            Self::Alert => "alert",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }

    /// The kind of message about an event of the ledger.
    pub(super) fn of(kind: EventKind) -> Self {
        match kind {
            EventKind::Paid => Self::Paid,
            EventKind::Owed => Self::Owed,
            EventKind::Unknown => Self::Unknown,
            EventKind::Refused => Self::Refused,
            EventKind::Failed => Self::Failed,
        }
    }
}
