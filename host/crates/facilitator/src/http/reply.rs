//! Writes the service's answers.

#![expect(
    clippy::disallowed_types,
    reason = "`coinslot facilitator` is a server of its own, with the protocol's statuses"
)]

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Unavailable;

pub(super) type JsonResponse = Response<Full<Bytes>>;

pub(super) fn reply<T: Serialize>(status: StatusCode, body: &T) -> JsonResponse {
    let body = serde_json::to_vec(body).expect("our answers have string keys and no failing serializers");
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

pub(super) fn failure(status: StatusCode, error: &str) -> JsonResponse {
    reply::<Value>(status, &json!({ "error": error }))
}

pub(super) fn not_allowed(allowed: &'static str) -> JsonResponse {
    let mut reply = failure(StatusCode::METHOD_NOT_ALLOWED, &format!("this path answers {allowed}"));
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

/// The answer while the chain cannot be asked. The details are for the operator's log.
pub(super) fn unavailable(error: &Unavailable) -> JsonResponse {
    tracing::warn!(%error, "the chain cannot be asked");
    failure_for_now("the chain cannot be asked at the moment: try again with the same payment")
}

pub(super) fn failure_for_now(error: &str) -> JsonResponse {
    let mut reply = failure(StatusCode::SERVICE_UNAVAILABLE, error);
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    reply
}
