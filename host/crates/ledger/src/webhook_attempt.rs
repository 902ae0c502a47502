//! Declares an attempt to deliver a message to a webhook.

use coinslot_x402::UnixTime;

/// An attempt that has ended, as it is written down. Its texts hold no secret of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookAttempt {
    /// The name of the webhook.
    pub webhook: String,
    pub at: UnixTime,
    /// The id of the message, which is the same at each attempt.
    pub message: String,
    /// The type of the message: `payment.paid`.
    pub kind: String,
    /// The number of the event that it tells. None: it tells an alert.
    pub event: Option<u64>,
    pub payment_id: Option<String>,
    /// The status of the answer. None: there was none.
    pub status: Option<u16>,
    /// The reason why the message counts as not delivered. None: it was accepted.
    pub error: Option<String>,
}
