//! Tells an observer how each request went, when its answer has ended.
//!
//! Without an observer, as in `serve`, no request carries a trace, no clock is read, and no body is wrapped. What the
//! observer learns is read from the response, as a client sees it, and from the trace.

mod body;
mod media_type;
mod span;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coinslot_base::request_id::RequestId;
use coinslot_ledger::FreeKind;
use coinslot_x402::header::{PAYMENT_RESPONSE, X_PAYMENT_RESPONSE};
use http::header::{CONTENT_LENGTH, HeaderName};
use http::{Method, Request, Uri};
use http_body::Body as _;
use http_body_util::BodyExt;

use self::body::WatchedBody;
use self::media_type::media_type_advice;
use crate::endpoint::{Access, Endpoint};
use crate::payment::{OutgoingCounts, RequestSpans, RequestTrace, Stage, StageTimes, TracedPayment};
use crate::respond::{CHARGED, ErrorCode, FailureNote, Reply};

/// The names of fields, made once: to make one from its text costs as much as to find it.
static CHARGED_NAME: HeaderName = HeaderName::from_static(CHARGED);
static PAYMENT_RESPONSES: [HeaderName; 2] =
    [HeaderName::from_static(PAYMENT_RESPONSE), HeaderName::from_static(X_PAYMENT_RESPONSE)];

/// Called for each request when its answer has ended. It must not block.
#[derive(Clone)]
pub struct RequestObserver {
    observe: Arc<dyn Fn(RequestReport) + Send + Sync>,
    reads_texts: bool,
}

impl RequestObserver {
    pub fn new(observe: impl Fn(RequestReport) + Send + Sync + 'static) -> Self {
        Self { observe: Arc::new(observe), reads_texts: true }
    }

    /// An observer that counts. Its reports have no target, reason, advice and payment, each of which costs a copy.
    pub fn counting(observe: impl Fn(RequestReport) + Send + Sync + 'static) -> Self {
        Self { observe: Arc::new(observe), reads_texts: false }
    }

    /// Tells how a request went.
    pub fn observe(&self, report: RequestReport) {
        (self.observe)(report);
    }

    /// True if its reports have texts for people.
    pub fn reads_texts(&self) -> bool {
        self.reads_texts
    }
}

impl fmt::Debug for RequestObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestObserver(..)")
    }
}

/// A request, and how it went.
#[derive(Clone, Debug)]
pub struct RequestReport {
    pub id: RequestId,
    pub method: Method,
    /// The target, as the client wrote it, for an observer that reads texts.
    pub uri: Option<Uri>,
    /// None if no plugin serves the path.
    pub endpoint: Option<Arc<Endpoint>>,
    /// None if the client left before it had an answer.
    pub status: Option<u16>,
    pub outcome: RequestOutcome,
    /// The reason why the request was not answered, or not to the end.
    pub reason: Option<String>,
    /// The code of the error that the host answered.
    pub code: Option<String>,
    /// Advice to the author of the plugin about an answer that went out.
    pub advice: Option<String>,
    /// The payment that the request carries, if its signer is proven, for an observer that reads texts.
    pub payment: Option<TracedPayment>,
    /// The grounds for serving the request without a payment, at a paid endpoint.
    pub free: Option<FreeKind>,
    /// The requests of the plugin to other servers.
    pub outgoing: OutgoingCounts,
    /// The time in each stage; the run of a streamed answer has the time of its reader, too.
    pub times: StageTimes,
    pub total: Duration,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The host answered by itself: no plugin serves the path, or it is the host's own.
    OfHost,
    /// The client was told the price.
    Asked,
    /// Answered without a payment.
    Free,
    /// Paid and answered.
    Paid,
    /// Answered for a payment of an earlier request.
    PaidBefore,
    /// Refused before anything was paid.
    Refused,
    /// Not answered after the plugin ran, and nothing was charged.
    Failed,
    /// Paid, and the answer is owed.
    Owed,
    /// It is not known whether the payment of the request was charged.
    Unknown,
    /// The plugin failed in the middle of its answer.
    BrokenOff,
    /// The client left before it had the whole answer.
    HungUp,
}

impl RequestReport {
    /// The method. Semantic conventions of OpenTelemetry: one that is not of RFC 9110 or RFC 5789 is `_OTHER`.
    pub fn method_name(&self) -> &'static str {
        method_name(&self.method)
    }
}

/// The name of a method in metrics and traces, of which there are few, whatever clients send.
pub(crate) fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

impl RequestOutcome {
    /// Its name in metrics and traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OfHost => "host",
            Self::Asked => "challenged",
            Self::Free => "free",
            Self::Paid => "paid",
            Self::PaidBefore => "paid_before",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Owed => "owed",
            Self::Unknown => "unknown",
            Self::BrokenOff => "broken_off",
            Self::HungUp => "hung_up",
        }
    }
}

/// A request that is observed. If it is dropped before its answer, the client has left.
///
/// It is moved with the request, so it is small: the report is made at the end, once.
pub(super) struct WatchedRequest {
    observer: RequestObserver,
    begun: Instant,
    trace: RequestTrace,
    id: RequestId,
    method: Method,
    uri: Option<Box<Uri>>,
    answer: ObservedAnswer,
    is_reported: bool,
}

