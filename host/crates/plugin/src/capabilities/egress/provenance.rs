//! Carries what outgoing requests have of the request that they are sent for: its servers, its id and its trace.
//!
//! A trace goes on in the fields of W3C Trace Context. An observer writes them where each outgoing request is a span
//! of its own; otherwise the fields of the incoming request are passed on. What a guest writes itself stays: it may
//! have spans that the host does not know.

use std::fmt;
use std::sync::Arc;

use coinslot_base::request_id::RequestId;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use wasmtime_wasi_http::{Error, WasiBody};

use super::loop_guard::LoopGuard;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Told of the requests that a guest sends while it handles one. It must not block.
pub trait OutgoingObserver: Send + Sync + fmt::Debug {
    /// A request is about to be sent. `headers` takes the fields of its span, unless the guest has written its own.
    fn begin(&self, method: &Method, uri: &Uri, headers: &mut HeaderMap) -> Box<dyn OutgoingCall>;
}

/// An outgoing request that is under way. If it is dropped, its guest has given it up.
pub trait OutgoingCall: Send {
    fn ended(self: Box<Self>, end: &OutgoingEnd);
}

/// The end of an outgoing request, as far as the head of its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutgoingEnd {
    Answered(u16),
    /// The operator has not allowed its target.
    Denied,
    Failed(String),
}

impl OutgoingEnd {
    pub(super) fn of(sent: &Result<Response<WasiBody>, Error>) -> Self {
        match sent {
            Ok(response) => Self::Answered(response.status().as_u16()),
            Err(error) => Self::of_error(error),
        }
    }

    pub(super) fn of_error(error: &Error) -> Self {
        match error {
            Error::HttpRequestDenied | Error::DestinationIpProhibited => Self::Denied,
            error => Self::Failed(error.to_string()),
        }
    }
}

/// The request that outgoing requests are sent for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provenance {
    loop_guard: LoopGuard,
    request_id: Option<RequestId>,
    traceparent: Option<HeaderValue>,
    tracestate: Option<HeaderValue>,
    observer: Option<Arc<dyn OutgoingObserver>>,
}

impl Provenance {
    /// Reads the fields of an incoming request, which the host has checked.
    pub(crate) fn of(headers: &HeaderMap, observer: Option<Arc<dyn OutgoingObserver>>) -> Self {
        let traceparent = headers.get(TRACEPARENT).cloned();
        Self {
            loop_guard: LoopGuard::of(headers),
            request_id: RequestId::current(),
            tracestate: traceparent.as_ref().and_then(|_| headers.get(TRACESTATE).cloned()),
            traceparent,
            observer,
        }
    }

    pub(crate) fn request_id(&self) -> Option<RequestId> {
        self.request_id
    }

    /// Calls this in the name of the request, so that what it logs has the id.
    pub(super) fn named<T>(&self, work: impl FnOnce() -> T) -> T {
        match self.request_id {
            Some(id) => id.within(work),
            None => work(),
        }
    }

    /// The value of `CDN-Loop`. None if the request has been passed on often enough.
    pub(super) fn next_hop(&self) -> Option<HeaderValue> {
        self.loop_guard.next()
    }

    /// Continues the trace in an outgoing request.
    pub(super) fn begin(&self, request: &mut Request<WasiBody>) -> Option<Box<dyn OutgoingCall>> {
        let call = self.observer.as_ref().map(|observer| {
            let (method, uri) = (request.method().clone(), request.uri().clone());
            observer.begin(&method, &uri, request.headers_mut())
        });
        let headers = request.headers_mut();
        if let Some(traceparent) = &self.traceparent
            && !headers.contains_key(TRACEPARENT)
        {
            headers.insert(TRACEPARENT, traceparent.clone());
            // The state of another trace means nothing in this one.
            headers.remove(TRACESTATE);
            headers.extend(self.tracestate.clone().map(|state| (TRACESTATE, state)));
        }
        call
    }
}
