//! One facilitator of a pool, with its circuit breaker and what is known of its health.

mod watch;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use coinslot_base::breaker::{Breaker, BreakerChange, BreakerPermit, BreakerSettings};
use coinslot_x402::facilitator::PaymentRequest;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::via::Via;
use crate::facilitator::{Facilitator, FacilitatorStatus, Readiness, Settlement, Verification};
use crate::local::Local;
use crate::remote::{Remote, SettleEnd, VerifyEnd};

/// The shortest time between two looks for the sake of ambiguous answers: a client that causes them by the thousand
/// causes no more looks than that.
const AMBIGUITY_INTERVAL: Duration = Duration::from_secs(1);

/// Payers whose failed settlements are remembered at most. Before so many fail in a row the circuit has opened.
const MAX_FAILING_PAYERS: usize = 1_024;

/// The usual circuit breaker of a member. The pauses are jittered, so that many hosts do not call it at once.
pub const MEMBER_BREAKER: BreakerSettings =
    BreakerSettings { failures: 3, pause: Duration::from_secs(1), longest: Duration::from_secs(30), jitter: true };

/// A facilitator and its circuit breaker, which all pools share that it is a member of.
#[derive(Clone, Debug)]
pub struct Member(Arc<MemberState>);

#[derive(Debug)]
struct MemberState {
    name: String,
    via: Via,
    breaker: Arc<Breaker>,
    /// Failures in a row that open the circuit. As many ambiguous answers cause a look, and as many payers whose
    /// settlements fail count at once. Zero: the circuit never opens.
    limit: u32,
    /// Ambiguous answers since the last verdict or successful look. The breaker does not count them.
    ambiguous: AtomicU32,
    /// The time of the last successful look for the sake of ambiguous answers. Locked during such a look, so that there
    /// is one at a time.
    ambiguous_look: tokio::sync::Mutex<Option<Instant>>,
    /// Payers whose settlements have failed without a clear end since the last one that was answered.
    failing_payers: Mutex<HashSet<String>>,
    /// The circuit has opened and not closed since. A breaker whose pause is over lets a call through, which does not
    /// mean that the member answers.
    is_down: AtomicBool,
    /// A call has failed since the last success.
    is_suspect: AtomicBool,
    /// Notified when a call has failed after a success: every watch of the member looks sooner.
    doubted: Notify,
    /// The time of the last verdict on the member, and of the last look at it.
    judged: Mutex<Instant>,
}

/// The history of a payment that is sent to be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    First,
    /// An earlier sending may have arrived.
    Repeated,
}

impl Member {
    /// A facilitator in this process.
    pub fn local(name: &str, local: Arc<Local>) -> Self {
        Self::new(name, Via::Local(local), MEMBER_BREAKER)
    }

    /// A facilitator over HTTP.
    pub fn remote(name: &str, remote: Arc<Remote>, settings: BreakerSettings) -> Self {
        Self::new(name, Via::Remote(remote), settings)
    }

