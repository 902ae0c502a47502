//! Measures where the time of one request goes, for an observer of requests, and notes its endpoint and who pays for it.
//!
//! A host without an observer has an empty trace: nothing is measured, and no clock is read. A trace goes with the
//! purchase, because the work for a payment runs in a task of its own. Of a sampled request each part is a span, too.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use coinslot_facilitator::CallTrace;
use coinslot_ledger::FreeKind;
use coinslot_plugin::{OutgoingCall, OutgoingEnd, OutgoingObserver, RunObserver};
use http::{HeaderMap, Method, Uri};

use super::spans::{RequestSpans, StageSpan};
use crate::endpoint::Endpoint;

/// The times of one request, and its payment. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RequestTrace(Option<Arc<TraceFacts>>);

#[derive(Debug, Default)]
struct TraceFacts {
    /// Nanoseconds by [`Stage`].
    spent: [AtomicU64; Stage::ALL.len()],
    ran: AtomicBool,
    /// The request has a field that carries a payment, or may.
    carries_payment: AtomicBool,
    /// The observer reads texts for people, so the payment is noted, too.
    has_texts: bool,
    endpoint: OnceLock<Arc<Endpoint>>,
    payment: OnceLock<TracedPayment>,
    free: OnceLock<FreeKind>,
    /// The requests of the guest to other servers, by [`OutgoingCounts`].
    outgoing: [AtomicU32; 3],
    /// None unless the request is sampled.
    spans: Option<RequestSpans>,
    /// This trace, for the calls of the guest that are under way.
    this: Weak<Self>,
}

/// The requests that a guest sent to other servers for one request, by their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutgoingCounts {
    pub answered: u32,
    /// Not allowed by the operator.
    pub denied: u32,
    pub failed: u32,
}

/// A part of the work for a request that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The plugin quotes a price, with the wait for an instance.
    Quote,
    /// The ledger writes the claim of the payment.
    Claim,
    /// The facilitator verifies the payment.
    Verify,
    /// The request waits for an instance to run in.
    Wait,
    /// The plugin runs in its instance; of a streamed answer until its head.
    Run,
    /// The facilitator settles the payment.
    Settle,
}

impl Stage {
    /// In the order of the declaration, which is that of [`StageTimes`].
    pub const ALL: [Self; 6] = [Self::Quote, Self::Claim, Self::Verify, Self::Wait, Self::Run, Self::Settle];

    /// Its name in metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Claim => "claim",
            Self::Verify => "verify",
            Self::Wait => "wait",
            Self::Run => "run",
            Self::Settle => "settle",
        }
    }
}

/// The time of a request in each stage of its work. Zero for a stage that it did not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes([Duration; Stage::ALL.len()]);

impl StageTimes {
    pub fn of(&self, stage: Stage) -> Duration {
        self.0[stage as usize]
    }

    /// Adds to the time of a stage.
    pub fn add(&mut self, stage: Stage, time: Duration) {
        self.0[stage as usize] += time;
    }

