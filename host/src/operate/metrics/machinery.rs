//! Measures what a host works with: the calls of its facilitators, and the commits of its ledger.

use std::time::Duration;

use coinslot_facilitator::{CallObserver, CallResult, Operation};
use coinslot_ledger::{Commit, CommitObserver};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use super::{Metrics, seconds};

/// The bounds of the histogram of jobs: the writer takes 512 into one commit.
const JOBS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The instruments.
#[derive(Debug)]
pub(super) struct Machinery {
    calls: Histogram<f64>,
    commits: Histogram<f64>,
    jobs: Histogram<u64>,
}

impl Machinery {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            calls: seconds(
                meter,
                "coinslot.facilitator.call.duration",
                "Duration of the calls of facilitators, by their end",
            ),
            commits: seconds(meter, "coinslot.ledger.commit.duration", "Time until a commit of the ledger was on disk"),
            jobs: meter
                .u64_histogram("coinslot.ledger.commit.jobs")
                .with_description("Jobs that shared a commit of the ledger")
                .with_boundaries(JOBS.to_vec())
                .build(),
        }
    }
}

impl CallObserver for Metrics {
    fn ended(&self, facilitator: &str, operation: Operation, result: CallResult, took: Duration) {
        let attributes = [
            KeyValue::new("coinslot.facilitator", facilitator.to_owned()),
            KeyValue::new("coinslot.operation", operation.as_str()),
            KeyValue::new("coinslot.result", result.as_str()),
        ];
        self.machinery.calls.record(took.as_secs_f64(), &attributes);
    }
}

impl CommitObserver for Metrics {
    fn committed(&self, commit: Commit) {
        let result = if commit.is_durable { "ok" } else { "failed" };
        self.machinery.commits.record(commit.took.as_secs_f64(), &[KeyValue::new("coinslot.result", result)]);
        self.machinery.jobs.record(commit.jobs as u64, &[]);
    }
}
