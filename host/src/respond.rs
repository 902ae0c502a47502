//! Makes every response: the only module that names a status code.
//!
//! Every error is JSON with a stable `error`, a `message` that says what to do, and `charged`. A 402 carries the
//! version 2 challenge in its header and the version 1 challenge as its body. Reserved headers are the host's: what a
//! guest writes there is dropped. The text of a guest's fault stays in the log; a guest's refusal and a facilitator's
//! reason go out as they are.

#![expect(clippy::disallowed_types, reason = "the one module that decides what a client of the host sees")]
#![deny(clippy::wildcard_enum_match_arm)]

mod error;
mod headers;
mod intermediaries;
mod paid;
mod plugin;
mod problem;
mod required;
mod settlement;
mod unroutable;

use bytes::Bytes;
use coinslot_plugin::Fault;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

pub(crate) use headers::is_host_only;
pub use paid::paid;
pub use plugin::free;
pub use required::challenge;
pub use unroutable::{Unroutable, unroutable};

/// A response on its way out.
pub type Reply = Response<ReplyBody>;
/// The body of a response; an error ends the connection, since the head is gone.
pub type ReplyBody = UnsyncBoxBody<Bytes, Fault>;

// Static, because a name is looked up and hashed each time that it is made.
static ALLOW_ORIGIN: HeaderName = HeaderName::from_static("access-control-allow-origin");
static EXPOSE_HEADERS: HeaderName = HeaderName::from_static("access-control-expose-headers");

/// Ends the connection after this response. Source: RFC 9112, section 9.6.
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

/// The report of the readiness path: 200, or 503 with the obstacles.
pub fn ready(obstacles: &[&str]) -> Reply {
    let status = if obstacles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &serde_json::json!({ "ready": obstacles.is_empty(), "obstacles": obstacles }))
}

/// A JSON document of the host's own, which no cache stores.
fn json(status: StatusCode, document: &serde_json::Value) -> Reply {
    uncached(status, document.to_string().into())
}

fn uncached(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(full(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// Lets every page call the host: the payment is the credential, cookies are not.
fn with_cors(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(&ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        &EXPOSE_HEADERS,
        HeaderValue::from_static(
            "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, X-Coinslot-Payment-Id, X-Coinslot-Charged, \
             Retry-After",
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
