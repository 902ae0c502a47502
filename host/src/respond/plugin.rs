//! Answers with what a guest wrote, and for a guest that failed.

use std::sync::Arc;

use bytes::Bytes;
use coinslot_base::request_id::RequestId;
use coinslot_ledger::PaymentId;
use coinslot_plugin::{Fault, ResponseBody, Verdict};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use super::error::{PAUSE_SECONDS, RETRY_SECONDS, error, retry_after};
use super::event_stream::{self, PingedStream};
use super::exceeded::exceeded;
use super::headers::{Clean, RouteKind, clean, private};
use super::note::FailureNote;
use super::sandbox::sandbox;
use super::{Reply, full, with_cors};
use crate::endpoint::{Access, Endpoint, PluginPages};
use crate::payment::{ANSWERED_402, Charged, GuestAnswer};

/// Names the plugin, the endpoint and the payment in each log line about a call that failed, and the limit that the
/// guest exceeded. It is made for such calls only, because a span costs time.
pub(super) fn failing_call(endpoint: &Endpoint, payment: Option<&PaymentId>, fault: Option<&Fault>) -> tracing::Span {
    let payment = payment.map(tracing::field::display);
    let limit = fault.and_then(|fault| exceeded(fault, endpoint.plugin.limits())).map(tracing::field::display);
    tracing::warn_span!("call", plugin = endpoint.plugin.info().name, endpoint = endpoint.label, payment, limit)
}

/// Logs the fault of a guest that had begun to answer, when it comes.
pub(super) fn logged<B: Body<Data = Bytes, Error = Fault> + Send + Unpin + 'static>(
    body: B,
    endpoint: &Arc<Endpoint>,
    payment: Option<PaymentId>,
) -> impl Body<Data = Bytes, Error = Fault> + Send + Unpin + use<B> {
    let endpoint = Arc::clone(endpoint);
    // The body is read by the connection, which is at work for no request.
    let request = RequestId::current();
    body.map_err(move |fault| {
        let log = || {
            failing_call(&endpoint, payment.as_ref(), Some(&fault)).in_scope(
                || tracing::warn!(%fault, backtrace = fault.backtrace(), "a plugin failed while it answered"),
            );
        };
        match request {
            Some(id) => id.within(log),
            None => log(),
        }
        fault
    })
}

/// The answer of a free route: the guest's, without the headers that a guest may not write, streamed.
///
/// A failure says what is known about the payment that the request may carry, which no free route looks at.
pub fn free(answer: Result<Response<ResponseBody>, Fault>, endpoint: &Arc<Endpoint>, charged: Charged) -> Reply {
    with_cors(match answer {
        Ok(response) if Verdict::of(response.status().as_u16()) == Verdict::Forbidden => {
            let reply = failing_call(endpoint, None, None).in_scope(|| misbehaved(ANSWERED_402, charged));
            FailureNote(ANSWERED_402.to_owned()).attach(reply)
        }
        Ok(response) => {
            let (head, body) = response.into_parts();
            // At a paid route the plugin may quote one request free; a cache would answer the next one with it.
            let kind = match endpoint.access {
                Access::Free => RouteKind::Free,
                Access::Paid(_) => RouteKind::Paid,
            };
            guest_answer(kind, endpoint.pages, head.status.as_u16(), head.headers, logged(body, endpoint, None))
        }
        Err(fault) => {
            let reply = failing_call(endpoint, None, Some(&fault)).in_scope(|| failed(&fault, charged));
            FailureNote::of_fault(&fault, endpoint).attach(reply)
        }
    })
}

/// A guest's answer without the headers that a guest may not write. That of a paid route is private, whatever its
/// status: a cache that keeps a refusal would give it to the next client, who pays.
pub(super) fn guest_answer(
    kind: RouteKind,
    pages: PluginPages,
    status: u16,
    mut headers: HeaderMap,
    body: impl Body<Data = Bytes, Error = Fault> + Send + Unpin + 'static,
) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    clean(&mut headers, kind);
    if pages == PluginPages::Sandboxed {
        sandbox(&mut headers);
    }
    if kind == RouteKind::Paid {
        private(&mut headers);
    }
    let bodiless = status.is_informational() || status == StatusCode::NO_CONTENT;
    if bodiless || body.size_hint().exact().is_some() {
        // hyper writes the length of a body whose size is known, and a response that must have no body has no length
        // (RFC 9110, section 8.6).
        headers.remove(CONTENT_LENGTH);
    }
    let is_exact = body.size_hint().exact().is_some();
    let mut body = Clean { body, kind }.boxed_unsync();
    if event_stream::is_event_stream(&headers) {
        event_stream::unbuffered(&mut headers);
        if !is_exact && event_stream::may_have_pings(&headers) {
            body = PingedStream::new(body).boxed_unsync();
        }
    }
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}

