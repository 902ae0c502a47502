//! Errors as rows of a table: `host/docs/errors.md` explains the same rows.

use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};

use super::headers::PAYMENT_ID;
use super::{Reply, json};
use crate::payment::Charged;

/// The pause before a client should send the same request again, in seconds.
pub(super) const RETRY_SECONDS: u64 = 2;

/// The pause while the operator has to act first, as by funding a wallet, in seconds.
pub(super) const FUNDING_SECONDS: u64 = 30;

/// One error as clients see it.
pub(super) struct ErrorRow {
    pub(super) status: StatusCode,
    /// `error`: stable, for programs.
    pub(super) code: &'static str,
    /// `message`: for people, with what to do.
    pub(super) message: &'static str,
    /// `Retry-After`, in seconds.
    pub(super) retry_after: Option<u64>,
}

/// A row of an error that the same request meets again.
pub(super) const fn row(status: StatusCode, code: &'static str, message: &'static str) -> ErrorRow {
    ErrorRow { status, code, message, retry_after: None }
}

/// A row of an error that passes: the same request may succeed after [`RETRY_SECONDS`].
pub(super) const fn passing(status: StatusCode, code: &'static str, message: &'static str) -> ErrorRow {
    ErrorRow { status, code, message, retry_after: Some(RETRY_SECONDS) }
}

impl ErrorRow {
    /// The response of this row.
    pub(super) fn reply(&self, charged: Charged) -> Reply {
        let reply = error(self.status, self.code, self.message, charged);
        match self.retry_after {
            Some(seconds) => retry_after(reply, seconds),
            None => reply,
        }
    }
}

/// An error with a text that is made for this request.
pub(super) fn error(status: StatusCode, code: &str, message: &str, charged: Charged) -> Reply {
    json(status, &serde_json::json!({ "error": code, "message": message, "charged": charged.as_str() }))
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
