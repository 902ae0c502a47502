//! Exports traces and metrics by OTLP, and decides which requests are sampled.
//!
//! The library of OpenTelemetry reads `OTEL_EXPORTER_OTLP_*`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`. What
//! the configuration names comes before the environment.
//!
//! A request waits for nothing here: its spans go into a queue of [`QUEUE`], and what does not fit is dropped and
//! counted. A collector that hangs holds one batch for [`TIMEOUT`].

mod client;
mod exporter;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use coinslot_base::request_id::RequestId;
use http::Request;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{MetricExporter, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use self::client::OtlpClient;
pub use self::exporter::SpanCounts;
use self::exporter::SpanQueue;
use super::metrics::resource;
use crate::config::TelemetryConfig;
use crate::payment::RequestSpans;
use crate::server::method_name;

/// The spans that wait for a collector at most.
const QUEUE: usize = 4_096;

/// The longest time of an export.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The time that the last spans and metrics of a host have.
const FLUSH: Duration = Duration::from_secs(3);

/// The requests that are sampled in a second at most. A busy host samples thousands otherwise, which costs it more than
/// a share of its requests, and tells no more.
const MAX_SAMPLED: u64 = 100;

/// The longest path that is an attribute, in characters.
const MAX_PATH: usize = 256;

/// The export of traces.
#[derive(Debug)]
pub struct Telemetry {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    queue: Arc<SpanQueue>,
    /// A random number below it is sampled.
    sampled_below: u64,
    begun: Instant,
    /// The second since `begun`, times 2^32, and the requests that were sampled in it.
    sampled: AtomicU64,
}

/// A failure to set the export up.
#[derive(Debug, thiserror::Error)]
#[error("[telemetry]: {0}")]
pub struct TelemetryError(String);

impl Telemetry {
    /// Prepares the export; nothing is sent before there is something to send.
    pub fn new(config: &TelemetryConfig) -> Result<Arc<Self>, TelemetryError> {
        let exporter = SpanExporter::builder().with_http().with_http_client(OtlpClient::new(TIMEOUT)?);
        let exporter = exporter.with_timeout(TIMEOUT).with_retry_policy(RetryPolicy::disabled());
        let exporter = match config.endpoint_of("v1/traces") {
            Some(endpoint) => exporter.with_endpoint(endpoint),
            None => exporter,
        };
        let exporter = exporter.build().map_err(|error| TelemetryError(error.to_string()))?;
        let queue = SpanQueue::begin(exporter, QUEUE);
        let provider = SdkTracerProvider::builder()
            // Whether a request is sampled is decided before it has a span.
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(Arc::clone(&queue).processor())
            .with_resource(resource())
            .build();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the share is between 0 and 1")]
        #[allow(clippy::cast_precision_loss, reason = "a share needs no such precision")]
        let sampled_below = if config.sample >= 1.0 { u64::MAX } else { (config.sample * u64::MAX as f64) as u64 };
        Ok(Arc::new(Self {
            tracer: provider.tracer("coinslot"),
            provider,
            queue,
            sampled_below,
            begun: Instant::now(),
            sampled: AtomicU64::new(0),
        }))
    }

    /// The reader that exports metrics, once a minute or as `OTEL_METRIC_EXPORT_INTERVAL` says.
    pub fn metric_reader(config: &TelemetryConfig) -> Result<PeriodicReader<MetricExporter>, TelemetryError> {
        let exporter = MetricExporter::builder().with_http().with_http_client(OtlpClient::new(TIMEOUT)?);
        let exporter = exporter.with_timeout(TIMEOUT).with_retry_policy(RetryPolicy::disabled());
        let exporter = match config.endpoint_of("v1/metrics") {
            Some(endpoint) => exporter.with_endpoint(endpoint),
            None => exporter,
        };
        let exporter = exporter.build().map_err(|error| TelemetryError(error.to_string()))?;
        Ok(PeriodicReader::builder(exporter).build())
    }

    /// Begins the spans of a request, if it is sampled.
    ///
    /// A trusted peer decides for its requests, and its span is the parent. A stranger does neither: its flag would
    /// make the host pay, and its trace would mix with others of the same id. Its span is a link of a new trace (W3C
    /// Trace Context, section 7.2; OpenTelemetry calls this a public endpoint).
    pub(crate) fn begin<B>(
        &self,
        request: &Request<B>,
        is_trusted: bool,
        id: Option<RequestId>,
    ) -> Option<(RequestSpans, RequestId)> {
        let said = || remote(request);
        let parent = if is_trusted { said() } else { None };
        let is_sampled = match &parent {
            Some(parent) => parent.is_sampled(),
            None => self.sampled_below > 0 && rand_below(self.sampled_below) && self.has_room(),
        };
        if !is_sampled {
            return None;
        }
        let mut attributes = vec![
            KeyValue::new("http.request.method", method_name(request.method())),
            KeyValue::new("url.path", request.uri().path().chars().take(MAX_PATH).collect::<String>()),
        ];
        let mut span = SpanBuilder::from_name(method_name(request.method())).with_kind(SpanKind::Server);
        let stranger = if is_trusted { None } else { said() };
        span = span.with_links(stranger.map(Link::with_context).into_iter().collect());
        let context = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        attributes.extend(id.map(|id| KeyValue::new("coinslot.request_id", id.to_string())));
        let span = self.tracer.build_with_context(span.with_attributes(attributes), &context);
        Some(self.named(span, id))
    }

    /// Counts a request that is to be sampled. False if there were enough in this second. Who samples every request gets
    /// every request.
    fn has_room(&self) -> bool {
        if self.sampled_below == u64::MAX {
            return true;
        }
        let second = self.begun.elapsed().as_secs() << 32;
        let count = |last: u64| if last >> 32 == second >> 32 { last + 1 } else { second + 1 };
        let counted = self.sampled.fetch_update(Relaxed, Relaxed, |last| {
            let next = count(last);
            (next & u64::from(u32::MAX) <= MAX_SAMPLED).then_some(next)
        });
        counted.is_ok()
    }

    /// A request without a name of its own is called by its trace, so that one id finds both.
    fn named(&self, mut span: opentelemetry_sdk::trace::Span, id: Option<RequestId>) -> (RequestSpans, RequestId) {
        use opentelemetry::trace::Span as _;
        let trace = u128::from_be_bytes(span.span_context().trace_id().to_bytes());
        let id = id.unwrap_or_else(|| {
            let id = RequestId::of_bits(trace);
            span.set_attribute(KeyValue::new("coinslot.request_id", id.to_string()));
            id
        });
        (RequestSpans::begin(self.tracer.clone(), span), id)
    }

    /// Counts the spans in the metrics.
    pub(crate) fn watch(self: &Arc<Self>, meter: &Meter) {
        let telemetry = Arc::downgrade(self);
        let observe = move |counter: &dyn AsyncInstrument<u64>| {
            let Some(telemetry) = telemetry.upgrade() else { return };
            let SpanCounts { exported, failed, dropped } = telemetry.counts();
            for (count, end) in [(exported, "exported"), (failed, "failed"), (dropped, "dropped")] {
                counter.observe(count, &[KeyValue::new("coinslot.result", end)]);
            }
        };
        meter
            .u64_observable_counter("coinslot.telemetry.spans")
            .with_description("Spans, by what became of them")
            .with_callback(observe)
            .build();
    }

    /// The spans by their end.
    pub fn counts(&self) -> SpanCounts {
        self.queue.counts()
    }

    /// Sends what is queued, for a few seconds at most.
    pub async fn flush(self: Arc<Self>) {
        if tokio::time::timeout(FLUSH, self.queue.flush()).await.is_err() {
            tracing::warn!("the last spans were not exported: the collector does not answer");
        }
        // Nothing waits here: the queue has ended.
        drop(self.provider.shutdown_with_timeout(Duration::from_millis(100)));
    }
}

fn rand_below(limit: u64) -> bool {
    rand::random::<u64>() <= limit.saturating_sub(1)
}

/// The span that a client names, if what it says is one.
fn remote<B>(request: &Request<B>) -> Option<SpanContext> {
    if !request.headers().contains_key("traceparent") {
        return None;
    }
    let extractor = HeaderExtractor(request.headers());
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &extractor);
    let remote = context.span().span_context().clone();
    remote.is_valid().then_some(remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_host_samples_a_bounded_number_of_requests_and_all_if_that_is_asked_for() {
        let telemetry = |sample| {
            let endpoint = Some("http://127.0.0.1:9".parse().expect("a URL"));
            Telemetry::new(&TelemetryConfig { endpoint, sample, metrics: false }).expect("set up")
        };
        let share = telemetry(0.5);
        let second = || share.begun.elapsed().as_secs();
        let before = second();
        let sampled = (0..1_000).filter(|_| share.has_room()).count() as u64;
        let seconds = second() - before + 1;
        assert!((MAX_SAMPLED..=MAX_SAMPLED * seconds).contains(&sampled), "{sampled} in {seconds} s");
        let all = telemetry(1.0);
        assert!((0..1_000).all(|_| all.has_room()));
    }
}
