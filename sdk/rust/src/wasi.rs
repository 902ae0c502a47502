//! Implements what differs between versions of `wasi:http`: the handler, requests to other servers, and the clock. The
//! feature `wasi3` chooses the version.

use std::error::Error;
use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::body::{Body, BodyError};
use crate::dispatch::{self, RawRequest};
use crate::{Refusal, Response, log};

/// WASI 0.2, on the event loop of `wstd`.
#[cfg(not(feature = "wasi3"))]
mod v2;
#[cfg(not(feature = "wasi3"))]
pub(crate) use v2::{send, sleep};

/// WASI 0.3, on the event loop of the host.
#[cfg(feature = "wasi3")]
mod v3;
#[cfg(feature = "wasi3")]
pub(crate) use v3::{send, sleep};

/// A body that comes from the host, as a stream of chunks. Trailers are dropped.
struct IncomingBody<B>(B);

impl<B> futures_core::Stream for IncomingBody<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match Pin::new(&mut self.0).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) => Poll::Ready(Some(Ok(chunk))),
                    // The frame holds trailers.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::new(error)))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

/// Runs the endpoint of a request, or refuses what is not HTTP.
async fn serve<B>(request: Result<http::Request<B>, impl Display>) -> Response
where
    IncomingBody<B>: futures_core::Stream<Item = Result<Bytes, BodyError>> + 'static,
{
    match request {
        Ok(request) => {
            let (head, body) = request.into_parts();
            // These may hold a handle that the host wants back before that of the request, which the body has.
            drop(head.extensions);
            let raw = RawRequest {
                method: head.method,
                path: head.uri.path().to_owned(),
                query: head.uri.query().map(str::to_owned),
                headers: head.headers,
                body: Body::chunks(IncomingBody(body)),
            };
            dispatch::serve(raw).await
        }
        Err(error) => {
            log::warn(format_args!("a request that is not HTTP: {error:#}"));
            Refusal::bad_request("invalid_request", "the request is not valid HTTP").response()
        }
    }
}

/// Gives the host the header fields of an answer, with the length of a body that is whole. A field that the host does
/// not take is left out.
fn append_fields<E: Display>(
    status: StatusCode,
    headers: &HeaderMap,
    body: &Body,
    mut append: impl FnMut(&HeaderName, &[u8]) -> Result<(), E>,
) {
    for (name, value) in headers {
        if let Err(error) = append(name, value.as_bytes()) {
            log::warn(format_args!("the header {name} is not for a plugin to set: {error}"));
        }
    }
    // A response with one of these statuses and without a body has no length either (RFC 9110, section 8.6).
    if let (Some(whole), false) = (body.whole(), headers.contains_key(CONTENT_LENGTH))
        && (!whole.is_empty() || !matches!(status.as_u16(), 204 | 304))
        && let Err(error) = append(&CONTENT_LENGTH, whole.len().to_string().as_bytes())
    {
        log::warn(format_args!("the answer has no content-length: {error}"));
    }
}

/// Logs why an answer ended before it was complete.
fn log_cut_short(error: &BodyError) {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    log::error(format_args!("an answer was cut short: {source}"));
}

/// A request's body that is being sent.
type Upload = Pin<Box<dyn Future<Output = Result<(), BodyError>>>>;

/// Goes on with the upload, if it has not ended.
fn poll_upload(upload: &mut Option<Upload>, cx: &mut Context<'_>) -> Result<(), BodyError> {
    match upload.as_mut().map(|upload| upload.as_mut().poll(cx)) {
        Some(Poll::Ready(end)) => {
            *upload = None;
            end
        }
        Some(Poll::Pending) | None => Ok(()),
    }
}

/// The body of another server's answer, beside the request's body, which may not have been sent yet.
struct ReceivedWhileSending<B> {
    received: B,
    upload: Option<Upload>,
}

impl<B> futures_core::Stream for ReceivedWhileSending<B>
where
    B: futures_core::Stream<Item = Result<Bytes, BodyError>> + Unpin,
{
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The other server says what it makes of a broken upload in its answer, whose body ends early or does not.
        let _ = poll_upload(&mut self.upload, cx);
        Pin::new(&mut self.received).poll_next(cx)
    }
}

/// Sets the length of a request whose body is whole: without one a host would send chunks, which some servers refuse
/// for a short body or for none.
fn set_length(headers: &mut HeaderMap, body: &Body) {
    if let Some(whole) = body.whole() {
        headers.insert(CONTENT_LENGTH, whole.len().into());
    }
}
