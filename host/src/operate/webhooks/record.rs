//! Shows a webhook to operators: its place among the events, what waits for it, and its last attempts.

use coinslot_ledger::WebhookAttempt;
use coinslot_ledger::reports::LedgerReader;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Webhook;
use super::journal::JournalView;
use crate::operate::admin::HostView;
use crate::operate::api::ApiError;
use crate::operate::api::read::read;
use crate::operate::time;

/// One attempt to deliver a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptRecord {
    pub at: String,
    /// The id of the message.
    pub id: String,
    /// The type of the message: `payment.paid`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status of the answer. None if there was none.
    pub status: Option<u16>,
    /// The reason why it counts as not delivered. None: it was accepted.
    pub error: Option<String>,
    /// The name of the webhook.
    pub webhook: String,
    /// The number of the event that it tells. None of an alert.
    pub event: Option<u64>,
    /// The payment that it is about. None of an alert.
    pub payment_id: Option<String>,
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
    /// Events of the ledger after that which it is told.
    pub waiting: u64,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// True: they are at least so many. The host looks at the last 50 attempts of earlier processes, and all of them failed.
    #[serde(default)]
    pub more_failures: bool,
    /// The time of the next attempt, after one that failed.
    pub next_try: Option<String>,
    /// The last 50 attempts, the newest first, also those of earlier processes.
    pub attempts: Vec<AttemptRecord>,
    /// The newest event of the ledger.
    pub newest: u64,
}

impl AttemptRecord {
    pub(in crate::operate) fn of(attempt: &WebhookAttempt) -> Self {
        Self {
            at: time::shown(attempt.at),
            id: attempt.message.clone(),
            kind: attempt.kind.clone(),
            status: attempt.status,
            error: attempt.error.clone(),
            webhook: attempt.webhook.clone(),
            event: attempt.event,
            payment_id: attempt.payment_id.clone(),
        }
    }

    /// True if the message was accepted.
    pub(crate) fn is_accepted(&self) -> bool {
        self.error.is_none()
    }
}

/// The records of all webhooks, from one look at the ledger.
pub(in crate::operate) async fn records(host: &HostView) -> Result<Vec<WebhookRecord>, ApiError> {
    let mut records: Vec<WebhookRecord> = host.webhooks.iter().map(|webhook| webhook.record()).collect();
    let counters = host.webhooks.iter().zip(&records).map(|(webhook, record)| webhook.counter(record.place));
    let counters: Vec<_> = counters.collect();
    let look = move |reader: &LedgerReader| {
        let waiting = counters.iter().map(|count| count(reader)).collect::<Result<Vec<_>, _>>()?;
        Ok((waiting, reader.last_event()?))
    };
    let (waiting, newest) = read(host, move |reader, _| look(reader)).await?;
    for (record, waiting) in records.iter_mut().zip(waiting) {
        (record.waiting, record.newest) = (waiting, newest);
    }
    Ok(records)
}

impl Webhook {
    /// Its record in the API, without what waits.
    fn record(&self) -> WebhookRecord {
        let JournalView { place, failures, more_failures, next_try, attempts } = self.journal.view();
        WebhookRecord {
            url: self.name.clone(),
            events: self.config.events.iter().map(|event| event.as_str().to_owned()).collect(),
            place,
            waiting: 0,
            failures,
            more_failures,
            next_try: next_try.map(time::shown),
            attempts: attempts.iter().map(AttemptRecord::of).collect(),
            newest: 0,
        }
    }
}
