//! Calls a facilitator over HTTP. Source: x402 specification v2, section 7.
//!
//! The facilitator is believed only as far as its answers are complete and speak of the payment we asked about.
//! `answer` (with `expected` and `status`) and `supported` read its answers, `request` writes our requests, and
//! `connection` speaks HTTP. Once a settlement request may have reached the facilitator, anything but a clear answer is
//! [`Settlement::Unknown`]. A payment is sent in the same bytes however often it is sent.

mod answer;
mod config;
mod connection;
mod expected;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod request;
mod seen;
mod sharing;
mod status;
mod supported;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use coinslot_x402::facilitator::{PaymentRequest, Supported};
use reqwest::header::HeaderMap;
use tokio::time::Instant;
use url::{Host, Url};

use crate::calls::{CallResult, Calls, Operation};
use crate::facilitator::{Facilitator, Finality, Proof, Readiness, Settlement, Unavailable, Verification};
use answer::SettleAnswer;
use connection::{Exchange, HttpConnection, RequestFailure, UnsendableCredential};
use seen::SeenTransactions;
use sharing::Sharing;

pub(crate) use answer::{SettleEnd, VerifyEnd};
pub use config::{Credential, RemoteConfig, RemoteError};

/// The largest answer to `/verify` and `/settle` that is read, in bytes. They have a few hundred.
const MAX_VERDICT: usize = 64 * 1024;

/// The pause before a settlement that is under way is asked for again: a block of a rollup.
const PENDING_PAUSE: Duration = Duration::from_secs(2);

/// A facilitator over HTTP. Connections are pooled; it is cheap to share behind an `Arc`.
pub struct Remote {
    connection: HttpConnection,
    base: String,
    verify: Url,
    settle: Url,
    supported: Url,
    strip_query: bool,
    verify_timeout: Duration,
    settle_timeout: Duration,
    seen: SeenTransactions,
    sharing: Sharing,
    calls: Calls,
}