    /// The stages that the request had.
    pub fn measured(&self) -> impl Iterator<Item = (Stage, Duration)> {
        let times = *self;
        Stage::ALL.into_iter().map(move |stage| (stage, times.of(stage))).filter(|(_, time)| !time.is_zero())
    }
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
pub struct TracedSpan<'t> {
    time: Option<(Instant, &'t AtomicU64)>,
    /// Ends when it is dropped. With it are the spans of its request.
    span: Option<(StageSpan, &'t RequestSpans)>,
}

impl RequestTrace {
    /// A trace that takes note of everything; of the payment only with `has_texts`, because it is shown to people alone.
    pub fn watched(spans: Option<RequestSpans>, has_texts: bool) -> Self {
        let facts = |this: &Weak<_>| TraceFacts { spans, has_texts, this: Weak::clone(this), ..TraceFacts::default() };
        Self(Some(Arc::new_cyclic(facts)))
    }

    /// The spans of a sampled request.
    pub(crate) fn spans(&self) -> Option<&RequestSpans> {
        self.0.as_ref()?.spans.as_ref()
    }

    /// Follows the run of the guest: its wait for an instance, and what it sends to other servers.
    pub fn run_observer(&self) -> Option<Arc<dyn RunObserver>> {
        let facts = Arc::clone(self.0.as_ref()?);
        Some(facts)
    }

    /// The requests of the guest to other servers.
    pub fn outgoing(&self) -> OutgoingCounts {
        let Some(facts) = &self.0 else { return OutgoingCounts::default() };
        let [answered, denied, failed] = facts.outgoing.each_ref().map(|count| count.load(Relaxed));
        OutgoingCounts { answered, denied, failed }
    }

    /// Begins a run of the guest for the request.
    pub fn run(&self) -> TracedSpan<'_> {
        if let Some(facts) = &self.0 {
            facts.ran.store(true, Relaxed);
        }
        self.stage(Stage::Run)
    }

    /// Begins a stage other than [`Stage::Run`].
    pub(super) fn stage(&self, stage: Stage) -> TracedSpan<'_> {
        let Some(facts) = &self.0 else { return TracedSpan { time: None, span: None } };
        let span = facts.spans.as_ref().map(|spans| (spans.stage(stage.as_str()), spans));
        if let (Stage::Run, Some((span, spans))) = (stage, &span) {
            spans.runs(span);
        }
        TracedSpan { time: Some((Instant::now(), &facts.spent[stage as usize])), span }
    }

    /// Notes the endpoint that the request found.
    pub fn found(&self, endpoint: &Arc<Endpoint>) {
        if let Some(facts) = &self.0 {
            let _ = facts.endpoint.set(Arc::clone(endpoint));
        }
    }

    /// The endpoint that the request found.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.0.as_ref()?.endpoint.get()
    }

    /// Notes that the request has a field that carries a payment, or may.
    pub fn may_pay(&self) {
        if let Some(facts) = &self.0 {
            facts.carries_payment.store(true, Relaxed);
        }
    }

    /// True if the request has a field that carries a payment, or may.
    pub fn carries_payment(&self) -> bool {
        self.0.as_ref().is_some_and(|facts| facts.carries_payment.load(Relaxed))
    }

    /// Notes the payment. It is made for a trace with texts only.
    pub(super) fn pays(&self, payment: impl FnOnce() -> TracedPayment) {
        if let Some(facts) = self.0.as_ref().filter(|facts| facts.has_texts) {
            let _ = facts.payment.set(payment());
        }
    }

    /// Notes that the request is served without a payment, and by what.
    pub(super) fn is_free_by(&self, kind: FreeKind) {
        if let Some(facts) = &self.0 {
            let _ = facts.free.set(kind);
        }
    }

    /// The grounds for serving the request without a payment, at a paid endpoint.
    pub fn free(&self) -> Option<FreeKind> {
        self.0.as_ref()?.free.get().copied()
    }

    /// True if the guest ran for the request. A quote is no run.
    pub fn has_run(&self) -> bool {
        self.0.as_ref().is_some_and(|facts| facts.ran.load(Relaxed))
    }

    /// The payment that the request carries, once its signer is proven.
    pub fn payment(&self) -> Option<&TracedPayment> {
        self.0.as_ref()?.payment.get()
    }

    /// The time in each stage.
    pub fn times(&self) -> StageTimes {
        let Some(facts) = &self.0 else { return StageTimes::default() };
        let spent = |stage: Stage| facts.spent[stage as usize].load(Relaxed);
        let own = |stage: Stage| match stage {
            // The span of a run begins before the wait for its instance.
            Stage::Run => spent(Stage::Run).saturating_sub(spent(Stage::Wait)),
            Stage::Quote | Stage::Claim | Stage::Verify | Stage::Wait | Stage::Settle => spent(stage),
        };
        StageTimes(Stage::ALL.map(|stage| Duration::from_nanos(own(stage))))
    }
}

