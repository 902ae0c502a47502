//! Measures what a host works with: the calls of its facilitators, the transactions of its gas wallets, and the commits of
//! its ledger.

use std::time::Duration;

use alloy::primitives::Address;
use coinslot_evm::TransactionEvent;
use coinslot_facilitator::{CallObserver, CallResult, Operation};
use coinslot_ledger::{Commit, CommitObserver};
use coinslot_x402::Network;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::{Metrics, gauges, seconds};

/// The bounds of the histogram of jobs: the writer takes 512 into one commit.
const JOBS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The bounds of the histogram of transactions, in seconds: some chains have a block each second, and a transaction that
/// pays too little waits for minutes.
const INCLUSION: [f64; 13] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// The instruments.
#[derive(Debug)]
pub(super) struct Machinery {
    calls: Histogram<f64>,
    commits: Histogram<f64>,
    jobs: Histogram<u64>,
    transactions: Counter<u64>,
    inclusion: Histogram<f64>,
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
            transactions: meter
                .u64_counter("coinslot.wallet.transactions")
                .with_description("Transactions of gas wallets, by what became of them")
                .build(),
            inclusion: meter
                .f64_histogram("coinslot.wallet.inclusion.duration")
                .with_unit("s")
                .with_description("Time from the submission of a transaction until it was seen in a block")
                .with_boundaries(INCLUSION.to_vec())
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

    fn transaction(&self, facilitator: &str, network: &Network, wallet: Address, event: TransactionEvent) {
        let [facilitator, network] = gauges::facilitators::labels(facilitator.to_owned(), network.to_string());
        let attributes = [
            facilitator,
            network,
            KeyValue::new("coinslot.wallet", Address::to_checksum(&wallet, None)),
            KeyValue::new("coinslot.result", event.as_str()),
        ];
        self.machinery.transactions.add(1, &attributes);
        if let Some(time) = event.time_to_inclusion() {
            self.machinery.inclusion.record(time.as_secs_f64(), &attributes);
        }
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
