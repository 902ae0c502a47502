//! Counts what a host does, with the instruments of OpenTelemetry.
//!
//! Every request is one record of `http.server.request.duration`, whose attributes tell its route and its end. Payments
//! are counted from the ledger's events, so that the counters and the ledger say the same, whoever ended a payment.
//! Attributes come from routes, states and names of the configuration, never from a client; an instrument has at most
//! [`MAX_SERIES`] combinations of them, and what exceeds that is one series marked `otel_metric_overflow`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coinslot_ledger::{Ledger, LedgerError, PaymentEvent};
use coinslot_x402::price::Asset;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use parking_lot::RwLock;

use super::admin::HostView;
use super::gauges;
use crate::endpoint::Endpoint;
use crate::payment::Stage;
use crate::server::{RequestObserver, RequestOutcome, RequestReport};

/// The most combinations of attributes of one instrument.
const MAX_SERIES: usize = 10_000;

/// The most series of one endpoint that are found without their attributes.
const MAX_BOUND: usize = 32;

/// The bounds of histograms, in seconds: a challenge takes microseconds, and a settlement may take half a minute.
const SECONDS: [f64; 17] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The events of the ledger that are read at once.
const EVENTS: u32 = 500;

/// The instruments of a host, and the registry that Prometheus reads.
#[derive(Debug)]
pub struct Metrics {
    provider: SdkMeterProvider,
    registry: prometheus::Registry,
    requests: Histogram<f64>,
    stages: Histogram<f64>,
    payments: Counter<u64>,
    amounts: Counter<f64>,
    free: Counter<u64>,
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
    pub fn new() -> Result<Arc<Self>, MetricsError> {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name("coinslot")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let bounded = |_: &Instrument| Stream::builder().with_cardinality_limit(MAX_SERIES).build().ok();
        let provider =
            SdkMeterProvider::builder().with_reader(exporter).with_resource(resource).with_view(bounded).build();
        let meter = provider.meter("coinslot");
        Ok(Arc::new(Self {
            requests: seconds(&meter, "http.server.request.duration", "Duration of requests, by route and outcome"),
            stages: seconds(&meter, "coinslot.stage.duration", "Duration of each stage of the work for a request"),
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
            counted: tokio::sync::Mutex::new(None),
            missed: AtomicU64::new(0),
            provider,
            registry,
        }))
    }

    /// Adds the gauges of this host.
    pub(crate) fn watch(&self, host: &Arc<HostView>) {
        gauges::register(&self.provider.meter("coinslot"), host);
    }

    pub(super) fn registry(&self) -> &prometheus::Registry {
        &self.registry
    }

    /// Counts every request, and then tells the next observer.
    pub fn observer(self: &Arc<Self>, next: Option<RequestObserver>) -> RequestObserver {
        let metrics = Arc::clone(self);
        RequestObserver::new(move |report| {
            metrics.record(&report);
            if let Some(next) = &next {
                next.observe(report);
            }
        })
    }

    fn record(&self, report: &RequestReport) {
        let end = RequestEnd { method: method(report), status: report.status, outcome: report.outcome };
        let series = report.endpoint.as_ref().and_then(|one| one.observed.get_or_init(|| EndpointSeries::of(one)));
        let Some(series) = series else {
            return self.requests.record(report.total.as_secs_f64(), &end.attributes());
        };
        series.requests(end, &self.requests).record(report.total.as_secs_f64());
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
        let asset = Asset::at(&event.network, &event.asset);
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

fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
    histogram.with_boundaries(SECONDS.to_vec()).build()
}

/// The labels that distinguish two series of requests to one endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
struct RequestEnd {
    method: &'static str,
    /// None if the client left before it had an answer.
    status: Option<u16>,
    outcome: RequestOutcome,
}

impl RequestEnd {
    fn attributes(self) -> Vec<KeyValue> {
        let status = self.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status)));
        let known = [
            KeyValue::new("http.request.method", self.method),
            KeyValue::new("coinslot.outcome", self.outcome.as_str()),
        ];
        known.into_iter().chain(status).collect()
    }
}

/// The instruments of one endpoint with their attributes, which most requests find here.
struct EndpointSeries {
    /// The plugin and the path template.
    names: [KeyValue; 2],
    requests: RwLock<Vec<(RequestEnd, BoundHistogram<f64>)>>,
    stages: [OnceLock<BoundHistogram<f64>>; Stage::ALL.len()],
}

impl EndpointSeries {
    fn of(endpoint: &Endpoint) -> Self {
        let names = [
            KeyValue::new("coinslot.plugin", endpoint.plugin.info().name.clone()),
            KeyValue::new("http.route", endpoint.path.to_string()),
        ];
        Self { names, requests: RwLock::default(), stages: Default::default() }
    }

    fn requests(&self, end: RequestEnd, all: &Histogram<f64>) -> BoundHistogram<f64> {
        let find = |known: &[(RequestEnd, BoundHistogram<f64>)]| {
            known.iter().find(|(other, _)| *other == end).map(|(_, series)| series.clone())
        };
        if let Some(series) = find(&self.requests.read()) {
            return series;
        }
        let mut known = self.requests.write();
        find(&known).unwrap_or_else(|| {
            let attributes: Vec<KeyValue> = self.names.iter().cloned().chain(end.attributes()).collect();
            let series = all.bind(&attributes);
            // A plugin chooses its statuses: a few are kept here, and the others are looked up each time.
            if known.len() < MAX_BOUND {
                known.push((end, series.clone()));
            }
            series
        })
    }

    fn stage(&self, stage: Stage, all: &Histogram<f64>) -> &BoundHistogram<f64> {
        self.stages[stage as usize].get_or_init(|| {
            let stage = KeyValue::new("coinslot.stage", stage.as_str());
            all.bind(&self.names.iter().cloned().chain([stage]).collect::<Vec<_>>())
        })
    }
}

/// The method of a request. Semantic conventions: a method that is not of RFC 9110 or RFC 5789 is `_OTHER`.
fn method(report: &RequestReport) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == report.method.as_str()).unwrap_or("_OTHER")
}

impl RequestOutcome {
    /// Its name in metrics.
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
