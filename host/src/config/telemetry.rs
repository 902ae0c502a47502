//! Reads `[telemetry]`: the collector of traces and metrics.

use url::Url;

use super::reader::Section;
use super::types::TelemetryConfig;

/// Reads the table. None without it: then nothing is exported.
pub(super) fn read(root: &mut Section<'_, '_>) -> Option<TelemetryConfig> {
    let mut section = root.optional_section("telemetry")?;
    let default = TelemetryConfig::default();
    let endpoint: Option<Url> = section.read("otlp_endpoint");
    let is_base = |url: &Url| matches!(url.scheme(), "http" | "https") && url.query().is_none();
    if endpoint.as_ref().is_some_and(|url| !is_base(url)) {
        section.key_problem("otlp_endpoint", "an address with http or https, such as `http://127.0.0.1:4318`");
    }
    if endpoint.as_ref().is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
        section.key_problem("otlp_endpoint", "credentials belong into OTEL_EXPORTER_OTLP_HEADERS");
    }
    let sample = section.read("sample").unwrap_or(default.sample);
    if !(0.0..=1.0).contains(&sample) {
        section.key_problem("sample", "the share of requests whose traces are exported, from 0 to 1");
    }
    let metrics = section.read("metrics").unwrap_or(default.metrics);
    Some(TelemetryConfig { endpoint, sample, metrics })
}
