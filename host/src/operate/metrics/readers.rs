//! Lets Prometheus and the exporter read one set of sums.
//!
//! The SDK keeps the sums of each reader apart, and every record would be made twice. Both readers take cumulative sums,
//! so they share a pipeline: neither resets what the other reads.

use std::sync::Weak;
use std::time::Duration;

use opentelemetry_otlp::MetricExporter;
use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, PeriodicReader, Pipeline, Temporality};

/// The readers of the metrics of a host.
#[derive(Debug)]
pub(super) struct Readers {
    pub(super) scraped: PrometheusExporter,
    /// None: nothing is exported.
    pub(super) exported: Option<PeriodicReader<MetricExporter>>,
}

impl Readers {
    /// Calls each reader, and returns the first error.
    fn each(
        &self,
        scraped: impl FnOnce(&PrometheusExporter) -> OTelSdkResult,
        exported: impl FnOnce(&PeriodicReader<MetricExporter>) -> OTelSdkResult,
    ) -> OTelSdkResult {
        let first = self.exported.as_ref().map_or(Ok(()), exported);
        first.and(scraped(&self.scraped))
    }
}

impl MetricReader for Readers {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        if let Some(exported) = &self.exported {
            exported.register_pipeline(Weak::clone(&pipeline));
        }
        self.scraped.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.scraped.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.each(MetricReader::force_flush, MetricReader::force_flush)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.each(|reader| reader.shutdown_with_timeout(timeout), |reader| reader.shutdown_with_timeout(timeout))
    }

    fn temporality(&self, _kind: InstrumentKind) -> Temporality {
        Temporality::Cumulative
    }
}
