//! How everything looks to a client: the only file that names a status code.
//!
//! Every error is JSON with a stable `error`, a `message` that says what to do, and `charged`; a 402
//! carries the version 2 challenge in its header and the version 1 challenge as its body. Reserved
//! headers are the host's: what a guest writes there is dropped. The text of a guest's fault stays in
//! the log; a guest's refusal and a facilitator's reason go out as they are.

#![deny(clippy::wildcard_enum_match_arm)]

mod fields;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::{Method, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use self::fields::{Clean, clean, private};
use crate::payment::{Answer, Charged, Failure, Finished, Problem, Settled, SettledPayment};
use crate::route::PathError;
use coinslot_plugin::{Fault, ResponseBody, Verdict};
use coinslot_x402::price::Challenge;
use coinslot_x402::{Reason, SettlementResponse, Version, header};

/// What goes out.
pub type Reply = Response<ReplyBody>;
/// Its body; an error ends the connection, since the head is gone.
pub type ReplyBody = UnsyncBoxBody<Bytes, Fault>;

/// How long a client should wait before it sends the same payment again, in seconds.
const RETRY_SECONDS: u64 = 2;

/// The same while the operator has to do something first.
const FUNDING_SECONDS: u64 = 30;

// Made once: a name is looked up and hashed each time that it is made.
static PAYMENT_REQUIRED: HeaderName = HeaderName::from_static(header::PAYMENT_REQUIRED);
static ALLOW_ORIGIN: HeaderName = HeaderName::from_static("access-control-allow-origin");
static EXPOSE_HEADERS: HeaderName = HeaderName::from_static("access-control-expose-headers");

/// Why a request was not even looked up.
#[derive(Debug)]
pub enum Unroutable {
    /// The path has no meaning here.
    Path(PathError),
    /// Nothing is at this path.
    NotFound,
    /// The path exists, with other methods.
    Method(Vec<Method>),
    /// No `Host`, several, or one that is not a host.
    Host(&'static str),
    /// A host that is not ours.
    Misdirected,
    /// The host is shutting down.
    Closing,
}

/// An answer of a free route: the guest's, cleaned of reserved headers, streamed.
pub fn free(answer: Result<Response<ResponseBody>, Fault>) -> Reply {
    match answer {
        Ok(response) if Verdict::of(response.status().as_u16()) == Verdict::Forbidden => {
            misbehaved("the plugin answered 402 itself", Charged::No)
        }
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = body.map_err(|fault| {
                tracing::warn!(%fault, "a plugin failed while it answered");
                fault
            });
            with_cors(dressed(head.status.as_u16(), head.headers, body))
        }
        Err(fault) => plugin_fault(&fault),
    }
}

/// The end of a paid request.
pub fn paid(end: Result<Finished, Problem>) -> Reply {
    match end {
        Ok(Finished::Settled(settled)) => sold(settled),
        Ok(Finished::Declined(answer)) => with_cors(whole(answer)),
        Err(problem) => {
            let charged = problem.charged().as_str();
            let reply = with_cors(explain(problem));
            tracing::debug!(status = reply.status().as_u16(), charged, "a paid route was not served");
            reply
        }
    }
}

/// The ready challenge, for a request that carries no payment. Not to be stored, so no cache can give a page what was
/// said to a program: only a page is told what it may read.
pub fn challenge(challenge: &Challenge, to_page: bool) -> Reply {
    let reply = required(StatusCode::PAYMENT_REQUIRED, challenge, None);
    if to_page { with_cors(reply) } else { reply }
}

/// What was bought, all of it or as it comes.
fn sold(settled: Settled) -> Reply {
    let (status, mut headers, paid_body, settled) = settled.open();
    private(&mut headers);
    // With a length HTTP/1 would not ask for the end of a body that streams, and what ends it is in the ledger first.
    headers.remove(CONTENT_LENGTH);
    with_cors(with_goods(dressed(status, headers, paid_body), &settled))
}

/// The receipt and the payment's name.
fn with_goods(mut reply: Reply, settled: &SettledPayment) -> Reply {
    receipt(&mut reply, &settled.settlement, settled.version);
    payment_id_header(&mut reply, &settled.id.short());
    reply
}

/// The guest's answer as it was held.
fn whole(answer: Answer) -> Reply {
    let Answer { status, headers, body } = answer;
    dressed(status, headers, full(body))
}

/// A guest's answer without what only the host says.
fn dressed(
    status: u16,
    mut headers: HeaderMap,
    body: impl Body<Data = Bytes, Error = Fault> + Send + Unpin + 'static,
) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    clean(&mut headers);
    let bodiless = status.is_informational() || status == StatusCode::NO_CONTENT;
    if bodiless || body.size_hint().exact().is_some() {
        // It is said by who counts it, or not at all.
        headers.remove(CONTENT_LENGTH);
    }
    let mut reply = Response::new(Clean { body }.boxed_unsync());
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}

