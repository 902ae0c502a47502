//! Tells observers of each call of a facilitator: its end and its duration for metrics, and its place in a trace.
//!
//! A payment goes through pools and retries to the facilitator that is called, and none of them has to know of traces:
//! the trace goes with the task ([`with_call_trace`]). Its fields are for facilitators alone, which the operator has
//! chosen; nodes of chains see none.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use coinslot_evm::{TransactionEvent, TransactionObserver};
use coinslot_x402::Network;
use reqwest::header::HeaderMap;

use crate::facilitator::{Settlement, SignatureVerdict, Verification};
use crate::probe::OnChain;

/// The operation that a facilitator is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Verify,
    Settle,
    /// The question for the kinds of payment that it supports, which also shows whether it answers.
    Supported,
    /// The state of a payment on the chain, which its node is asked for.
    Lookup,
    /// A signature that only a contract can judge, which its node is asked for.
    Signature,
}

impl Operation {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Settle => "settle",
            Self::Supported => "supported",
            Self::Lookup => "lookup",
            Self::Signature => "signature",
        }
    }
}

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// Valid, settled, or answered.
    Ok,
    /// The facilitator says no.
    Refused,
    /// An answer that says neither.
    Unknown,
    /// A facilitator in this process sent no transaction.
    NotSent,
    /// There was no connection, or it broke.
    Unreachable,
    /// There was no answer in time.
    Timeout,
    /// The call was given up, as by a host that ends.
    Abandoned,
}

impl CallResult {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::NotSent => "not_sent",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Abandoned => "abandoned",
        }
    }
}

impl From<&Verification> for CallResult {
    fn from(verification: &Verification) -> Self {
        match verification {
            Verification::Valid { .. } => Self::Ok,
            Verification::Invalid { .. } => Self::Refused,
            Verification::Unavailable(_) => Self::Unknown,
        }
    }
}

impl From<&Settlement> for CallResult {
    fn from(settlement: &Settlement) -> Self {
        match settlement {
            Settlement::Settled { .. } => Self::Ok,
            Settlement::Refused { .. } | Settlement::SettledElsewhere { .. } => Self::Refused,
            Settlement::Unknown { unanswered: true, .. } => Self::Timeout,
            Settlement::Unknown { unanswered: false, .. } => Self::Unknown,
            Settlement::NotSent { .. } => Self::NotSent,
        }
    }
}

impl From<&SignatureVerdict> for CallResult {
    fn from(verdict: &SignatureVerdict) -> Self {
        match verdict {
            SignatureVerdict::Valid => Self::Ok,
            SignatureVerdict::Invalid { .. } => Self::Refused,
            SignatureVerdict::Unavailable(_) => Self::Unknown,
        }
    }
}

impl From<&OnChain> for CallResult {
    fn from(found: &OnChain) -> Self {
        match found {
            OnChain::Unavailable(_) => Self::Unreachable,
            OnChain::Paid { .. }
            | OnChain::Shallow
            | OnChain::Unused { .. }
            | OnChain::Canceled
            | OnChain::Used { .. } => Self::Ok,
        }
    }
}

/// Hears of each call when it has ended, and of what becomes of the transactions of facilitators in this process.
pub trait CallObserver: Send + Sync + fmt::Debug {
    /// `facilitator`: its name in the configuration.
    fn ended(&self, facilitator: &str, operation: Operation, result: CallResult, took: Duration);

    /// A transaction of one of the facilitator's wallets on this network was sent, replaced, included or lost.
    fn transaction(&self, facilitator: &str, network: &Network, wallet: Address, event: TransactionEvent);
}

/// The transactions of one facilitator on its network.
#[derive(Debug)]
struct Transactions {
    facilitator: Arc<str>,
    network: Network,
    observer: Arc<dyn CallObserver>,
}

impl TransactionObserver for Transactions {
    fn happened(&self, wallet: Address, event: TransactionEvent) {
        self.observer.transaction(&self.facilitator, &self.network, wallet, event);
    }
}

/// The trace of a request, for which facilitators are called.
pub trait CallTrace: Send + Sync {
    /// Begins the span of a call.
    fn begin(&self, facilitator: &str, operation: Operation) -> Box<dyn TracedCall>;
}

/// The span of a call. It ends when it is dropped.
pub trait TracedCall: Send + Sync {
    /// The fields by which the facilitator continues the trace.
    fn headers(&self) -> HeaderMap;

    fn ended(self: Box<Self>, result: CallResult);
}

tokio::task_local! {
    static TRACE: Arc<dyn CallTrace>;
}

/// Does work in which the calls of facilitators are spans of this trace, if there is one.
pub async fn with_call_trace<F: Future>(trace: Option<Arc<dyn CallTrace>>, work: F) -> F::Output {
    match trace {
        Some(trace) => TRACE.scope(trace, work).await,
        None => work.await,
    }
}

/// The calls of one facilitator, with its name in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    name: Arc<str>,
    observer: Option<Arc<dyn CallObserver>>,
}

impl Calls {
    /// The calls of this facilitator, which the observer hears of.
    pub fn of(name: &str, observer: Option<Arc<dyn CallObserver>>) -> Self {
        Self { name: name.into(), observer }
    }

    /// The observer of the transactions of this facilitator, if there is one.
    pub(crate) fn of_transactions(&self, network: &Network) -> Option<Arc<dyn TransactionObserver>> {
        let observer = Arc::clone(self.observer.as_ref()?);
        Some(Arc::new(Transactions { facilitator: Arc::clone(&self.name), network: network.clone(), observer }))
    }

    /// Begins a call.
    pub(crate) fn begin(&self, operation: Operation) -> Call<'_> {
        let span = TRACE.try_with(|trace| trace.begin(&self.name, operation)).ok();
        let clock = self.observer.as_ref().map(|_| Instant::now());
        Call { calls: self, operation, clock, span }
    }
}

/// A call that is under way. One that is dropped was given up.
#[must_use]
pub(crate) struct Call<'c> {
    calls: &'c Calls,
    operation: Operation,
    /// The time of its begin, if there is an observer that is not told yet.
    clock: Option<Instant>,
    span: Option<Box<dyn TracedCall>>,
}

impl Call<'_> {
    /// The fields of its request that continue the trace.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.span.as_ref().map(|span| span.headers()).unwrap_or_default()
    }

    /// Notes the end of the call, and returns it.
    pub(crate) fn ended_with<T>(mut self, end: T) -> T
    where
        for<'e> CallResult: From<&'e T>,
    {
        self.tell(CallResult::from(&end));
        end
    }

    /// Notes the end of the call.
    pub(crate) fn ended(mut self, result: CallResult) {
        self.tell(result);
    }

    fn tell(&mut self, result: CallResult) {
        if let (Some(begun), Some(observer)) = (self.clock.take(), &self.calls.observer) {
            observer.ended(&self.calls.name, self.operation, result, begun.elapsed());
        }
        if let Some(span) = self.span.take() {
            span.ended(result);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.tell(CallResult::Abandoned);
    }
}
