//! The state Reserved: claimed for one request alone, and verified by the facilitator.

use std::time::{Duration, Instant};

use bytes::Bytes;
use coinslot_facilitator::{PayerKind, Verification, with_call_trace};
use coinslot_ledger::{Hold, PaymentId, Step};
use coinslot_plugin::{CircuitPermit, Fault, PaymentReceipt, Permit, Verdict};
use coinslot_x402::exact::SETTLE_MARGIN_SECONDS;
use coinslot_x402::{Reason, UnixTime, Version};
use http::Request;

use super::accepted::Accepted;
use super::advice::advice;
use super::answer::{self, GuestAnswer};
use super::budget::{Exhausted, HeldBytes};
use super::exposure::Exposure;
use super::hold_guard::HoldGuard;
use super::identity::{self, same_address};
use super::trace::Stage;
use super::{Executed, Payments, Problem, Purchase, challenge};

/// A payment that is claimed for one request: no other request can use it until it is released.
#[derive(Debug)]
#[must_use]
pub struct Reserved {
    pub(super) accepted: Accepted,
    pub(super) hold: HoldGuard,
    /// The time that the checks took.
    pub(super) verify: Duration,
    pub(super) circuit: CircuitPermit,
    exposure: Option<Exposure>,
}

impl Reserved {
    /// Asks the facilitator whether the claimed payment would settle, and then the plugin's circuits for a permit. On
    /// an error the claim is released.
    ///
    /// The order matters: the trial request of an open circuit must come from a payer whose funds are confirmed.
    pub(super) async fn confirm(
        payments: &Payments,
        purchase: &Purchase,
        accepted: Accepted,
        hold: HoldGuard,
        exposure: Option<Exposure>,
        begun: Instant,
    ) -> Result<(Self, PayerKind), Problem> {
        let confirmed = confirm(payments, purchase, &accepted, hold.id()).await;
        let verify = begun.elapsed();
        let admit = || purchase.endpoint.plugin.admit(hold.id().payer()).map_err(Problem::Plugin);
        let admitted = confirmed.and_then(|payer| Ok((admit()?, payer)));
        match admitted {
            Ok((circuit, payer)) => Ok((Self { accepted, hold, verify, circuit, exposure }, payer)),
            Err(problem) => {
                release(payments, hold.hold()).await;
                Err(problem)
            }
        }
    }

    /// Runs the guest, once. A fault, and an answer that says that the work is not done, releases the claim.
    pub(super) async fn execute(
        self,
        payments: &Payments,
        purchase: &Purchase,
        request: Request<Bytes>,
    ) -> Result<Executed, Problem> {
        // Noted, and not waited for: if the host dies now, nothing was sent, and the claim is given back.
        payments.ledger.note(self.hold.hold(), Step::Executing, payments.now());
        let begun = Instant::now();
        let receipt = self.receipt();
        let wait = longest_wait(&self.accepted, payments.now(), purchase.endpoint.plugin.limits().first_byte);
        let Self { accepted, hold, verify, circuit, exposure } = self;
        #[expect(clippy::disallowed_methods, reason = "the payment is claimed and verified")]
        let permit = Permit::grant(Some(receipt))
            .for_client(Some(purchase.client.network()))
            .with_circuit_permit(Some(circuit))
            .observed_by(purchase.trace.run_observer())
            .wait_for_instance(wait);
        let answer = match run(purchase, permit, request, payments.bytes_at_work(purchase.client.ip, hold.id())).await {
            Ok(answer) => answer,
            Err(problem) => {
                match failure(&problem) {
                    Some(reason) => give_back(payments, hold.hold(), Step::Failed { reason }).await,
                    None => release(payments, hold.hold()).await,
                }
                return Err(problem);
            }
        };
        Ok(Executed { accepted, hold, verify, run: begun.elapsed(), answer, exposure })
    }

    /// The receipt that the guest sees.
    pub(super) fn receipt(&self) -> PaymentReceipt {
        identity::receipt(&self.accepted.price.asset, &self.accepted.exact, self.id())
    }