    fn new(name: &str, via: Via, settings: BreakerSettings) -> Self {
        Self(Arc::new(MemberState {
            name: name.to_owned(),
            via,
            limit: settings.failures,
            ambiguous: AtomicU32::new(0),
            ambiguous_look: tokio::sync::Mutex::new(None),
            failing_payers: Mutex::default(),
            breaker: Breaker::new(name.into(), settings),
            is_down: AtomicBool::new(false),
            is_suspect: AtomicBool::new(false),
            doubted: Notify::new(),
            judged: Mutex::new(Instant::now()),
        }))
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn breaker(&self) -> &Arc<Breaker> {
        &self.0.breaker
    }

    pub(super) fn facilitator(&self) -> &dyn Facilitator {
        self.0.via.facilitator()
    }

    /// Verifies, and gives the breaker its verdict. An objection to this one payment is none: the permit is given back
    /// unused. After several ambiguous answers it also looks at the member, which takes as long as a verification at
    /// most.
    pub(super) async fn verify(&self, permit: BreakerPermit, request: &PaymentRequest) -> Verification {
        match self.0.via.judge(request).await {
            VerifyEnd::Answered(verdict) => {
                self.succeeded(permit);
                verdict
            }
            VerifyEnd::Objected(error) => {
                drop(permit);
                tracing::warn!(facilitator = self.0.name, %error, "the facilitator objects to a payment and does not say why");
                Verification::Unavailable(error)
            }
            VerifyEnd::Ambiguous(error) => {
                self.answered_ambiguously(permit, &error.message).await;
                Verification::Unavailable(error)
            }
            VerifyEnd::Failed(error) => {
                self.failed(permit, &error.message);
                Verification::Unavailable(error)
            }
        }
    }

    /// Decides what an answer like a 500 says about the member.
    ///
    /// A member may fail for some payments only, which anyone can send at no cost and by as many keys as they like: if
    /// these failures opened the circuit, one client would stop all sales. So they are counted apart from the
    /// breaker's failures, and at the limit `/supported` is asked, on which no client has an influence. If it answers,
    /// the failures were about the payments. If not, the breaker is given all of them at once. A trial is judged
    /// without delay, because every other call is refused until it ends.
    ///
    /// A call that finds a look under way, or a successful one a moment ago, gives its permit back unused. So does one
    /// whose client hangs up during the look: the next answer of this kind takes another look.
    async fn answered_ambiguously(&self, permit: BreakerPermit, why: &str) {
        self.doubt();
        let in_a_row = self.0.ambiguous.fetch_add(1, Relaxed).saturating_add(1);
        let is_due = self.0.limit > 0 && in_a_row >= self.0.limit;
        if !is_due && !permit.is_trial() {
            return;
        }
        let Ok(mut last_look) = self.0.ambiguous_look.try_lock() else { return };
        let is_recent = last_look.is_some_and(|at| at.elapsed() < AMBIGUITY_INTERVAL);
        if is_recent && !permit.is_trial() {
            return;
        }
        match self.0.via.look().await {
            Ok(()) => {
                *last_look = Some(Instant::now());
                self.0.ambiguous.store(0, Relaxed);
                let facilitator = &self.0.name;
                tracing::warn!(facilitator, why, in_a_row, "the facilitator answers, and fails for some payments");
                self.responded(permit);
            }
            Err(error) => self.failed_times(permit, in_a_row, &format!("{why}; {error}")),
        }
    }

    /// Tries to settle once, and gives the breaker its verdict. An error says why nothing was sent.
    ///
    /// A failure may be about the payment: a facilitator may answer 500, or nothing in time, where the payer has spent
    /// its money meanwhile, and one payer can have many payments verified with the money for one. So a failure counts
    /// once for each payer until a settlement is answered, and a repeated sending counts for nothing: recovery sends
    /// what has failed again and again. Verifications that are answered meanwhile say nothing about settlements: enough
    /// payers in a row open the circuit all the same.
    pub(super) async fn settle(
        &self,
        permit: BreakerPermit,
        request: &PaymentRequest,
        sending: Sending,
    ) -> Result<Settlement, String> {
        match self.0.via.attempt(request).await {
            SettleEnd::NotSent(message) => {
                match &self.0.via {
                    Via::Remote(_) => self.failed(permit, &message),
                    // Its wallet, its limits or its node: its readiness tells, and the permit is given back unused.
                    Via::Local(_) => drop(permit),
                }
                Err(format!("{}: {message}", self.0.name))
            }
            SettleEnd::Unclear(settlement) => {
                let message = match &settlement {
                    Settlement::Unknown { message, .. } | Settlement::NotSent { message } => message.as_str(),
                    Settlement::Settled { .. } | Settlement::SettledElsewhere { .. } | Settlement::Refused { .. } => "",
                };
                let newly = if sending == Sending::First { self.note_failing(request) } else { None };
                match newly {
                    Some(payers) if payers >= self.0.limit => self.failed_times(permit, payers, message),
                    Some(_) => self.failed(permit, message),
                    None => drop(permit),
                }
                Ok(settlement)
            }
            SettleEnd::Objected(settlement) => {
                drop(permit);
                Ok(settlement)
            }
            SettleEnd::Answered(settlement) => {
                self.0.failing_payers.lock().clear();
                self.succeeded(permit);
                Ok(settlement)
            }
        }
    }

    /// Notes that a settlement of this payer has failed, and returns the number of payers of whom one has since the
    /// last that was answered. None if this payer is among them already.
    fn note_failing(&self, request: &PaymentRequest) -> Option<u32> {
        // Of another network than EVM: each payment counts as the first payer.
        let Some(payer) = request.named_payer() else { return Some(1) };
        let mut failing = self.0.failing_payers.lock();
        if failing.len() >= MAX_FAILING_PAYERS {
            failing.clear();
        }
        let is_new = failing.insert(payer.to_ascii_lowercase());
        is_new.then(|| u32::try_from(failing.len()).unwrap_or(u32::MAX))
    }

    fn succeeded(&self, permit: BreakerPermit) {
        *self.0.judged.lock() = Instant::now();
        self.0.is_suspect.store(false, Relaxed);
        self.0.ambiguous.store(0, Relaxed);
        if permit.succeeded() == Some(BreakerChange::Closed) {
            self.0.is_down.store(false, Relaxed);
            tracing::info!(facilitator = self.0.name, "the facilitator answers again");
        }
    }

    /// A look succeeded. The member answers, and may still verify nothing: until a payment has shown that it does, one
    /// failure opens a circuit again that this closes.
    fn responded(&self, mut permit: BreakerPermit) {
        if permit.responds() == Some(BreakerChange::Closed) {
            self.0.is_down.store(false, Relaxed);
            tracing::info!(facilitator = self.0.name, "the facilitator answers again");
        }
    }

    fn failed(&self, permit: BreakerPermit, why: &str) {
        self.failed_times(permit, 1, why);
    }

    fn failed_times(&self, permit: BreakerPermit, times: u32, why: &str) {
        *self.0.judged.lock() = Instant::now();
        self.doubt();
        if let Some(BreakerChange::Opened { .. }) = permit.failed_times(times) {
            self.0.is_down.store(true, Relaxed);
            tracing::warn!(facilitator = self.0.name, why, "the facilitator failed repeatedly: its circuit is open");
        }
    }

    pub(super) fn readiness(&self) -> Readiness {
        if self.0.is_down.load(Relaxed) { Readiness::Down } else { self.facilitator().readiness() }
    }

    /// The state of the member, with its name.
    pub(super) fn status(&self) -> FacilitatorStatus {
        let known = self.facilitator().statuses().into_iter().next().unwrap_or_default();
        let readiness = self.readiness();
        let silent = readiness == Readiness::Down && known.trouble.is_none();
        FacilitatorStatus {
            name: Some(self.0.name.as_str().into()),
            readiness,
            trouble: known.trouble.or_else(|| silent.then(|| "it does not answer, or failed repeatedly".to_owned())),
            circuit_open_for: self.breaker().check().err().map(|open| open.retry),
            ..known
        }
    }

    fn doubt(&self) {
        if !self.0.is_suspect.swap(true, Relaxed) {
            self.0.doubted.notify_waiters();
        }
    }
}
