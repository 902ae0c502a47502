//! Counts what a host does, with the instruments of OpenTelemetry.
//!
//! Every request is one record of `http.server.request.duration`, whose attributes tell its route and its end. Payments
//! are counted from the ledger's events, so that the counters and the ledger say the same, whoever ended a payment.
//! Attributes come from routes, states and names of the configuration, never from a client; an instrument has at most
//! [`MAX_SERIES`] combinations of them, and what exceeds that is one series marked `otel_metric_overflow`.

mod machinery;
mod readers;
mod series;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use coinslot_ledger::{Ledger, LedgerError, PaymentEvent};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream};
use parking_lot::Mutex;

use self::machinery::Machinery;
use self::readers::Readers;
use self::series::{EndpointSeries, RequestEnd, names};
use super::admin::HostView;
use super::funnel::Funnel;
use super::gauges;
use super::telemetry::Telemetry;
use super::units::Units;
use crate::config::Config;
use crate::payment::OutgoingCounts;
use crate::server::{RequestObserver, RequestOutcome, RequestReport};

/// The most combinations of attributes of one instrument.
const MAX_SERIES: usize = 10_000;

/// The longest code of an error, and the most codes that are told apart.
const MAX_CODE: usize = 64;
const MAX_CODES: usize = 128;

/// The bounds of histograms, in seconds: a challenge takes microseconds, and a settlement may take half a minute.
const SECONDS: [f64; 17] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The longest wait of a report for the numbers of the last seconds.
const FRESH: Duration = Duration::from_secs(1);

/// The events of the ledger that are read at once.
const EVENTS: u32 = 500;

/// The instruments of a host, and the registry that Prometheus reads.
#[derive(Debug)]
pub struct Metrics {
    provider: SdkMeterProvider,
    registry: prometheus::Registry,
    requests: Histogram<f64>,
    stages: Histogram<f64>,
    refusals: Counter<u64>,
    /// The codes of refusals so far.
    codes: Mutex<BTreeSet<String>>,
    outgoing: Counter<u64>,
    payments: Counter<u64>,
    amounts: Counter<f64>,
    free: Counter<u64>,
    machinery: Machinery,
    funnel: Funnel,
    /// The assets in whose units amounts are counted.
    units: Units,
    /// The number of the last event that is counted.
    counted: tokio::sync::Mutex<Option<u64>>,
    /// Events that could not be read.
    missed: AtomicU64,
}

/// A failure to set the metrics up.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be set up: {0}")]
pub struct MetricsError(String);

impl Metrics {
    /// Makes the instruments, without a value yet.
    pub fn new(config: &Config, exported: Option<PeriodicReader<MetricExporter>>) -> Result<Arc<Self>, MetricsError> {
        let registry = prometheus::Registry::new();
        let scraped = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        let bounded = |_: &Instrument| Stream::builder().with_cardinality_limit(MAX_SERIES).build().ok();
        let provider = SdkMeterProvider::builder().with_reader(Readers { scraped, exported });
        let provider = provider.with_resource(resource()).with_view(bounded).build();
        let meter = provider.meter("coinslot");
        Ok(Arc::new(Self {
            requests: seconds(&meter, "http.server.request.duration", "Duration of requests, by route and outcome"),
            stages: seconds(&meter, "coinslot.stage.duration", "Duration of each stage of the work for a request"),
            refusals: meter
                .u64_counter("coinslot.errors")
                .with_description("Errors that the host answered, by their code")
                .build(),
            codes: Mutex::default(),
            outgoing: meter
                .u64_counter("coinslot.plugin.outgoing_requests")
                .with_description("Requests of plugins to other servers, by their end")
                .build(),
            payments: meter
                .u64_counter("coinslot.payments")
                .with_description("Payments by what became of them, as the ledger has it")
                .build(),
            amounts: meter
                .f64_counter("coinslot.payments.amount")
                .with_description("Sums of these payments, in units of their asset")
                .build(),
            free: meter
                .u64_counter("coinslot.free_requests")
                .with_description(
                    "Requests to paid endpoints that were answered without a payment, by what allowed them",
                )
                .build(),
            machinery: Machinery::new(&meter),
            funnel: Funnel::default(),
            units: Units::of(Some(config)),
            counted: tokio::sync::Mutex::new(None),
            missed: AtomicU64::new(0),
            provider,
            registry,
        }))
    }

    /// Adds the counters of the export of traces.
    pub(crate) fn watch_telemetry(&self, telemetry: &Arc<Telemetry>) {
        telemetry.watch(&self.provider.meter("coinslot"));
    }

    /// Adds the gauges of this host.
    pub(crate) fn watch(&self, host: &Arc<HostView>) {
        gauges::register(&self.provider.meter("coinslot"), host);
    }

    /// Exports the last values, for a few seconds at most.
    pub async fn flush(self: Arc<Self>) {
        let flush = move || self.provider.shutdown_with_timeout(Duration::from_secs(3));
        let _ = tokio::task::spawn_blocking(flush).await;
    }

    pub(super) fn registry(&self) -> &prometheus::Registry {
        &self.registry
    }

    /// Counts every request, and then tells the next observer.
    pub fn observer(self: &Arc<Self>, next: Option<RequestObserver>) -> RequestObserver {
        let metrics = Arc::clone(self);
        match next {
            None => RequestObserver::counting(move |report| metrics.record(&report)),
            Some(next) if next.reads_texts() => RequestObserver::new(move |report| metrics.pass(report, &next)),
            Some(next) => RequestObserver::counting(move |report| metrics.pass(report, &next)),
        }
    }

    fn pass(&self, report: RequestReport, next: &RequestObserver) {
        self.record(&report);
        next.observe(report);
    }

