//! Names the kinds of messages.

use coinslot_ledger::EventKind;

use crate::operate::alerts::AlertKind;

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookEvent {
    /// Something happened to a payment.
    Payment(EventKind),
    /// Something of this kind is wrong with the host, or is mended.
    Alert(AlertKind),
}

impl WebhookEvent {
    /// The name in the configuration that stands for alerts of every kind.
    const EVERY_ALERT: &'static str = "alert";

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        EventKind::ALL.into_iter().map(Self::Payment).chain(AlertKind::ALL.into_iter().map(Self::Alert))
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payment(kind) => kind.as_str(),
            Self::Alert(kind) => kind.as_str(),
        }
    }

    /// The kinds of this name in the configuration. Empty if nothing is called so.
    pub fn named(name: &str) -> Vec<Self> {
        Self::all().filter(|event| event.as_str() == name || event.is_alert() && name == Self::EVERY_ALERT).collect()
    }

    /// The names that the configuration may have.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::all().map(Self::as_str).chain([Self::EVERY_ALERT])
    }

    fn is_alert(self) -> bool {
        matches!(self, Self::Alert(_))
    }
}