impl TracedSpan<'_> {
    /// The trace of the calls of facilitators that are a part of this stage, if the request is sampled.
    pub(super) fn calls(&self) -> Option<Arc<dyn CallTrace>> {
        self.span.as_ref().map(|(span, spans)| spans.calls(span))
    }
}

impl RunObserver for TraceFacts {
    fn waited(&self, time: Duration) {
        self.spent[Stage::Wait as usize].fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl OutgoingObserver for TraceFacts {
    fn begin(&self, method: &Method, uri: &Uri, headers: &mut HeaderMap) -> Box<dyn OutgoingCall> {
        let span = self.spans.as_ref().map(|spans| spans.outgoing(method, uri, headers));
        Box::new(TracedCall { facts: self.this.clone(), span })
    }
}

/// A request of the guest to another server.
struct TracedCall {
    facts: Weak<TraceFacts>,
    span: Option<StageSpan>,
}

impl OutgoingCall for TracedCall {
    fn ended(self: Box<Self>, end: &OutgoingEnd) {
        let index = match end {
            OutgoingEnd::Answered(_) => 0,
            OutgoingEnd::Denied => 1,
            OutgoingEnd::Failed(_) => 2,
        };
        if let Some(facts) = self.facts.upgrade() {
            facts.outgoing[index].fetch_add(1, Relaxed);
        }
        if let Some(span) = self.span {
            span.ended(end);
        }
    }
}

impl Drop for TracedSpan<'_> {
    fn drop(&mut self) {
        if let Some((begun, time)) = self.time.take() {
            time.fetch_add(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of a claim was told as that of a verification, and the other way round.
    #[test]
    fn each_stage_has_its_own_time_and_a_run_is_without_the_wait_for_its_instance() {
        for stage in Stage::ALL.into_iter().filter(|stage| !matches!(stage, Stage::Wait)) {
            let trace = RequestTrace::watched(None, true);
            let span = trace.stage(stage);
            std::thread::sleep(Duration::from_millis(2));
            drop(span);
            let measured: Vec<_> = trace.times().measured().map(|(stage, _)| stage).collect();
            assert_eq!(measured, [stage]);
            assert!(trace.times().of(stage) >= Duration::from_millis(2));
        }
        let trace = RequestTrace::watched(None, true);
        let run = trace.run();
        std::thread::sleep(Duration::from_millis(4));
        trace.run_observer().expect("a watched request").waited(Duration::from_millis(3));
        assert_eq!(trace.times().of(Stage::Run), Duration::ZERO, "a run that has not ended");
        drop(run);
        let (wait, ran) = (trace.times().of(Stage::Wait), trace.times().of(Stage::Run));
        assert_eq!(wait, Duration::from_millis(3));
        assert!(ran >= Duration::from_millis(1), "{ran:?}");
    }

    #[test]
    fn a_watched_request_has_its_times_and_an_unwatched_one_has_none() {
        for (trace, watched) in [(RequestTrace::watched(None, true), true), (RequestTrace::default(), false)] {
            drop(trace.stage(Stage::Quote));
            assert!(!trace.has_run(), "a quote is no run");
            let run = trace.run();
            std::thread::sleep(Duration::from_millis(2));
            drop(run);
            trace.pays(|| TracedPayment { payer: "0xa".to_owned(), amount: "1 USDC".to_owned() });
            assert_eq!((trace.has_run(), trace.payment().is_some()), (watched, watched));
            let times = trace.times();
            assert_eq!(times.of(Stage::Run) >= Duration::from_millis(2), watched);
            assert_eq!((times.of(Stage::Verify), times.of(Stage::Settle)), (Duration::ZERO, Duration::ZERO));
            let stages: Vec<_> =
                times.measured().map(|(stage, _)| stage.as_str()).filter(|name| *name != "quote").collect();
            assert_eq!(stages, if watched { vec!["run"] } else { vec![] });
        }
    }
}
