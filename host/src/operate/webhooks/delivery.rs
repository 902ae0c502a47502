//! Sends a message to its address, within a time and without following where it is sent on.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use coinslot_x402::UnixTime;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect;
use url::Url;

use super::message::Message;
use super::signature::WebhookSecret;

/// The longest attempt.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The way to an address.
#[derive(Debug)]
pub(super) struct Delivery {
    url: Url,
    secret: ArcSwap<WebhookSecret>,
    client: reqwest::Client,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeliveryFailure {
    pub(super) status: Option<u16>,
    pub(super) reason: String,
}

impl Delivery {
    pub(super) fn new(url: Url, secret: WebhookSecret) -> Result<Self, String> {
        // A redirect would carry the message to an address that nobody has named.
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("coinslot/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| error.to_string())?;
        Ok(Self { url, secret: ArcSwap::from_pointee(secret), client })
    }

    /// Signs with this secret from now on. True if it is another one.
    pub(super) fn renew(&self, secret: WebhookSecret) -> bool {
        let is_new = **self.secret.load() != secret;
        self.secret.store(Arc::new(secret));
        is_new
    }

    /// Sends a message once, at this time. The status of an answer below 300 says that it was accepted; its body is not read.
    pub(super) async fn send(&self, message: &Message, at: UnixTime) -> Result<u16, DeliveryFailure> {
        // The receiver compares it with its own clock.
        let at = at.0;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id())
            .header("webhook-timestamp", at)
            .header("webhook-signature", self.secret.load().sign(message.id(), at, message.body()))
            .body(message.body().to_owned());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(answer.status().as_u16()),
            Ok(answer) => {
                let status = answer.status();
                Err(DeliveryFailure { status: Some(status.as_u16()), reason: format!("it answered {status}") })
            }
            Err(error) => {
                // Its path may be a secret of the receiver.
                let error = error.without_url();
                let reason = if error.is_timeout() {
                    format!("no answer within {} s", TIMEOUT.as_secs())
                } else {
                    // The cause says what the outermost error does not: that the connection was refused.
                    std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
                        .last()
                        .map_or_else(|| error.to_string(), ToString::to_string)
                };
                Err(DeliveryFailure { status: None, reason })
            }
        }
    }
}
