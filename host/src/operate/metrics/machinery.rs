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

#[cfg(test)]
mod tests {
    use super::super::MAX_SERIES;
    use super::*;
    use crate::config::Config;

    /// Names come from the configuration and from plugins, which are reloaded: what is too many for one instrument is
    /// counted all the same, in one series.
    #[test]
    fn an_instrument_has_so_many_series_at_most_and_counts_what_exceeds_them_in_one() {
        const CALLS: usize = MAX_SERIES + 500;
        let metrics = Metrics::new(&Config::default(), None).expect("metrics");
        for number in 0..CALLS {
            metrics.ended(&format!("f{number}"), Operation::Verify, CallResult::Ok, Duration::from_millis(1));
        }
        let families = metrics.registry().gather();
        let name = "coinslot_facilitator_call_duration_seconds";
        let calls = families.iter().find(|family| family.name() == name).expect("the calls").get_metric();
        let counted: u64 = calls.iter().map(|series| series.get_histogram().get_sample_count()).sum();
        assert_eq!(counted, CALLS as u64);
        assert!(calls.len() <= MAX_SERIES + 1, "{}", calls.len());
        let overflows = |series: &prometheus::proto::Metric| {
            series.get_label().iter().any(|label| label.name() == "otel_metric_overflow")
        };
        assert_eq!(calls.iter().filter(|series| overflows(series)).count(), 1);
    }
}
