//! The instruments of one endpoint, with their attributes bound.

use std::sync::{Arc, OnceLock};

use http::StatusCode;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram};
use parking_lot::RwLock;

use crate::endpoint::Endpoint;
use crate::operate::funnel::EndpointCounts;
use crate::payment::Stage;
use crate::server::RequestOutcome;

/// The most series of one endpoint that are found without their attributes.
const MAX_BOUND: usize = 32;

/// The plugin and the path template of an endpoint.
pub(super) fn names(endpoint: &Endpoint) -> [KeyValue; 2] {
    [
        KeyValue::new("coinslot.plugin", endpoint.plugin.info().name.clone()),
        KeyValue::new("http.route", endpoint.path.to_string()),
    ]
}

/// The labels that distinguish two series of requests to one endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestEnd {
    pub(super) method: &'static str,
    /// None if the client left before it had an answer.
    pub(super) status: Option<u16>,
    pub(super) outcome: RequestOutcome,
}

impl RequestEnd {
    pub(super) fn attributes(self) -> Vec<KeyValue> {
        let status = self.status.map(|status| KeyValue::new("http.response.status_code", known_status(status)));
        let known = [
            KeyValue::new("http.request.method", self.method),
            KeyValue::new("coinslot.outcome", self.outcome.as_str()),
        ];
        known.into_iter().chain(status).collect()
    }
}

/// A status that is registered, or the first of its class: a plugin may answer with a number of its client's choice, and
/// each number is a series.
fn known_status(status: u16) -> i64 {
    let is_registered = StatusCode::from_u16(status).is_ok_and(|status| status.canonical_reason().is_some());
    i64::from(if is_registered { status } else { status / 100 * 100 })
}

/// The instruments of one endpoint with their attributes, which most requests find here.
pub(super) struct EndpointSeries {
    /// The plugin and the path template.
    pub(super) names: [KeyValue; 2],
    /// None: the endpoint is free.
    pub(super) funnel: Option<Arc<EndpointCounts>>,
    requests: RwLock<Vec<(RequestEnd, BoundHistogram<f64>)>>,
    stages: [OnceLock<BoundHistogram<f64>>; Stage::ALL.len()],
}

impl EndpointSeries {
    pub(super) fn of(endpoint: &Endpoint, funnel: Option<Arc<EndpointCounts>>) -> Self {
        Self { names: names(endpoint), funnel, requests: RwLock::default(), stages: Default::default() }
    }

    /// Records the duration of a request.
    pub(super) fn record_request(&self, end: RequestEnd, all: &Histogram<f64>, seconds: f64) {
        let find = |(other, _): &&(RequestEnd, BoundHistogram<f64>)| *other == end;
        if let Some((_, series)) = self.requests.read().iter().find(find) {
            return series.record(seconds);
        }
        let mut known = self.requests.write();
        if let Some((_, series)) = known.iter().find(find) {
            return series.record(seconds);
        }
        let attributes: Vec<KeyValue> = self.names.iter().cloned().chain(end.attributes()).collect();
        let series = all.bind(&attributes);
        series.record(seconds);
        // A plugin chooses its statuses: a few are kept here, and the others are looked up each time.
        if known.len() < MAX_BOUND {
            known.push((end, series));
        }
    }

    pub(super) fn stage(&self, stage: Stage, all: &Histogram<f64>) -> &BoundHistogram<f64> {
        self.stages[stage as usize].get_or_init(|| {
            let stage = KeyValue::new("coinslot.stage", stage.as_str());
            all.bind(&self.names.iter().cloned().chain([stage]).collect::<Vec<_>>())
        })
    }
}