    pub(super) fn id(&self) -> &PaymentId {
        self.hold.id()
    }

    pub(super) fn version(&self) -> Version {
        self.accepted.version()
    }
}

/// The time for which a claimed payment waits for its instance: as long as the guest may work until its answer, as far
/// as the authorisation then outlives that work. There was room before the claim, so the wait is for the few requests
/// that were verified meanwhile; no instance is held idle during a verification, which may be for an empty account.
fn longest_wait(accepted: &Accepted, now: UnixTime, work: Duration) -> Duration {
    let latest = now.plus(work.as_secs()).plus(SETTLE_MARGIN_SECONDS);
    Duration::from_secs(accepted.valid_before().0.saturating_sub(latest.0)).min(work)
}

/// Asks the facilitator whether the payment would settle.
pub(super) async fn confirm(
    payments: &Payments,
    purchase: &Purchase,
    accepted: &Accepted,
    id: &PaymentId,
) -> Result<PayerKind, Problem> {
    let asking = accepted.trace.stage(Stage::Verify);
    let verifying = accepted.payment_method.facilitator.verify(&accepted.request);
    let verification = with_call_trace(asking.calls(), verifying).await;
    drop(asking);
    match verification {
        Verification::Valid { payer, kind } if same_address(&payer, id.payer()) => Ok(kind),
        Verification::Valid { payer, .. } => {
            Err(Problem::CannotVerify(format!("the facilitator took {payer} for the payer, who is {}", id.payer())))
        }
        Verification::Invalid { reason, message, .. } => {
            let known = || Reason::ALL.iter().find(|known| known.as_str() == reason);
            let message = message.or_else(|| known().map(|known| advice(*known).to_owned()));
            let challenge = challenge::because(payments, purchase, &reason);
            Err(Problem::Invalid { reason, message, challenge })
        }
        Verification::Unavailable(error) => Err(Problem::CannotVerify(error.message)),
    }
}

/// Runs the guest and reads its whole answer. Fails with the reason why the answer is not to be paid for.
async fn run(
    purchase: &Purchase,
    permit: Permit,
    request: Request<Bytes>,
    mut held: HeldBytes,
) -> Result<GuestAnswer, Problem> {
    // Without room for the beginning of an answer the guest would run for nothing.
    held.grow_to(1).map_err(|Exhausted| Problem::Overloaded)?;
    let _running = purchase.trace.run();
    let response = answer::begin(&purchase.endpoint, permit, request).await.map_err(Problem::Plugin)?;
    let answer = GuestAnswer::read(response, held).await?;
    match Verdict::of(answer.status) {
        Verdict::Done => Ok(answer),
        Verdict::Failed => Err(Problem::Declined(answer)),
        Verdict::Forbidden => Err(Problem::Misbehaved(answer::ANSWERED_402.to_owned())),
    }
}

/// The failure of the plugin, if that is the problem: not a refusal of the request, nor a want of room.
fn failure(problem: &Problem) -> Option<String> {
    if let Some(fault) = problem.fault() {
        let has_run = !matches!(fault, Fault::Busy | Fault::CircuitOpen { .. } | Fault::Paused);
        return has_run.then(|| fault.to_string());
    }
    if let Problem::Misbehaved(what) = problem {
        return Some(what.clone());
    }
    match problem.declined() {
        Some(answer) if answer.status >= 500 => Some(format!("the plugin answered {}", answer.status)),
        Some(_) | None => None,
    }
}

/// Gives the claim up: nothing was sent, so the same payment may be tried again.
pub(super) async fn release(payments: &Payments, hold: &Hold) {
    give_back(payments, hold, Step::Released).await;
}

/// Takes the step that gives the claim up. If the ledger fails, the claim ends with its lease, and the problem that the
/// client is told stays the same.
async fn give_back(payments: &Payments, hold: &Hold, step: Step) {
    if let Err(error) = payments.ledger.advance(hold, step, payments.now()).await {
        tracing::error!(payment = %hold.id, %error, "a claim could not be released");
    }
}