/// `PAYMENT-RESPONSE`, or its version 1 name.
fn receipt(reply: &mut Reply, settlement: &SettlementResponse, version: Version) {
    let mut settlement = settlement.clone();
    let name = match version {
        Version::V2 => header::PAYMENT_RESPONSE,
        Version::V1 => {
            // Legacy clients know networks by name.
            if let Ok(network) = coinslot_x402::Network::parse(&settlement.network)
                && let Some(name) = network.v1_name()
            {
                settlement.network = name.to_owned();
            }
            header::X_PAYMENT_RESPONSE
        }
    };
    if let Ok(value) = HeaderValue::from_str(&header::encode(&settlement)) {
        reply.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

fn payment_id_header(reply: &mut Reply, payment_id: &str) {
    if let Ok(value) = HeaderValue::from_str(payment_id) {
        reply.headers_mut().insert(HeaderName::from_static("x-coinslot-payment-id"), value);
    }
}

/// One arm for each problem: adding one stops here until somebody decides how it looks.
fn explain(problem: Problem) -> Reply {
    let charged = problem.charged();
    let error = |status, code: &str, message: &str| error(status, code, message, charged);
    let unavailable = |code: &str, message: &str| unavailable(code, message, charged);
    match problem {
        Problem::PaymentRequired(challenge) => required(StatusCode::PAYMENT_REQUIRED, &challenge, None),
        Problem::Malformed { error, challenge } => {
            required(StatusCode::BAD_REQUEST, &challenge, Some((error.reason().as_str(), error.to_string())))
        }
        Problem::Invalid { reason, message, challenge } => {
            let message =
                message.unwrap_or_else(|| "the payment was refused: sign a new one for this offer".to_owned());
            required(StatusCode::PAYMENT_REQUIRED, &challenge, Some((&reason, message)))
        }
        Problem::OtherVersion { taken, challenge } => {
            let message = match taken {
                Version::V2 => {
                    "this is paid by x402 version 2 only: send PAYMENT-SIGNATURE for an entry of the PAYMENT-REQUIRED header"
                }
                Version::V1 => {
                    "this is paid by x402 version 1 only: send X-PAYMENT for an entry of `accepts` of this answer"
                }
            };
            let reason = Reason::InvalidX402Version.as_str();
            required(StatusCode::BAD_REQUEST, &challenge, Some((reason, message.to_owned())))
        }
        Problem::Refused(refusal) => {
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
            error(status, &refusal.code, &refusal.message)
        }
        Problem::BodyTooLarge { limit } => error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            &format!("the request body is larger than {limit} bytes, the most that this endpoint takes"),
        ),
        Problem::BodyBroken => {
            error(StatusCode::BAD_REQUEST, "body_incomplete", "the request body ended early: send the whole body")
        }
        Problem::InFlight { payment_id } => {
            let mut reply = error(
                StatusCode::CONFLICT,
                "payment_in_flight",
                "this payment is being worked on: send the same request with the same payment again to fetch its answer",
            );
            retry_after(&mut reply);
            payment_id_header(&mut reply, &payment_id);
            reply
        }
        Problem::OtherRequest { payment_id } => {
            let mut reply = error(
                StatusCode::CONFLICT,
                "payment_used_for_another_request",
                "this payment was used for another request: repeat that request exactly, or sign a new payment",
            );
            payment_id_header(&mut reply, &payment_id);
            reply
        }
        Problem::AnswerGone { payment_id, settlement, version } => {
            let mut reply = error(
                StatusCode::GONE,
                "answer_no_longer_kept",
                "this payment was settled and its answer is no longer kept: sign a new payment to ask again",
            );
            receipt(&mut reply, &settlement, version);
            payment_id_header(&mut reply, &payment_id);
            reply
        }
        Problem::Owed { settled, failure } => {
            let reply = match failure {
                Failure::Fault(fault) => failed(&fault, charged),
                Failure::Declined(answer) => whole(answer),
                Failure::Misbehaved(what) => misbehaved(&what, charged),
            };
            with_goods(reply, &settled)
        }
        Problem::OwedLater { payment_id, wait } => {
            let mut reply = unavailable(
                "answer_owed",
                "this is paid and its answer is owed, but several tries to give it failed: send the same request with the same payment again after Retry-After, never a new one",
            );
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
            payment_id_header(&mut reply, &payment_id);
            reply
        }
        Problem::Plugin(fault) => plugin_fault(&fault),
        Problem::Misbehaved(what) => misbehaved(&what, Charged::No),
        Problem::TooMany { wait } => {
            let mut reply = error(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_payments",
                "too many payments in too short a time; nothing was charged: send the same request with the same payment later",
            );
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
            reply
        }
        Problem::CannotSettle => {
            let mut reply = unavailable(
                "cannot_settle",
                "payments cannot be settled now, so none is taken; nothing was charged: send the same request again later",
            );
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(FUNDING_SECONDS));
            reply
        }
        Problem::CannotVerify(what) => {
            tracing::error!(%what, "a payment could not be verified");
            unavailable(
                "cannot_verify",
                "the payment could not be verified now; nothing was charged: send the same payment again later",
            )
        }
        Problem::Ledger(what) => {
            tracing::error!(%what, "the ledger is not available");
            unavailable(
                "ledger_unavailable",
                "payments cannot be recorded now: do not pay again; send the same request with the same payment later",
            )
        }
        Problem::NotSettled { reason, message, transaction, network, payer, v1 } => {
            tracing::info!(%reason, ?message, "a settlement was refused");
            let mut reply = error(
                StatusCode::PAYMENT_REQUIRED,
                &reason,
                "the payment could not be settled and nothing was charged: sign a new payment",
            );
            let settlement = SettlementResponse {
                success: false,
                error_reason: Some(reason),
                error_message: None,
                payer: Some(payer),
                transaction,
                network,
                amount: None,
                extensions: None,
                extra: None,
            };
            receipt(&mut reply, &settlement, if v1 { Version::V1 } else { Version::V2 });
            reply
        }
        Problem::Unknown { payment_id } => {
            let mut reply = unavailable(
                "settlement_unknown",
                "the payment was sent and its settlement is not confirmed yet: do not pay again; send the same request with the same payment to fetch the answer",
            );
            payment_id_header(&mut reply, &payment_id);
            reply
        }
        Problem::Lost { payment_id } => {
            let mut reply = unavailable(
                "outcome_unknown",
                "the request ended unexpectedly: do not pay again; send the same request with the same payment",
            );
            if let Some(payment_id) = payment_id {
                payment_id_header(&mut reply, &payment_id);
            }
            reply
        }
    }
}