/// The facts of an answer, as far as it was seen.
#[derive(Debug)]
struct ObservedAnswer {
    status: Option<u16>,
    outcome: RequestOutcome,
    /// The time that the guest took to write the body after the head.
    streamed: Duration,
    code: Option<String>,
    reason: Option<String>,
    advice: Option<String>,
}

impl WatchedRequest {
    /// Begins to observe a request.
    pub(super) fn begin<B>(
        observer: &RequestObserver,
        request: &Request<B>,
        id: RequestId,
        spans: Option<RequestSpans>,
    ) -> Self {
        let answer = ObservedAnswer {
            status: None,
            outcome: RequestOutcome::HungUp,
            streamed: Duration::ZERO,
            code: None,
            reason: None,
            advice: None,
        };
        Self {
            observer: observer.clone(),
            begun: Instant::now(),
            trace: RequestTrace::watched(spans, observer.reads_texts),
            id,
            method: request.method().clone(),
            uri: observer.reads_texts.then(|| Box::new(request.uri().clone())),
            answer,
            is_reported: false,
        }
    }

    pub(super) fn trace(&self) -> RequestTrace {
        self.trace.clone()
    }

    /// Takes note of the answer, whose body then tells the observer.
    pub(super) fn answered(mut self, reply: Reply) -> Reply {
        let endpoint = self.trace.endpoint().map(|endpoint| &**endpoint);
        let outcome = self.outcome(&reply, endpoint);
        let reads_texts = self.observer.reads_texts;
        let advice = endpoint.filter(|_| reads_texts).and_then(|one| media_type_advice(one, outcome, &reply));
        self.answer.status = Some(reply.status().as_u16());
        self.answer.outcome = outcome;
        self.answer.advice = advice;
        // Most requests end so: it is not watched whether a client reads its challenge.
        if outcome == RequestOutcome::Asked {
            self.finish();
            return reply;
        }
        self.answer.code = reply.extensions().get::<ErrorCode>().map(|code| code.0.clone());
        if reads_texts {
            self.answer.reason = reply.extensions().get::<FailureNote>().map(|note| note.0.clone());
        }
        let explains = reads_texts && reply.status().as_u16() >= 400;
        let declared = reply.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        reply.map(|body| {
            let known = body.size_hint().exact();
            let streamed = known.is_none().then(Instant::now);
            WatchedBody { left: known.or(declared), body, streamed, explains, request: Some(Box::new(self)) }
                .boxed_unsync()
        })
    }

    fn outcome(&self, reply: &Reply, endpoint: Option<&Endpoint>) -> RequestOutcome {
        let Some(endpoint) = endpoint else { return RequestOutcome::OfHost };
        let status = reply.status().as_u16();
        if let Access::Free = endpoint.access {
            // The plugin has refused a request if the code of 4xx is its own: an answer of the host about it has one.
            let is_guests = reply.extensions().get::<ErrorCode>().is_none();
            return match (status, self.trace.has_run()) {
                (..400, _) => RequestOutcome::Free,
                (..500, true) if is_guests => RequestOutcome::Refused,
                (_, true) => RequestOutcome::Failed,
                (_, false) => RequestOutcome::Refused,
            };
        }
        let is_asked = status == 402 && !self.trace.carries_payment();
        let charged = reply.headers().get(&CHARGED_NAME).map(|word| word.as_bytes());
        // Most requests are challenges: nothing more is looked up for them.
        if charged.is_none() && is_asked {
            return RequestOutcome::Asked;
        }
        let is_paid = PAYMENT_RESPONSES.iter().any(|name| reply.headers().contains_key(name));
        match charged {
            Some(b"yes") => RequestOutcome::Owed,
            // A request that is refused was not begun; what an earlier one paid is another matter.
            Some(b"unknown") if status < 500 => RequestOutcome::Refused,
            Some(b"unknown") => RequestOutcome::Unknown,
            Some(_) if is_asked => RequestOutcome::Asked,
            Some(_) if self.trace.has_run() => RequestOutcome::Failed,
            Some(_) => RequestOutcome::Refused,
            None if is_paid && self.trace.has_run() => RequestOutcome::Paid,
            None if is_paid => RequestOutcome::PaidBefore,
            None if status >= 400 => RequestOutcome::Failed,
            None => RequestOutcome::Free,
        }
    }

    /// Gives the report to the observer, once.
    fn finish(&mut self) {
        if std::mem::replace(&mut self.is_reported, true) {
            return;
        }
        let answer = &mut self.answer;
        let mut times = self.trace.times();
        times.add(Stage::Run, answer.streamed);
        let report = RequestReport {
            id: self.id,
            method: std::mem::take(&mut self.method),
            uri: self.uri.take().map(|uri| *uri),
            // A client that left before its answer has an endpoint, too.
            endpoint: self.trace.endpoint().cloned(),
            status: answer.status,
            outcome: answer.outcome,
            reason: answer.reason.take(),
            code: answer.code.take(),
            advice: answer.advice.take(),
            payment: self.trace.payment().cloned(),
            free: self.trace.free(),
            outgoing: self.trace.outgoing(),
            times,
            total: self.begun.elapsed(),
        };
        if let Some(span) = self.trace.spans().and_then(RequestSpans::take_server) {
            span::end(span, &report);
        }
        self.observer.observe(report);
    }
}

impl Drop for WatchedRequest {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for WatchedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedRequest").field("id", &self.id).field("answer", &self.answer).finish_non_exhaustive()
    }
}
