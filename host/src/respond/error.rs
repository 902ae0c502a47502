//! Writes errors as rows of a table: `host/docs/errors.md` explains the same rows.

use std::borrow::Cow;

use coinslot_base::request_id::RequestId;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};

use super::headers::{CHARGED, PAYMENT_ID};
use super::{Reply, json};
use crate::payment::Charged;

/// The pause before a client should send the same request again, in seconds.
pub(super) const RETRY_SECONDS: u64 = 2;

/// The pause while the operator has to act first, as by funding a wallet, in seconds.
pub(super) const FUNDING_SECONDS: u64 = 30;

/// The pause before a client should ask a plugin again that its operator has paused, in seconds.
pub(super) const PAUSE_SECONDS: u64 = 60;

/// The pause before a client should ask for the end of a refund, in seconds.
pub(super) const REFUND_SECONDS: u64 = 10;

/// One error as clients see it.
pub(super) struct ErrorRow {
    pub(super) status: StatusCode,
    /// `error`: stable, for programs.
    pub(super) code: &'static str,
    /// `message`: for people.
    pub(super) message: &'static str,
    /// The end of `message`, with what to do. Before it the message says that nothing was charged, where that is known.
    pub(super) advice: Option<&'static str>,
    /// `Retry-After`, in seconds.
    pub(super) retry_after: Option<u64>,
}

/// A row of an error that the same request meets again.
pub(super) const fn row(status: StatusCode, code: &'static str, message: &'static str) -> ErrorRow {
    ErrorRow { status, code, message, advice: None, retry_after: None }
}

/// A row of an error that passes: the same request may succeed after [`RETRY_SECONDS`].
pub(super) const fn passing(status: StatusCode, code: &'static str, message: &'static str) -> ErrorRow {
    row(status, code, message).after(RETRY_SECONDS)
}

impl ErrorRow {
    /// Adds what to do, to a row that says nothing about money itself.
    pub(super) const fn advising(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// Adds `Retry-After`.
    pub(super) const fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The response of this row.
    pub(super) fn reply(&self, charged: Charged) -> Reply {
        let message = match (self.advice, charged) {
            (None, _) => Cow::Borrowed(self.message),
            (Some(advice), Charged::No) => format!("{}; nothing was charged: {advice}", self.message).into(),
            (Some(advice), Charged::Yes | Charged::Unknown) => format!("{}: {advice}", self.message).into(),
        };
        let reply = error(self.status, self.code, &message, charged);
        match self.retry_after {
            Some(seconds) => retry_after(reply, seconds),
            None => reply,
        }
    }
}

/// An error with a text that is made for this request.
pub(super) fn error(status: StatusCode, code: &str, message: &str, charged: Charged) -> Reply {
    detailed(status, code, message, charged, Detail::default())
}

/// The place of a mistake in a request, for programs.
#[derive(Clone, Copy, Default)]
pub(super) struct Detail<'d> {
    /// A JSON pointer into the input, such as `/query/limit`.
    pub(super) pointer: Option<&'d str>,
    /// The rule that the value there breaks, such as `maximum`.
    pub(super) code: Option<&'d str>,
}

/// An error about a place in the request.
pub(super) fn detailed(status: StatusCode, code: &str, message: &str, charged: Charged, at: Detail<'_>) -> Reply {
    let mut document = serde_json::json!({ "error": code, "message": message, "charged": charged.as_str() });
    for (name, value) in [("pointer", at.pointer), ("code", at.code)] {
        if let Some(value) = value {
            document[name] = value.into();
        }
    }
    if let Some(id) = RequestId::current() {
        document["request_id"] = id.as_str().into();
    }
    let mut reply = with_charged(json(status, &document), charged);
    reply.extensions_mut().insert(ErrorCode(code.to_owned()));
    reply
}

/// The code of the error that an answer is, for an observer.
#[derive(Clone, Debug)]
pub(crate) struct ErrorCode(pub(crate) String);

/// Says in the header what the field `charged` says, for a body that is not the host's.
pub(super) fn with_charged(mut reply: Reply, charged: Charged) -> Reply {
    reply.headers_mut().insert(HeaderName::from_static(CHARGED), HeaderValue::from_static(charged.as_str()));
    reply
}

pub(super) fn retry_after(mut reply: Reply, seconds: u64) -> Reply {
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    reply
}

/// Names the payment, so that its payer and the operator can speak of it.
pub(super) fn with_payment_id(mut reply: Reply, payment_id: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(payment_id) {
        reply.headers_mut().insert(HeaderName::from_static(PAYMENT_ID), value);
    }
    reply
}
