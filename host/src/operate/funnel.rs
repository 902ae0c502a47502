//! Counts requests for the funnel from the price to the payment, and writes their numbers into the ledger.
//!
//! No request waits for it, and no challenge costs a commit: numbers are collected here and written every few seconds,
//! before a page shows them, and at the end of the host. A host that is killed loses the numbers of [`INTERVAL`] at most.
//! Payments are not counted here: the ledger counts them itself, in the commits of their steps.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use coinslot_ledger::{Ledger, RequestCount};
use parking_lot::Mutex;

use super::time;
use crate::endpoint::{Access, Endpoint};
use crate::server::RequestOutcome;

/// The time between two writings.
const INTERVAL: Duration = Duration::from_secs(5);

/// The numbers of all endpoints that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Funnel {
    /// Those of each load of a paid endpoint.
    endpoints: Mutex<Vec<Arc<EndpointCounts>>>,
    /// Those that were taken out and could not be written.
    unwritten: Mutex<Ends>,
    /// The last write has failed: only the first of several is logged.
    has_failed: AtomicBool,
}

/// Numbers of requests by their ends.
type Ends = BTreeMap<EndKey, u64>;

/// The endpoint of requests, and their end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct EndKey {
    of: Arc<CountedEndpoint>,
    outcome: &'static str,
    /// Empty: they were answered without an error of the host.
    code: String,
}

/// The names of a paid endpoint.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CountedEndpoint {
    /// All that it takes is worth nothing.
    testnet: bool,
    plugin: String,
    label: String,
}

/// The numbers of one endpoint.
pub(super) struct EndpointCounts {
    of: Arc<CountedEndpoint>,
    /// Most requests are told the price, and no lock is taken for them.
    challenged: AtomicU64,
    errors: Mutex<BTreeMap<(&'static str, String), u64>>,
}

impl Funnel {
    /// Room for the numbers of an endpoint. None if it is free.
    pub(super) fn endpoint(&self, endpoint: &Endpoint) -> Option<Arc<EndpointCounts>> {
        let Access::Paid(paid) = &endpoint.access else { return None };
        let counts = Arc::new(EndpointCounts {
            of: Arc::new(CountedEndpoint {
                testnet: paid.offer.prices().iter().all(|price| price.asset.testnet),
                plugin: endpoint.plugin.info().name.clone(),
                label: endpoint.label.clone(),
            }),
            challenged: AtomicU64::new(0),
            errors: Mutex::default(),
        });
        self.endpoints.lock().push(Arc::clone(&counts));
        Some(counts)
    }

    /// Writes what has been counted since the last time. What cannot be written is kept for the next time.
    pub(super) async fn write(&self, ledger: &dyn Ledger) {
        let ends = self.take();
        if ends.is_empty() {
            return;
        }
        let counts = ends.iter().map(|(end, number)| RequestCount {
            testnet: end.of.testnet,
            plugin: end.of.plugin.clone(),
            endpoint: end.of.label.clone(),
            outcome: end.outcome,
            code: end.code.clone(),
            requests: *number,
        });
        let Err(error) = ledger.count_requests(counts.collect(), time::now()).await else {
            self.has_failed.store(false, Relaxed);
            return;
        };
        if !self.has_failed.swap(true, Relaxed) {
            tracing::warn!(%error, "requests cannot be counted in the ledger; their numbers are kept until they can");
        }
        let mut unwritten = self.unwritten.lock();
        for (end, number) in ends {
            *unwritten.entry(end).or_default() += number;
        }
    }

    /// Writes every few seconds, for ever.
    pub(super) async fn follow(&self, ledger: &dyn Ledger) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.write(ledger).await;
        }
    }

    /// Takes everything that is not written, and forgets endpoints that are served no more.
    fn take(&self) -> Ends {
        let mut ends = std::mem::take(&mut *self.unwritten.lock());
        self.endpoints.lock().retain(|counts| {
            // Whether it is served is read first: one that is dropped while it is drained stays until the next time.
            let is_served = Arc::strong_count(counts) > 1;
            counts.drain(&mut ends);
            is_served
        });
        ends
    }
}

impl EndpointCounts {
    /// Counts a request with this outcome. `code`: that of the error that it was answered with.
    pub(super) fn count(&self, outcome: RequestOutcome, code: Option<String>) {
        match outcome {
            RequestOutcome::Asked => {
                self.challenged.fetch_add(1, Relaxed);
            }
            RequestOutcome::Refused
            | RequestOutcome::Failed
            | RequestOutcome::Owed
            | RequestOutcome::Unknown
            | RequestOutcome::BrokenOff => {
                let end = (outcome.as_str(), code.unwrap_or_default());
                *self.errors.lock().entry(end).or_default() += 1;
            }
            // A request that was served is in the ledger as a payment or a free use. Answers of the host for itself and
            // requests whose client left are not counted.
            RequestOutcome::OfHost
            | RequestOutcome::Free
            | RequestOutcome::Paid
            | RequestOutcome::PaidBefore
            | RequestOutcome::HungUp => {}
        }
    }

    fn drain(&self, into: &mut Ends) {
        let mut add = |outcome, code, number| {
            if number > 0 {
                *into.entry(EndKey { of: Arc::clone(&self.of), outcome, code }).or_default() += number;
            }
        };
        add(RequestOutcome::Asked.as_str(), String::new(), self.challenged.swap(0, Relaxed));
        for ((outcome, code), number) in std::mem::take(&mut *self.errors.lock()) {
            add(outcome, code, number);
        }
    }
}

impl fmt::Debug for EndpointCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointCounts").field("of", &self.of).finish_non_exhaustive()
    }
}