/// What a plugin's failure means for the money, and what to do about it.
fn money(charged: Charged) -> &'static str {
    match charged {
        Charged::No => "nothing was charged",
        Charged::Yes => "it was paid for and is owed: send the same request with the same payment again",
        Charged::Unknown => "it may have been charged: send the same request with the same payment again",
    }
}

/// What a plugin's failure looks like where nothing was paid. The text stays in the log.
fn plugin_fault(fault: &Fault) -> Reply {
    failed(fault, Charged::No)
}

/// A plugin's failure, and what it means for the money.
fn failed(fault: &Fault, charged: Charged) -> Reply {
    let money = money(charged);
    match fault {
        // Said when it began, and not for everybody who asks meanwhile.
        Fault::CircuitOpen { .. } => tracing::debug!(%fault, "a plugin was not asked"),
        Fault::Trap(_)
        | Fault::Memory
        | Fault::ResponseTooLarge
        | Fault::Cpu
        | Fault::Deadline
        | Fault::SlowRequest
        | Fault::Unread
        | Fault::NoResponse(_)
        | Fault::Busy => tracing::warn!(%fault, "a plugin failed"),
    }
    let error = |status, code: &str, message: &str| error(status, code, message, charged);
    let reply = match fault {
        Fault::Trap(_) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "plugin_failed", &format!("the endpoint failed; {money}"))
        }
        Fault::Memory => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "plugin_out_of_memory",
            &format!("the endpoint ran out of memory; {money}"),
        ),
        Fault::ResponseTooLarge => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "plugin_answer_too_large",
            &format!("the endpoint's answer was too large; {money}"),
        ),
        Fault::Cpu | Fault::Deadline | Fault::Unread => {
            error(StatusCode::GATEWAY_TIMEOUT, "plugin_timeout", &format!("the endpoint took too long; {money}"))
        }
        Fault::SlowRequest => error(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            &format!("the request's body did not come in time; {money}: send it again"),
        ),
        Fault::NoResponse(_) => {
            error(StatusCode::BAD_GATEWAY, "plugin_no_answer", &format!("the endpoint gave no valid answer; {money}"))
        }
        Fault::Busy => {
            unavailable("busy", &format!("the endpoint is busy; {money}: send the same request again"), charged)
        }
        Fault::CircuitOpen { retry } => {
            let message = format!("the endpoint failed repeatedly and is not asked for now; {money}: try again later");
            let mut reply = unavailable("plugin_unhealthy", &message, charged);
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry.as_secs() + 1));
            reply
        }
    };
    with_cors(reply)
}

fn misbehaved(what: &str, charged: Charged) -> Reply {
    tracing::warn!(%what, "a plugin broke its contract");
    let message = format!("the endpoint misbehaved; {}", money(charged));
    with_cors(error(StatusCode::BAD_GATEWAY, "plugin_broke_contract", &message, charged))
}

