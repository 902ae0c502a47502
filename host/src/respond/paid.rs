//! Answers paid requests: sends the answer that was bought, with its settlement.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, SET_COOKIE};
use http_body::Body as _;

use super::error::with_charged;
use super::headers::RouteKind;
use super::note::FailureNote;
use super::plugin::{failing_call, guest_answer, logged};
use super::settlement::with_payment;
use super::{Reply, problem, with_cors};
use crate::endpoint::Endpoint;
use crate::payment::{Problem, Settled, Unserved};

/// The answer of this endpoint that was bought, whole or as the guest writes it.
pub fn settled(settled: Settled, endpoint: &Arc<Endpoint>) -> Reply {
    let pass = settled.pass().cloned();
    let (status, mut headers, body, payment) = settled.open();
    // With a length, hyper would not poll an HTTP/1 body for its end, and it is the poll for the end that waits until
    // the ledger has it.
    headers.remove(CONTENT_LENGTH);
    // A body that is whole cannot fail.
    let reply = if body.size_hint().exact().is_some() {
        guest_answer(RouteKind::Paid, endpoint.pages, status, headers, body)
    } else {
        guest_answer(RouteKind::Paid, endpoint.pages, status, headers, logged(body, endpoint, Some(payment.id.clone())))
    };
    let mut reply = with_cors(with_payment(reply, &payment));
    // A guest's own cookies are gone by now.
    reply.headers_mut().extend(pass.map(|cookie| (SET_COOKIE, cookie)));
    reply
}

/// The response to a request to this paid endpoint that is not served.
pub fn unserved(unserved: Unserved, endpoint: &Endpoint) -> Reply {
    let (problem, charged, payment) = unserved.into_parts();
    // Most requests without a payment end here. Nothing is logged about them, so they need no span.
    let asks = matches!(problem, Problem::PaymentRequired(_));
    let _names = (!asks).then(|| failing_call(endpoint, payment.as_ref(), problem.fault()).entered());
    let note = FailureNote::of(&problem, endpoint);
    let reply = with_charged(problem::explain(problem, charged, endpoint.pages), charged);
    let reply = match note {
        Some(note) => note.attach(reply),
        None => reply,
    };
    tracing::debug!(status = reply.status().as_u16(), charged = charged.as_str(), "a paid route was not served");
    with_cors(reply)
}
