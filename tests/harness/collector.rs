//! A collector of OpenTelemetry that takes, refuses or hangs on what a host exports by OTLP over HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::ReceiverMode;
use crate::http_server::{Server, reply};

/// A span, with its ids in hex as the header `traceparent` has them.
#[derive(Clone, Debug)]
pub struct CollectedSpan {
    pub trace: String,
    pub id: String,
    /// Empty for the first span of a trace.
    pub parent: String,
    pub name: String,
    /// As in `SpanKind`: 1 is internal, 2 a server's, 3 a client's.
    pub kind: i32,
    /// The traces of its links.
    pub links: Vec<String>,
    attributes: Vec<KeyValue>,
}

impl CollectedSpan {
    fn of(span: &Span) -> Self {
        Self {
            trace: hex::encode(&span.trace_id),
            id: hex::encode(&span.span_id),
            parent: hex::encode(&span.parent_span_id),
            name: span.name.clone(),
            kind: span.kind,
            links: span.links.iter().map(|link| hex::encode(&link.trace_id)).collect(),
            attributes: span.attributes.clone(),
        }
    }

    /// An attribute as text. Empty if the span has none of this name.
    pub fn attribute(&self, name: &str) -> String {
        text(&self.attributes, name)
    }
}

/// The text of an attribute.
fn text(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|one| one.key == name).and_then(|one| one.value.as_ref()?.value.clone());
    match found {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => other.map(|other| format!("{other:?}")).unwrap_or_default(),
    }
}

/// A running collector. It takes everything until it is told otherwise.
#[derive(Debug)]
pub struct Collector {
    server: Server,
    state: Arc<CollectorState>,
}

#[derive(Debug)]
struct CollectorState {
    mode: Mutex<ReceiverMode>,
    tried: AtomicUsize,
    spans: Mutex<Vec<CollectedSpan>>,
    /// The names of metrics, and of the service that has them.
    metrics: Mutex<Vec<(String, String)>>,
}

impl Collector {
    pub async fn start() -> Self {
        let state = Arc::new(CollectorState {
            mode: Mutex::new(ReceiverMode::Accept),
            tried: AtomicUsize::new(0),
            spans: Mutex::default(),
            metrics: Mutex::default(),
        });
        let of_server = Arc::clone(&state);
        let server = Server::start(move |_| {
            move |path: String, body: Bytes| {
                let state = Arc::clone(&of_server);
                async move { Some(state.take(&path, &body).await) }
            }
        })
        .await;
        Self { server, state }
    }

    /// The address for `otlp_endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Changes what happens to the exports that come from now on.
    pub fn set(&self, mode: ReceiverMode) {
        *self.state.mode.lock().expect("unpoisoned") = mode;
    }

    /// The number of exports that have come.
    pub fn tried(&self) -> usize {
        self.state.tried.load(Ordering::Relaxed)
    }

    /// The spans that were taken, in their order.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.state.spans.lock().expect("unpoisoned").clone()
    }

    /// The metrics that were taken, each with the name of its service.
    pub fn metrics(&self) -> Vec<(String, String)> {
        self.state.metrics.lock().expect("unpoisoned").clone()
    }

    /// Waits for a span that this holds for.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn span(&self, wanted: impl Fn(&CollectedSpan) -> bool) -> CollectedSpan {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(span) = self.spans().into_iter().find(&wanted) {
                return span;
            }
            assert!(Instant::now() < deadline, "no such span: {:#?}", self.spans());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl CollectorState {
    async fn take(&self, path: &str, body: &Bytes) -> hyper::Response<http_body_util::Full<Bytes>> {
        self.tried.fetch_add(1, Ordering::Relaxed);
        let mode = *self.mode.lock().expect("unpoisoned");
        match mode {
            ReceiverMode::Accept | ReceiverMode::RefusePayments => {}
            ReceiverMode::Refuse(status) => return reply(status, Bytes::new()),
            ReceiverMode::Hang => std::future::pending().await,
        }
        match path {
            "/v1/traces" => {
                let export = ExportTraceServiceRequest::decode(&body[..]).expect("spans");
                let scopes = export.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
                let spans = scopes.flat_map(|scope| &scope.spans).map(CollectedSpan::of);
                self.spans.lock().expect("unpoisoned").extend(spans);
            }
            "/v1/metrics" => {
                let export = ExportMetricsServiceRequest::decode(&body[..]).expect("metrics");
                for resource in &export.resource_metrics {
                    let of = resource.resource.as_ref().map(|one| text(&one.attributes, "service.name"));
                    let all = resource.scope_metrics.iter().flat_map(|scope| &scope.metrics);
                    let named = all.map(|metric| (metric.name.clone(), of.clone().unwrap_or_default()));
                    self.metrics.lock().expect("unpoisoned").extend(named);
                }
            }
            other => panic!("an export to {other}"),
        }
        reply(200, Bytes::new())
    }
}