/// A request that no endpoint will see.
pub fn unroutable(why: &Unroutable) -> Reply {
    let error = |status, code: &str, message: &str| error(status, code, message, Charged::No);
    let reply = match why {
        Unroutable::Path(path @ PathError::TooLong) => {
            error(StatusCode::URI_TOO_LONG, "path_too_long", &path.to_string())
        }
        Unroutable::Path(
            path @ (PathError::NotAbsolute
            | PathError::EmptySegment
            | PathError::DotSegment
            | PathError::Forbidden
            | PathError::BadEncoding),
        ) => error(StatusCode::BAD_REQUEST, "bad_path", &path.to_string()),
        Unroutable::NotFound => error(StatusCode::NOT_FOUND, "not_found", "nothing is served at this path"),
        Unroutable::Method(methods) => {
            let mut reply = error(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path is served with other methods: see Allow",
            );
            reply.headers_mut().insert(ALLOW, allow(methods));
            reply
        }
        Unroutable::Host(why) => error(StatusCode::BAD_REQUEST, "bad_host", why),
        Unroutable::Misdirected => error(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "this host name is not served here: use the public address",
        ),
        Unroutable::Closing => unavailable(
            "closing",
            "the server is shutting down; nothing was charged: send the request again",
            Charged::No,
        ),
    };
    with_cors(reply)
}

/// An answer after which the connection ends. Source: RFC 9112, section 9.6.
pub fn last(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// `OPTIONS`, answered by the host: it never costs and never runs a guest.
pub fn options(methods: &[Method]) -> Reply {
    let mut reply = Response::new(empty());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(ALLOW, allow(methods));
    headers.insert(HeaderName::from_static("access-control-allow-methods"), allow(methods));
    headers.insert(
        HeaderName::from_static("access-control-allow-headers"),
        // The official clients set Access-Control-Expose-Headers on the paid *request*.
        HeaderValue::from_static(
            "PAYMENT-SIGNATURE, X-PAYMENT, SIGN-IN-WITH-X, Content-Type, Authorization, Accept, Access-Control-Expose-Headers",
        ),
    );
    headers.insert(HeaderName::from_static("access-control-max-age"), HeaderValue::from_static("86400"));
    with_cors(reply)
}

/// `HEAD` of a free route: the head without the body, which is not run to its end.
pub fn head_only(mut reply: Reply) -> Reply {
    if let Some(size @ 1..) = reply.body().size_hint().exact() {
        reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    }
    reply.map(|_| empty())
}

fn allow(methods: &[Method]) -> HeaderValue {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.sort_unstable();
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

/// A challenge; with a problem, its reason and advice join the version 1 body, which stays one that
/// version 1 clients parse.
fn required(status: StatusCode, challenge: &Challenge, problem: Option<(&str, String)>) -> Reply {
    let body = match problem {
        None => challenge.body.clone(),
        Some((reason, message)) => match serde_json::from_slice::<serde_json::Value>(&challenge.body) {
            Ok(serde_json::Value::Object(mut document)) => {
                document.insert("error".to_owned(), reason.into());
                document.insert("message".to_owned(), message.into());
                document.insert("charged".to_owned(), Charged::No.as_str().into());
                serde_json::Value::Object(document).to_string().into()
            }
            _ => challenge.body.clone(),
        },
    };
    let mut reply = Response::new(full(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(value) = &challenge.header {
        headers.insert(&PAYMENT_REQUIRED, value.clone());
    }
    reply
}

/// Whether the host is ready for requests, and what is in the way.
pub fn ready(obstacles: &[&str], head: bool) -> Reply {
    let ready = obstacles.is_empty();
    let body = serde_json::json!({ "ready": ready, "obstacles": obstacles }).to_string();
    let mut reply = Response::new(full(if head { Bytes::new() } else { body.into() }));
    *reply.status_mut() = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn error(status: StatusCode, code: &str, message: &str, charged: Charged) -> Reply {
    let body = serde_json::json!({ "error": code, "message": message, "charged": charged.as_str() }).to_string();
    let mut reply = Response::new(full(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn unavailable(code: &str, message: &str, charged: Charged) -> Reply {
    let mut reply = error(StatusCode::SERVICE_UNAVAILABLE, code, message, charged);
    retry_after(&mut reply);
    reply
}

fn retry_after(reply: &mut Reply) {
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
}

/// Any page may call a paid endpoint: the payment is the credential, cookies are not.
fn with_cors(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(&ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        &EXPOSE_HEADERS,
        HeaderValue::from_static(
            "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, X-Coinslot-Payment-Id, Retry-After",
        ),
    );
    reply
}

fn full(body: Bytes) -> ReplyBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

fn empty() -> ReplyBody {
    full(Bytes::new())
}
