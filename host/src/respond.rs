//! Makes every response: the only module that names a status code.
//!
//! Every error is JSON with a stable `error`, a `message` that says what to do, and `charged`. A 402 carries the
//! version 2 challenge in its header and the version 1 challenge as its body. Reserved headers are the host's: what a
//! guest writes there is dropped. The text of a guest's fault stays in the log; a guest's refusal and a facilitator's
//! reason go out as they are.

#![expect(clippy::disallowed_types, reason = "the one module that decides what a client of the host sees")]
#![deny(clippy::wildcard_enum_match_arm)]

mod allowed;
mod cors;
mod document;
mod error;
mod event_stream;
mod exceeded;
mod headers;
mod intermediaries;
mod mcp;
mod note;
mod paid;
mod plugin;
mod problem;
mod required;
mod sandbox;
mod settlement;
mod unroutable;

use bytes::Bytes;
use coinslot_plugin::Fault;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

pub use allowed::allowed;
pub use cors::options;
use cors::with_cors;
pub use document::{document, paywall};
pub(crate) use error::ErrorCode;
pub(crate) use headers::{CHARGED, is_host_only};
pub use mcp::{McpRefusal, mcp_answer, mcp_ended, mcp_notices, mcp_refused};
pub use note::FailureNote;
pub use paid::{settled, unserved};
pub(crate) use plugin::BROKEN_CONTRACT_STATUS;
pub use plugin::free;
pub use required::challenge;
pub use unroutable::{Unroutable, unroutable};

/// A response on its way out.
pub type Reply = Response<ReplyBody>;
/// The body of a response; an error ends the connection, since the head is gone.
pub type ReplyBody = UnsyncBoxBody<Bytes, Fault>;

/// Ends the connection after this response. Source: RFC 9112, section 9.6.
pub fn last(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
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

fn full(body: Bytes) -> ReplyBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

fn empty() -> ReplyBody {
    full(Bytes::new())
}