impl Remote {
    /// Checks the URL. It calls nothing yet.
    pub fn new(config: RemoteConfig) -> Result<Self, RemoteError> {
        let base = config.base;
        let loopback = match base.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if base.scheme() != "https" && !(base.scheme() == "http" && loopback) {
            return Err(RemoteError::NotHttps(base));
        }
        if base.query().is_some() || base.fragment().is_some() || !base.username().is_empty() {
            let mut shown = base;
            let _ = shown.set_password(None);
            return Err(RemoteError::Decorated(shown));
        }
        // A redirect could send a payment to a host that the operator did not name.
        let client = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| RemoteError::Client(base.clone(), error.to_string()))?;
        let connection = HttpConnection::new(config.credential, client)
            .map_err(|UnsendableCredential| RemoteError::Bearer(base.clone()))?;
        let below = |path: &str| {
            let mut url = base.clone();
            url.path_segments_mut().expect("an http URL has a path").pop_if_empty().push(path);
            url
        };
        Ok(Self {
            connection,
            verify: below("verify"),
            settle: below("settle"),
            supported: below("supported"),
            base: base.as_str().trim_end_matches('/').to_owned(),
            strip_query: config.strip_query,
            verify_timeout: config.verify_timeout,
            settle_timeout: config.settle_timeout,
            seen: SeenTransactions::default(),
            sharing: Sharing::default(),
            calls: config.calls,
        })
    }

    async fn post(&self, url: &Url, payment: &PaymentRequest, at_most: Duration, trace: HeaderMap) -> Exchange {
        let body = request::body(payment, self.strip_query);
        let body = body.map_err(|error| RequestFailure::NotSent(error.to_string()))?;
        self.connection.post(url, body, at_most, MAX_VERDICT, trace).await
    }

    /// Sends the payment to be settled, once.
    async fn send(&self, payment: &PaymentRequest, at_most: Duration) -> SettleAnswer {
        let call = self.calls.begin(Operation::Settle);
        let exchange = self.post(&self.settle, payment, at_most, call.headers()).await;
        let failed = exchange.as_ref().err().map(CallResult::from);
        let answer = answer::settlement(payment, exchange);
        call.ended(failed.unwrap_or_else(|| CallResult::from(&answer)));
        answer
    }

    /// Verifies, and tells a verdict from an objection to this payment and from a failure of the facilitator.
    pub(crate) async fn judge(&self, payment: &PaymentRequest) -> VerifyEnd {
        let call = self.calls.begin(Operation::Verify);
        let exchange = self.post(&self.verify, payment, self.verify_timeout, call.headers()).await;
        let failed = exchange.as_ref().err().map(CallResult::from);
        let end = answer::verification(payment, exchange);
        call.ended(failed.unwrap_or_else(|| CallResult::from(&end)));
        end
    }

    /// Tries to settle, and asks once more for the end of a transaction that is under way. Both together take at most
    /// the time-out of a settlement.
    pub(crate) async fn attempt(&self, payment: &PaymentRequest) -> SettleEnd {
        let deadline = Instant::now() + self.settle_timeout;
        let (transaction, message) = match self.send(payment, self.settle_timeout).await {
            SettleAnswer::End(end) => return self.believed(payment, end).await,
            SettleAnswer::Pending { transaction, message } => (transaction, message),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        tokio::time::sleep(PENDING_PAUSE.min(left / 2)).await;
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.send(payment, left).await;
        let pending = |named: Option<String>, message| Settlement::Unknown {
            transaction: named.or_else(|| transaction.clone()),
            message,
            unanswered: false,
        };
        match answer {
            SettleAnswer::Pending { transaction, message } => SettleEnd::Answered(pending(transaction, message)),
            SettleAnswer::End(SettleEnd::NotSent(_)) => SettleEnd::Answered(pending(None, message)),
            SettleAnswer::End(SettleEnd::Unclear(Settlement::Unknown { transaction, message, .. })) => {
                SettleEnd::Unclear(pending(transaction, message))
            }
            SettleAnswer::End(SettleEnd::Objected(Settlement::Unknown { transaction, message, .. })) => {
                SettleEnd::Objected(pending(transaction, message))
            }
            // The transaction that was sent may have used it.
            SettleAnswer::End(SettleEnd::Answered(Settlement::Refused {
                finality: Finality::UsedBefore,
                reason,
                transaction: named,
                ..
            })) => SettleEnd::Answered(pending(
                (!named.is_empty()).then_some(named),
                format!("/settle: refused after it was pending: {reason}"),
            )),
            // A transaction was sent, so that no reason is final any more.
            SettleAnswer::End(SettleEnd::Answered(Settlement::Refused {
                reason, message, transaction: named, ..
            })) => {
                let transaction = if named.is_empty() { transaction.unwrap_or_default() } else { named };
                SettleEnd::Answered(Settlement::Refused { reason, message, transaction, finality: Finality::Open })
            }
            SettleAnswer::End(end) => self.believed(payment, end).await,
        }
    }

    /// Compares a success with earlier ones: two payments are two transfers, so that one transaction for both is
    /// believed only of a facilitator that says that its transactions settle several.
    async fn believed(&self, payment: &PaymentRequest, end: SettleEnd) -> SettleEnd {
        let SettleEnd::Answered(Settlement::Settled { settlement, .. }) = end else { return end };
        let is_new = self.seen.is_new(&settlement.transaction, payment);
        // The facilitator may not have been asked yet, or was configured anew.
        if !is_new && !self.sharing.includes(payment) && self.sharing.is_due() {
            drop(self.look().await);
        }
        let alone = !self.sharing.includes(payment);
        SettleEnd::Answered(if alone && !is_new {
            // The facilitator answers, so its circuit has no part in this.
            Settlement::Unknown {
                transaction: Some(settlement.transaction),
                message: "/settle: success with the transaction of another payment".to_owned(),
                unanswered: false,
            }
        } else {
            Settlement::Settled { settlement, proof: Proof::Word { alone } }
        })
    }
}

#[async_trait]
impl Facilitator for Remote {
    async fn verify(&self, request: &PaymentRequest) -> Verification {
        match self.judge(request).await {
            VerifyEnd::Answered(verdict) => verdict,
            VerifyEnd::Objected(why) | VerifyEnd::Ambiguous(why) | VerifyEnd::Failed(why) => {
                Verification::Unavailable(why)
            }
        }
    }

    async fn settle(&self, request: &PaymentRequest) -> Settlement {
        match self.attempt(request).await {
            SettleEnd::Answered(settlement) | SettleEnd::Unclear(settlement) | SettleEnd::Objected(settlement) => {
                settlement
            }
            SettleEnd::NotSent(message) => Settlement::NotSent { message: format!("/settle: {message}") },
        }
    }

    /// Always ready: it is a [`crate::pool::FacilitatorPool`], also of one, that knows whether it answers.
    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    async fn supported(&self) -> Result<Supported, Unavailable> {
        self.ask_supported().await
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("base", &self.base).finish_non_exhaustive()
    }
}
