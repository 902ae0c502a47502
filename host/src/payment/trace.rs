//! Measures where the time of one request goes, for an observer of requests, and notes who pays for it.
//!
//! A host without an observer has an empty trace: nothing is measured, and no clock is read. A trace goes with the
//! purchase, because the work for a payment runs in a task of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The times of one request, and its payment. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RequestTrace(Option<Arc<TraceFacts>>);

#[derive(Debug, Default)]
struct TraceFacts {
    /// Nanoseconds in the plugin, with the wait for an instance.
    plugin: AtomicU64,
    /// Nanoseconds in which the payment was verified and settled.
    chain: AtomicU64,
    ran: AtomicBool,
    payment: OnceLock<TracedPayment>,
}

/// A payment whose signer is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedPayment {
    pub payer: String,
    /// The amount and the asset, as in `0.01 USDC`.
    pub amount: String,
}

/// A part of a request's time, which ends when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct TracedSpan<'t>(Option<(Instant, &'t AtomicU64)>);

impl RequestTrace {
    /// A trace that takes note of everything.
    pub fn watched() -> Self {
        Self(Some(Arc::default()))
    }

    /// Begins a run of the guest for the request.
    pub fn run(&self) -> TracedSpan<'_> {
        if let Some(facts) = &self.0 {
            facts.ran.store(true, Relaxed);
        }
        self.quote()
    }

    /// Begins the plugin's quote for the request.
    pub(super) fn quote(&self) -> TracedSpan<'_> {
        TracedSpan::of(self.0.as_ref().map(|facts| &facts.plugin))
    }

    /// Begins a question to the facilitator.
    pub(super) fn chain(&self) -> TracedSpan<'_> {
        TracedSpan::of(self.0.as_ref().map(|facts| &facts.chain))
    }

    /// Notes the payment. It is made for a watched request only.
    pub(super) fn pays(&self, payment: impl FnOnce() -> TracedPayment) {
        if let Some(facts) = &self.0 {
            let _ = facts.payment.set(payment());
        }
    }

    /// True if the guest ran for the request. A quote is no run.
    pub fn has_run(&self) -> bool {
        self.0.as_ref().is_some_and(|facts| facts.ran.load(Relaxed))
    }

    /// The payment that the request carries, once its signer is proven.
    pub fn payment(&self) -> Option<&TracedPayment> {
        self.0.as_ref()?.payment.get()
    }

    /// The time in the plugin and the time at the facilitator.
    pub fn times(&self) -> (Duration, Duration) {
        let spent = |time: &AtomicU64| Duration::from_nanos(time.load(Relaxed));
        self.0.as_ref().map_or_else(Default::default, |facts| (spent(&facts.plugin), spent(&facts.chain)))
    }
}

impl<'t> TracedSpan<'t> {
    fn of(time: Option<&'t AtomicU64>) -> Self {
        Self(time.map(|time| (Instant::now(), time)))
    }
}

impl Drop for TracedSpan<'_> {
    fn drop(&mut self) {
        if let Some((begun, time)) = self.0.take() {
            time.fetch_add(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_request_has_its_times_and_an_unwatched_one_has_none() {
        for (trace, watched) in [(RequestTrace::watched(), true), (RequestTrace::default(), false)] {
            drop(trace.quote());
            assert!(!trace.has_run(), "a quote is no run");
            let run = trace.run();
            std::thread::sleep(Duration::from_millis(2));
            drop(run);
            trace.pays(|| TracedPayment { payer: "0xa".to_owned(), amount: "1 USDC".to_owned() });
            assert_eq!((trace.has_run(), trace.payment().is_some()), (watched, watched));
            let (plugin, chain) = trace.times();
            assert_eq!((plugin >= Duration::from_millis(2), chain), (watched, Duration::ZERO));
        }
    }
}
