//! Shows a webhook to operators: its place among the events, and its last attempts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Webhook;
use crate::operate::admin::HostView;
use crate::operate::time;

/// One attempt to deliver a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AttemptRecord {
    pub at: String,
    /// The id of the message.
    pub id: String,
    /// The type of the message: `payment.paid`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status of the answer. None if there was none.
    pub status: Option<u16>,
    /// The reason why it counts as not delivered.
    pub error: Option<String>,
}

/// An address that is told, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookRecord {
    /// Its origin and the beginning of its digest: the rest may be a secret of the receiver.
    pub url: String,
    pub events: Vec<String>,
    /// The last event of the ledger that it is done with.
    pub place: u64,
    /// Events of the ledger after that.
    pub waiting: u64,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// The time of the next attempt, after one that failed.
    pub next_try: Option<String>,
    /// The last attempts, the newest first.
    pub attempts: Vec<AttemptRecord>,
}

impl Webhook {
    /// Its record in the API.
    pub(in crate::operate) async fn record(&self, host: &HostView) -> WebhookRecord {
        let last = host.payments.ledger().last_event().await.unwrap_or_default();
        let log = self.log.lock();
        WebhookRecord {
            url: self.name.clone(),
            events: self.config.events.iter().map(|event| event.as_str().to_owned()).collect(),
            place: log.place,
            waiting: last.saturating_sub(log.place),
            failures: log.failures,
            next_try: log.next_try.map(time::shown),
            attempts: log.attempts.iter().rev().cloned().collect(),
        }
    }
}
