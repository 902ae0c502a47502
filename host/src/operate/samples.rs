//! Keeps the counters of the last hour, as the instruments have them that Prometheus reads: a page shows rates without
//! a database of time series, and no number is counted twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coinslot_ledger::Ledger;
use parking_lot::Mutex;
use prometheus::proto::{Metric, MetricFamily};

use super::metrics::Metrics;

/// The time between two samples.
const INTERVAL: Duration = Duration::from_secs(10);

/// The time that the samples reach back.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(60 * 60);

/// The counters of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counters {
    /// Requests, by outcome and status. The status is empty where the client left before it had one.
    pub(super) requests: BTreeMap<(String, String), u64>,
    /// Payments, by what became of them.
    pub(super) payments: BTreeMap<String, u64>,
    /// Answers with an error, by its code.
    pub(super) errors: BTreeMap<String, u64>,
    /// Durations, by stage.
    pub(super) stages: BTreeMap<String, Durations>,
}

/// A histogram of durations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Durations {
    pub(super) count: u64,
    /// Each bound in seconds, and the durations up to it.
    buckets: Vec<(f64, u64)>,
}

/// The counters at one time.
#[derive(Clone, Debug)]
pub(super) struct CounterSample {
    pub(super) at: Instant,
    pub(super) counters: Arc<Counters>,
}

/// The samples of the last hour.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<VecDeque<CounterSample>>);

impl Samples {
    /// Takes a sample every ten seconds, for ever. The first is that of a host that has done nothing.
    pub(super) async fn follow(self: Arc<Self>, metrics: Arc<Metrics>, ledger: Arc<dyn Ledger>) {
        loop {
            // A ledger that cannot be read is told elsewhere; the other counters go on.
            drop(metrics.count_payments(&*ledger).await);
            self.add(CounterSample {
                at: Instant::now(),
                counters: Arc::new(Counters::of(&metrics.registry().gather())),
            });
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn add(&self, sample: CounterSample) {
        let mut samples = self.0.lock();
        // One older than the hour stays, from which the hour is counted.
        while samples.get(1).is_some_and(|second| sample.at.saturating_duration_since(second.at) >= KEPT_FOR) {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// The samples, the oldest first, with the present counters as the last.
    pub(super) fn until_now(&self, now: Counters) -> Vec<CounterSample> {
        let kept = self.0.lock().clone();
        kept.into_iter().chain([CounterSample { at: Instant::now(), counters: Arc::new(now) }]).collect()
    }
}

impl Counters {
    /// Reads the counters of the registry. Series of one outcome, state or stage are added up.
    pub(super) fn of(families: &[MetricFamily]) -> Self {
        let mut counters = Self::default();
        for family in families {
            for metric in family.get_metric() {
                match family.name() {
                    "http_server_request_duration_seconds" => {
                        let key = (label(metric, "coinslot_outcome"), label(metric, "http_response_status_code"));
                        *counters.requests.entry(key).or_default() += metric.get_histogram().get_sample_count();
                    }
                    "coinslot_stage_duration_seconds" => {
                        let stage = counters.stages.entry(label(metric, "coinslot_stage")).or_default();
                        stage.add(metric.get_histogram());
                    }
                    "coinslot_errors_total" => {
                        let code = counters.errors.entry(label(metric, "error_type")).or_default();
                        *code += whole(metric.get_counter().get_value());
                    }
                    "coinslot_payments_total" => {
                        let state = counters.payments.entry(label(metric, "coinslot_state")).or_default();
                        *state += whole(metric.get_counter().get_value());
                    }
                    _ => {}
                }
            }
        }
        counters
    }

    /// All requests.
    pub(super) fn all_requests(&self) -> u64 {
        self.requests.values().sum()
    }

    /// Requests that ended so.
    pub(super) fn ended(&self, outcomes: &[&str]) -> u64 {
        self.requests.iter().filter(|((outcome, _), _)| outcomes.contains(&&**outcome)).map(|(_, count)| count).sum()
    }

    /// Payments of which this became.
    pub(super) fn payments(&self, state: &str) -> u64 {
        self.payments.get(state).copied().unwrap_or_default()
    }
}

impl Durations {
    fn add(&mut self, histogram: &prometheus::proto::Histogram) {
        self.count += histogram.get_sample_count();
        let of_it = histogram.get_bucket().iter();
        for (index, bucket) in of_it.filter(|bucket| bucket.upper_bound().is_finite()).enumerate() {
            match self.buckets.get_mut(index) {
                Some((_, count)) => *count += bucket.cumulative_count(),
                None => self.buckets.push((bucket.upper_bound(), bucket.cumulative_count())),
            }
        }
    }

    /// The durations that came after an earlier moment.
    pub(super) fn since(&self, earlier: Option<&Self>) -> Self {
        let before = |index: usize| earlier.and_then(|one| one.buckets.get(index)).map_or(0, |(_, count)| *count);
        let buckets = self.buckets.iter().enumerate();
        Self {
            count: self.count.saturating_sub(earlier.map_or(0, |one| one.count)),
            buckets: buckets.map(|(at, (bound, count))| (*bound, count.saturating_sub(before(at)))).collect(),
        }
    }

    /// The duration in seconds that this share of them does not exceed, as `histogram_quantile` of Prometheus estimates
    /// it: evenly spread within a bucket. None if there are none.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "no count comes near 2^52")]
        let float = |count: u64| count as f64;
        let rank = share * float(self.count);
        let (mut bound_before, mut count_before) = (0.0, 0);
        for (bound, count) in &self.buckets {
            if float(*count) >= rank && *count > count_before {
                let part = (rank - float(count_before)) / float(count - count_before);
                return Some(bound_before + (bound - bound_before) * part.clamp(0.0, 1.0));
            }
            (bound_before, count_before) = (*bound, *count);
        }
        Some(bound_before)
    }
}

fn label(metric: &Metric, name: &str) -> String {
    let found = metric.get_label().iter().find(|label| label.name() == name);
    found.map_or_else(String::new, |label| label.value().to_owned())
}

/// A counter of whole things, which Prometheus keeps as a float.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter is whole and not negative")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(counts: &[(f64, u64)], count: u64) -> Durations {
        Durations { count, buckets: counts.to_vec() }
    }

    #[test]
    fn a_quantile_is_estimated_within_its_bucket() {
        let some = durations(&[(0.1, 0), (0.2, 10), (0.4, 20)], 20);
        for (share, expected) in [(0.5, 0.2), (0.25, 0.15), (0.75, 0.3), (1.0, 0.4)] {
            let found = some.quantile(share).expect("a quantile");
            assert!((found - expected).abs() < 1e-9, "{share}: {found}");
        }
        assert_eq!(durations(&[(0.1, 0)], 0).quantile(0.5), None);
        assert_eq!(durations(&[(0.1, 0), (30.0, 0)], 4).quantile(0.5), Some(30.0), "above the last bound");
        let later = durations(&[(0.1, 0), (0.2, 10), (0.4, 24)], 24);
        assert_eq!(later.since(Some(&some)), durations(&[(0.1, 0), (0.2, 0), (0.4, 4)], 4));
        assert_eq!(some.since(None), some);
    }

    #[test]
    fn an_hour_of_samples_is_kept_and_one_before_it() {
        let (samples, begun) = (Samples::default(), Instant::now());
        for step in 0..500 {
            samples.add(CounterSample { at: begun + INTERVAL * step, counters: Arc::default() });
        }
        let kept = samples.0.lock();
        let (first, last) = (kept.front().expect("a sample").at, kept.back().expect("a sample").at);
        assert_eq!(last - first, KEPT_FOR);
    }
}
