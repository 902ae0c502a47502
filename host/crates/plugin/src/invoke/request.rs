//! Prepares a client's request for a guest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONNECTION;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::contract::{RequestBody, RequestBodyError};
use crate::fault::Fault;
use crate::headers::{HostOnly, is_kept_from_guests, remove};
use crate::instance::exchange::RequestProgress;

/// Gives a request an absolute URI and a body that ends at its limit, and removes the fields that a guest must not see.
///
/// `progress` is told what the guest reads of the body.
pub(super) fn prepare(
    request: Request<RequestBody>,
    limit: u64,
    is_host_only: HostOnly,
    progress: &Arc<RequestProgress>,
) -> Result<Request<WasiBody>, Fault> {
    let (mut parts, body) = request.into_parts();
    let named: Vec<HeaderName> = parts
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    // Fields that `Connection` names belong to the connection (RFC 9110, section 7.6.1).
    for name in named {
        parts.headers.remove(name);
    }
    let host = parts.headers.remove(http::header::HOST);
    remove(&mut parts.headers, |name| is_kept_from_guests(name, is_host_only));
    parts.uri = absolute(parts.uri, host.as_ref())?;
    Ok(Request::from_parts(parts, bounded(body, limit, progress, is_host_only)))
}

/// Completes a request target. `https` stays, and any other scheme becomes `http`.
fn absolute(uri: Uri, host: Option<&http::HeaderValue>) -> Result<Uri, Fault> {
    let mut uri = uri.into_parts();
    if uri.authority.is_none() {
        // A guest cannot do without an authority. The server has decided earlier whether it accepts a request without a
        // host.
        let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        uri.authority = Some(host.unwrap_or_else(|| Authority::from_static("localhost")));
    }
    if uri.scheme.as_ref() != Some(&Scheme::HTTPS) {
        uri.scheme = Some(Scheme::HTTP);
    }
    uri.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    Uri::from_parts(uri).map_err(|error| Fault::NoResponse(format!("the request's target does not fit a URI: {error}")))
}

fn bounded(body: RequestBody, limit: u64, progress: &Arc<RequestProgress>, is_host_only: HostOnly) -> WasiBody {
    // A body that declares a size within the limit needs no count of its bytes.
    let fits = body.size_hint().upper().is_some_and(|size| size <= limit);
    // An empty body is never waited for and has no trailers, so it needs no layer for either.
    let body = if body.size_hint().exact() == Some(0) {
        body
    } else {
        GuestRequestBody { body, progress: Arc::clone(progress), is_host_only }.boxed_unsync()
    };
    let progress = Arc::clone(progress);
    let body_error = move |error| body_error(&progress, &error);
    if fits {
        body.map_err(body_error).boxed_unsync()
    } else {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Limited::new(body, limit).map_err(body_error).boxed_unsync()
    }
}

/// A request's body that reports whether the guest waits for it, and whose trailers are filtered like the headers.
struct GuestRequestBody {
    body: RequestBody,
    progress: Arc<RequestProgress>,
    is_host_only: HostOnly,
}

impl Body for GuestRequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.progress.set_awaited(polled.is_pending());
        polled.map_ok(|frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                remove(&mut trailers, |name| is_kept_from_guests(name, self.is_host_only));
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn body_error(progress: &RequestProgress, error: &RequestBodyError) -> Error {
    let is_too_large = error.is::<LengthLimitError>();
    progress.set_broken(is_too_large);
    if is_too_large {
        Error::HttpRequestBodySize(None)
    } else {
        Error::InternalError(Some("the request's body ended early".into()))
    }
}