    fn record(&self, report: &RequestReport) {
        self.count_error(report);
        self.count_outgoing(report);
        let end = RequestEnd { method: report.method_name(), status: report.status, outcome: report.outcome };
        let series = report
            .endpoint
            .as_ref()
            .and_then(|one| one.observed.get_or_init(|| EndpointSeries::of(one, self.funnel.endpoint(one))));
        let Some(series) = series else {
            return self.requests.record(report.total.as_secs_f64(), &end.attributes());
        };
        series.record_request(end, &self.requests, report.total.as_secs_f64());
        if let (Some(endpoint), RequestOutcome::Free | RequestOutcome::Paid) = (&report.endpoint, report.outcome) {
            endpoint.recent.add(report.total);
        }
        if let Some(counts) = &series.funnel {
            counts.count(report.outcome, report.code.as_deref().map(|code| self.known(code)));
        }
        if let Some(kind) = report.free
            && report.outcome == RequestOutcome::Free
        {
            let kind = KeyValue::new("coinslot.kind", kind.as_str());
            self.free.add(1, &series.names.iter().cloned().chain([kind]).collect::<Vec<_>>());
        }
        for (stage, time) in report.times.measured() {
            series.stage(stage, &self.stages).record(time.as_secs_f64());
        }
    }

    /// Counts the error that a request was answered with.
    fn count_error(&self, report: &RequestReport) {
        let Some(code) = &report.code else { return };
        let mut attributes = vec![KeyValue::new("error.type", self.known(code))];
        attributes.extend(report.endpoint.as_ref().into_iter().flat_map(|endpoint| names(endpoint)));
        self.refusals.add(1, &attributes);
    }

    /// The code, or `other`: a facilitator may refuse payments with words of its own.
    fn known(&self, code: &str) -> String {
        let is_code = code.len() <= MAX_CODE && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let mut codes = self.codes.lock();
        if is_code && (codes.contains(code) || codes.len() < MAX_CODES) {
            if !codes.contains(code) {
                codes.insert(code.to_owned());
            }
            return code.to_owned();
        }
        "other".to_owned()
    }

    /// Counts what the plugin sent to other servers.
    fn count_outgoing(&self, report: &RequestReport) {
        let Some(endpoint) = &report.endpoint else { return };
        let OutgoingCounts { answered, denied, failed } = report.outgoing;
        for (count, end) in [(answered, "answered"), (denied, "denied"), (failed, "failed")] {
            if count > 0 {
                let plugin = KeyValue::new("coinslot.plugin", endpoint.plugin.info().name.clone());
                self.outgoing.add(u64::from(count), &[plugin, KeyValue::new("coinslot.result", end)]);
            }
        }
    }

    /// Counts the payments that have ended since the last call. The first call only notes where the ledger is.
    pub async fn count_payments(&self, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        let mut counted = self.counted.lock().await;
        let Some(mut last) = *counted else {
            *counted = Some(ledger.last_event().await?);
            return Ok(());
        };
        loop {
            let events = ledger.events(last, EVENTS).await?;
            let Some(newest) = events.last() else { return Ok(()) };
            for event in &events {
                self.count(event);
            }
            last = newest.number;
            *counted = Some(last);
        }
    }

    fn count(&self, event: &PaymentEvent) {
        let asset = self.units.asset(&event.network, &event.asset);
        let attributes = [
            KeyValue::new("coinslot.state", event.kind.as_str()),
            KeyValue::new("coinslot.plugin", event.plugin.clone()),
            KeyValue::new("coinslot.endpoint", event.endpoint.clone()),
            KeyValue::new("coinslot.network", event.network.to_string()),
            KeyValue::new(
                "coinslot.asset",
                asset.as_ref().map_or_else(|| event.asset.clone(), |one| one.symbol.clone()),
            ),
            KeyValue::new("coinslot.testnet", event.testnet),
        ];
        self.payments.add(1, &attributes);
        let units = asset.and_then(|asset| event.amount.decimal(asset.decimals).parse::<f64>().ok());
        if let Some(units) = units {
            self.amounts.add(units, &attributes);
        }
    }

    /// Writes the numbers of requests that are not in the ledger yet.
    pub async fn write_funnel(&self, ledger: &dyn Ledger) {
        self.funnel.write(ledger).await;
    }

    /// Has the numbers of requests written, and waits a moment for it: a report is shown without the last ones while the
    /// disk does not answer.
    pub(crate) async fn bring_funnel_up_to_date(self: &Arc<Self>, ledger: &Arc<dyn Ledger>) {
        let (metrics, ledger) = (Arc::clone(self), Arc::clone(ledger));
        // A task of its own: numbers that were taken are not lost with a reader that leaves.
        let write = tokio::spawn(async move { metrics.write_funnel(&*ledger).await });
        drop(tokio::time::timeout(FRESH, write).await);
    }

    /// Writes the numbers of requests into the ledger every few seconds, for ever.
    pub async fn follow_requests(self: Arc<Self>, ledger: Arc<dyn Ledger>) {
        self.funnel.follow(&*ledger).await;
    }

    /// Counts payments as they end, for ever.
    pub async fn follow(self: Arc<Self>, ledger: Arc<dyn Ledger>) {
        loop {
            if let Err(error) = self.count_payments(&*ledger).await
                && self.missed.fetch_add(1, Relaxed) == 0
            {
                tracing::warn!(%error, "payments cannot be counted for the metrics");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Describes the host to collectors, as far as `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` do not.
pub(super) fn resource() -> Resource {
    let named = Resource::builder().build();
    let has_name = named
        .get(&opentelemetry::Key::from_static_str("service.name"))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    if has_name { resource.build() } else { resource.with_service_name("coinslot").build() }
}

fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
    histogram.with_boundaries(SECONDS.to_vec()).build()
}
