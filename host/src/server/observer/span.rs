//! Ends the span of a request, with what is known of the request then.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, Status};
use opentelemetry_sdk::trace::Span;

use super::RequestReport;

/// Ends the span. Semantic conventions for HTTP servers: a client's mistake is no error of the server.
pub(super) fn end(mut span: Span, report: &RequestReport) {
    span.set_attribute(KeyValue::new("coinslot.outcome", report.outcome.as_str()));
    if let Some(endpoint) = &report.endpoint {
        let route = endpoint.path.to_string();
        span.update_name(format!("{} {route}", report.method_name()));
        span.set_attribute(KeyValue::new("http.route", route));
        span.set_attribute(KeyValue::new("coinslot.plugin", endpoint.plugin.info().name.clone()));
    }
    match report.status {
        Some(status) => {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
            if status >= 500 {
                span.set_attribute(KeyValue::new("error.type", status.to_string()));
                span.set_status(Status::error(""));
            }
        }
        None => span.set_attribute(KeyValue::new("error.type", "cancelled")),
    }
    span.end();
}
