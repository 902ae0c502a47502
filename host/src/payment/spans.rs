//! Makes the spans of a sampled request, with the SDK of OpenTelemetry.
//!
//! A request that is not sampled has none, and costs nothing here. Names of spans and attributes are those of the
//! semantic conventions for HTTP where there are some. Nothing of a body, a payment or a query is an attribute.

use std::sync::{Arc, OnceLock};

use coinslot_facilitator::{CallResult, CallTrace, Operation, TracedCall};
use coinslot_plugin::OutgoingEnd;
use http::{HeaderMap, Method, Uri};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span};
use parking_lot::Mutex;

/// The spans of one request.
#[derive(Debug)]
pub struct RequestSpans {
    tracer: SdkTracer,
    context: SpanContext,
    /// The span of the run of the guest, once there is one.
    run: OnceLock<SpanContext>,
    /// The span of the request itself. None once it has ended.
    server: Mutex<Option<Span>>,
}

/// A part of the work for a request. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct StageSpan(Span);

impl RequestSpans {
    /// Begins with the span of the request.
    pub fn begin(tracer: SdkTracer, server: Span) -> Self {
        let context = server.span_context().clone();
        Self { tracer, context, run: OnceLock::new(), server: Mutex::new(Some(server)) }
    }

    /// The span of the request, for the last attributes. It ends when it is dropped.
    pub(crate) fn take_server(&self) -> Option<Span> {
        self.server.lock().take()
    }

    /// The fields by which a guest continues the trace.
    pub(crate) fn headers(&self) -> HeaderMap {
        headers(&self.context)
    }

    pub(super) fn stage(&self, name: &'static str) -> StageSpan {
        self.child(&self.context, SpanBuilder::from_name(name).with_kind(SpanKind::Internal))
    }

    /// The trace of the calls of facilitators that are a part of this stage.
    pub(super) fn calls(&self, stage: &StageSpan) -> Arc<dyn CallTrace> {
        Arc::new(StageCalls { tracer: self.tracer.clone(), parent: stage.0.span_context().clone() })
    }

    /// Notes the span of the run: what the guest sends is a part of it.
    pub(super) fn runs(&self, span: &StageSpan) {
        let _ = self.run.set(span.0.span_context().clone());
    }

    /// Begins the span of a request that the guest sends, and continues the trace in its fields. A guest that has
    /// written `traceparent` has a span of its own in between, which stays.
    pub(super) fn outgoing(&self, method: &Method, uri: &Uri, fields: &mut HeaderMap) -> StageSpan {
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.as_str().to_owned()),
            KeyValue::new("server.address", uri.host().unwrap_or_default().to_owned()),
        ];
        attributes.extend(uri.port_u16().map(|port| KeyValue::new("server.port", i64::from(port))));
        let span = SpanBuilder::from_name(method.as_str().to_owned());
        let span = span.with_kind(SpanKind::Client).with_attributes(attributes);
        let span = self.child(self.run.get().unwrap_or(&self.context), span);
        if !fields.contains_key("traceparent") {
            fields.remove("tracestate");
            fields.extend(headers(span.0.span_context()));
        }
        span
    }

    fn child(&self, parent: &SpanContext, span: SpanBuilder) -> StageSpan {
        child(&self.tracer, parent, span)
    }
}

fn child(tracer: &SdkTracer, parent: &SpanContext, span: SpanBuilder) -> StageSpan {
    let parent = Context::new().with_remote_span_context(parent.clone());
    StageSpan(tracer.build_with_context(span, &parent))
}

/// The calls of facilitators in one stage. A pool makes several, each of which is a span.
struct StageCalls {
    tracer: SdkTracer,
    parent: SpanContext,
}

impl CallTrace for StageCalls {
    fn begin(&self, facilitator: &str, operation: Operation) -> Box<dyn TracedCall> {
        let attributes = vec![KeyValue::new("coinslot.facilitator", facilitator.to_owned())];
        let span = SpanBuilder::from_name(format!("facilitator.{}", operation.as_str()));
        Box::new(child(&self.tracer, &self.parent, span.with_kind(SpanKind::Client).with_attributes(attributes)))
    }
}

impl TracedCall for StageSpan {
    fn headers(&self) -> HeaderMap {
        headers(self.0.span_context())
    }

    fn ended(mut self: Box<Self>, result: CallResult) {
        self.0.set_attribute(KeyValue::new("coinslot.result", result.as_str()));
        match result {
            CallResult::Ok | CallResult::Refused => {}
            CallResult::Unknown
            | CallResult::NotSent
            | CallResult::Unreachable
            | CallResult::Timeout
            | CallResult::Abandoned => self.fail(result.as_str()),
        }
    }
}

impl StageSpan {
    /// Ends the span of an outgoing request.
    pub(super) fn ended(mut self, end: &OutgoingEnd) {
        match end {
            OutgoingEnd::Answered(status) => {
                self.0.set_attribute(KeyValue::new("http.response.status_code", i64::from(*status)));
                if *status >= 400 {
                    self.fail(&status.to_string());
                }
            }
            OutgoingEnd::Denied => self.fail("denied"),
            OutgoingEnd::Failed(_) => self.fail("failed"),
        }
    }

    fn fail(&mut self, kind: &str) {
        self.0.set_attribute(KeyValue::new("error.type", kind.to_owned()));
        self.0.set_status(Status::error(""));
    }
}

fn headers(context: &SpanContext) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let context = Context::new().with_remote_span_context(context.clone());
    TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(&mut headers));
    // A trace without a state has no field for it.
    if headers.get("tracestate").is_some_and(|state| state.is_empty()) {
        headers.remove("tracestate");
    }
    headers
}
