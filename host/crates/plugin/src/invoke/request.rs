//! A request on its way to a guest: what is taken out of it, and its body, which ends at its limit.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::capabilities::egress::is_withheld;
use crate::{Fault, RequestBody, RequestBodyError};

/// Makes a request fit for a guest: an absolute URI, no field of the connection or about a payment,
/// and a body that ends at its limit.
pub(crate) fn prepare(
    request: Request<RequestBody>,
    limit: u64,
    arriving: &Arc<AtomicBool>,
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
    for name in named {
        parts.headers.remove(name);
    }
    let host = parts.headers.remove(http::header::HOST);
    let withheld: Vec<HeaderName> = parts.headers.keys().filter(|name| is_kept_back(name)).cloned().collect();
    for name in withheld {
        parts.headers.remove(name);
    }
    let mut uri = parts.uri.into_parts();
    if uri.authority.is_none() {
        // A guest cannot do without one. Whether a request without a host is acceptable was decided
        // before it came here.
        let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        uri.authority = Some(host.unwrap_or_else(|| Authority::from_static("localhost")));
    }
    if uri.scheme.as_ref() != Some(&Scheme::HTTPS) {
        uri.scheme = Some(Scheme::HTTP);
    }
    uri.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    parts.uri = Uri::from_parts(uri)
        .map_err(|error| Fault::NoResponse(format!("the request's target does not fit a URI: {error}")))?;
    let known = body.size_hint().upper().is_some_and(|size| size <= limit);
    // What is there already is not waited for.
    let body = if body.size_hint().exact() == Some(0) {
        body
    } else {
        Arriving { body, waited_for: Arc::clone(arriving) }.boxed_unsync()
    };
    let body = if known {
        body.map_err(body_error).boxed_unsync()
    } else {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Limited::new(body, limit).map_err(body_error).boxed_unsync()
    };
    Ok(Request::from_parts(parts, body))
}

/// A request's body that says whether the guest waits for it.
struct Arriving {
    body: RequestBody,
    waited_for: Arc<AtomicBool>,
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.waited_for.store(polled.is_pending(), Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What no guest is given of a client's request, whether it is asked for a price or for the answer. Plugins set no
/// cookies, so these are of the operator's other pages, and their business alone.
pub(crate) fn is_kept_back(name: &HeaderName) -> bool {
    is_withheld(name) || is_a_claim(name) || *name == COOKIE
}

/// What only a host says of a payment: from a client it is a claim, and a guest could take it for a receipt.
fn is_a_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    let payment = name.strip_prefix("x-").unwrap_or(name).strip_prefix("payment");
    payment.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        || matches!(name, "x-coinslot-payment-id" | "settlement-overrides" | "extension-responses")
}

fn body_error(error: RequestBodyError) -> Error {
    if error.is::<LengthLimitError>() {
        Error::HttpRequestBodySize(None)
    } else {
        Error::InternalError(Some("the request's body ended early".into()))
    }
}
