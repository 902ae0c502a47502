//! Tells a webhook again what happened, and counts beforehand the messages that this takes.

use coinslot_ledger::reports::{LedgerReader, ReportError};
use coinslot_ledger::{EventKind, LedgerError};

use super::{Webhook, WebhookEvent};
use crate::operate::admin::HostView;
use crate::operate::api::ApiError;
use crate::operate::api::read::read;

/// The messages that a webhook would be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operate) struct ResendPlan {
    /// The events after this one.
    pub(in crate::operate) after: u64,
    /// The newest event.
    pub(in crate::operate) last: u64,
    /// The events between these that the ledger still has and the webhook is told.
    pub(in crate::operate) messages: u64,
}

impl Webhook {
    /// Counts the events after this one that the address is told.
    pub(super) fn counter(
        &self,
        after: u64,
    ) -> impl Fn(&LedgerReader) -> Result<u64, ReportError> + Send + use<> + 'static {
        let is_told = |kind: &EventKind| self.is_told(WebhookEvent::Payment(*kind));
        let kinds: Vec<EventKind> = EventKind::ALL.into_iter().filter(is_told).collect();
        move |reader| {
            let counts = reader.events_after(after)?;
            Ok(kinds.iter().filter_map(|kind| counts.get(kind)).sum())
        }
    }

    /// Finds what it would be told again after this event.
    pub(in crate::operate) async fn plan(&self, host: &HostView, after: u64) -> Result<ResendPlan, ApiError> {
        let count = self.counter(after);
        let (last, messages) = read(host, move |reader, _| Ok((reader.last_event()?, count(reader)?))).await?;
        Ok(ResendPlan { after, last, messages })
    }

    /// The newest event that it was told. None before that is known.
    pub(in crate::operate) fn told(&self) -> Option<u64> {
        self.journal.told()
    }

    /// Tells it again what happened after this event. On an error nothing is told again.
    pub(in crate::operate) async fn resend(&self, host: &HostView, after: u64) -> Result<(), LedgerError> {
        self.journal.set_place(&**host.payments.ledger(), after).await?;
        self.moved.notify_one();
        Ok(())
    }
}