/// A guest's answer at a paid route, which was read to its end.
pub(super) fn whole(answer: GuestAnswer, pages: PluginPages) -> Reply {
    let GuestAnswer { status, headers, body } = answer;
    guest_answer(RouteKind::Paid, pages, status, headers, full(body))
}

/// A plugin's failure, and what it means for the money. The fault's text stays in the log.
pub(super) fn failed(fault: &Fault, charged: Charged) -> Reply {
    let money = consequence(charged);
    let error = |status, code: &str, what: &str| error(status, code, &format!("{what}; {money}"), charged);
    log(fault);
    match fault {
        Fault::Trap(_) | Fault::Error => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "plugin_failed", "the endpoint failed")
        }
        Fault::Memory | Fault::HostMemory | Fault::PluginMemory => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "plugin_out_of_memory", "the endpoint ran out of memory")
        }
        Fault::ResponseTooLarge => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "plugin_answer_too_large", "the endpoint's answer was too large")
        }
        Fault::Cpu | Fault::Deadline | Fault::TotalTime | Fault::SlowQuote(_) | Fault::Unread => {
            error(StatusCode::GATEWAY_TIMEOUT, "plugin_timeout", "the endpoint took too long")
        }
        Fault::SlowRequest => error(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the request's body did not come in time: send it again",
        ),
        Fault::RequestTooLarge(_) => error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the request body is larger than this endpoint takes",
        ),
        Fault::RequestEndedEarly(_) => {
            error(StatusCode::BAD_REQUEST, "body_incomplete", "the request body ended early: send the whole body")
        }
        Fault::NoResponse(_) => error(StatusCode::BAD_GATEWAY, "plugin_no_answer", "the endpoint gave no valid answer"),
        Fault::Busy => {
            let what = "the endpoint is busy: send the same request again";
            retry_after(error(StatusCode::SERVICE_UNAVAILABLE, "busy", what), RETRY_SECONDS)
        }
        Fault::CircuitOpen { retry } => {
            let what = "the endpoint failed repeatedly and is not called for now: try again later";
            retry_after(error(StatusCode::SERVICE_UNAVAILABLE, "plugin_unhealthy", what), retry.as_secs() + 1)
        }
        Fault::Paused => {
            let what = "the endpoint is paused by its operator: try again later";
            retry_after(error(StatusCode::SERVICE_UNAVAILABLE, "plugin_paused", what), PAUSE_SECONDS)
        }
    }
}

/// Logs a plugin's failure, as a warning unless any client could have many of them written.
fn log(fault: &Fault) {
    match fault {
        // The circuit's opening, and the want of instances, were logged as warnings; a line for each request meanwhile
        // would fill the log.
        Fault::CircuitOpen { .. } | Fault::Busy | Fault::Paused => tracing::debug!(%fault, "a plugin was not called"),
        // Any client can send such bodies without a payment, and as many lines.
        Fault::RequestTooLarge(_) => tracing::debug!(%fault, "a request's body was too large"),
        Fault::Trap(_)
        | Fault::Error
        | Fault::Memory
        | Fault::HostMemory
        | Fault::PluginMemory
        | Fault::ResponseTooLarge
        | Fault::Cpu
        | Fault::Deadline
        | Fault::TotalTime
        | Fault::SlowQuote(_)
        | Fault::SlowRequest
        | Fault::RequestEndedEarly(_)
        | Fault::Unread
        | Fault::NoResponse(_) => tracing::warn!(%fault, backtrace = fault.backtrace(), "a plugin failed"),
    }
}

/// The status of the answer for a plugin that broke its contract.
pub(crate) const BROKEN_CONTRACT_STATUS: u16 = StatusCode::BAD_GATEWAY.as_u16();

/// A plugin that broke its contract.
pub(super) fn misbehaved(what: &str, charged: Charged) -> Reply {
    tracing::warn!(%what, "a plugin broke its contract");
    let message = format!("the endpoint misbehaved; {}", consequence(charged));
    error(StatusCode::BAD_GATEWAY, "plugin_broke_contract", &message, charged)
}

/// The consequence of a plugin's failure for the payer, and the payer's next step.
fn consequence(charged: Charged) -> &'static str {
    match charged {
        Charged::No => "nothing was charged",
        Charged::Yes => "it was paid for and is owed: send the same request with the same payment again",
        Charged::Unknown => "it may have been charged: send the same request with the same payment again",
    }
}
