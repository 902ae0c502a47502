//! The state Paid: the money has moved, and its answer is still to be made.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use coinslot_ledger::{Hold, Retained, Step};
use coinslot_plugin::{CircuitPermit, PaymentReceipt, Permit, ResponseBody, Verdict};
use coinslot_x402::{SettlementResponse, Version};
use http::{Request, Response};
use http_body::Body as _;

use super::answer::{self, GuestAnswer};
use super::budget::{Exhausted, HeldBytes};
use super::hold_guard::HoldGuard;
use super::problem::OwedFailure;
use super::reserved::{Reserved, release};
use super::settle::{Recorded, SettlementAttempt};
use super::streamed::{AnswerCopy, StreamedAnswer};
use super::{Payments, Problem, Purchase, Settled, SettledPayment};
use crate::endpoint::Endpoint;

/// The money moved, and the guest has not answered yet.
#[derive(Debug)]
#[must_use]
pub struct Paid {
    pub(super) hold: HoldGuard,
    pub(super) settlement: SettlementResponse,
    pub(super) version: Version,
    /// The receipt that the guest sees.
    pub(super) receipt: PaymentReceipt,
    /// The permit to run the plugin. An owed answer of an earlier request has none: its run asks for one.
    pub(super) circuit: Option<CircuitPermit>,
    /// The room for the beginning of the answer. The run of an owed answer asks for it.
    pub(super) held: Option<HeldBytes>,
}

impl Reserved {
    /// Takes the money before the guest runs, unless there is no room to run it or for its answer, or its client has
    /// left.
    ///
    /// Work goes on without its client from the claim on, because what it has done would be lost. Here nothing is done
    /// yet: no guest has run, and nothing was sent. A client that left may pay anew elsewhere, so its money is not
    /// taken, and the claim is given back. The look comes after the durable step, right before the settlement is
    /// sent: a crash between them leaves a row that recovery does not send either, as long as no client waits. A
    /// client that leaves later has paid, and fetches its answer.
    pub(super) async fn settle_first(self, payments: &Arc<Payments>, purchase: &Purchase) -> Result<Paid, Problem> {
        // Checked while nothing is sent: a payment without room to run or to answer would only make an owed answer.
        let mut held = payments.bytes_at_work(purchase.client.ip, self.id());
        let room = held.grow_to(1).map_err(|Exhausted| Problem::Overloaded);
        let room = match room {
            Ok(()) => {
                purchase.endpoint.plugin.await_room(Some(purchase.client.network())).await.map_err(Problem::Plugin)
            }
            full @ Err(_) => full,
        };
        if let Err(problem) = room {
            release(payments, self.hold.hold()).await;
            return Err(problem);
        }
        let (version, receipt) = (self.version(), self.receipt());
        let attempt =
            SettlementAttempt { accepted: &self.accepted, hold: self.hold.hold(), verify: self.verify, run: None };
        attempt.begin(payments, |request| Step::SettlingUpfront { request }).await?;
        if !payments.waiting.has_client(self.id()) {
            return Err(attempt.not_sent(payments, "the client left before its payment was sent".to_owned()).await);
        }
        let (settlement, recorded) = attempt.settle(payments).await?;
        match recorded {
            Recorded::Yes => {
                payments.waiting.settled(self.id());
                let Self { hold, circuit, .. } = self;
                Ok(Paid { hold, settlement, version, receipt, circuit: Some(circuit), held: Some(held) })
            }
            // The row does not say that the answer is owed; recovery will write that. An answer that is made now could
            // be made once more then.
            Recorded::No => Err(Problem::Unknown { payment_id: self.id().short() }),
        }
    }
}

impl Paid {
    /// Runs the guest for money that has moved. A guest that fails leaves an owed answer, which the same payment
    /// fetches.
    ///
    /// An answer whose body is still being written when its head is there is not held back: it streams.
    pub(super) async fn execute(
        self,
        payments: &Arc<Payments>,
        purchase: &Purchase,
        request: Request<Bytes>,
    ) -> Result<Settled, Problem> {
        let Self { hold, settlement, version, receipt, circuit, held } = self;
        let payment = SettledPayment { id: hold.id().clone(), settlement, version };
        let begun = Instant::now();
        let circuit = match circuit {
            // A run that failed may do so for a reason of its own, such as its input, and is repeated without a price.
            None if payments.owed_retries.has_failed(&payment.id) => {
                match purchase.endpoint.plugin.admit_repeated(payment.id.payer()) {
                    Ok(permit) => Some(permit),
                    Err(fault) => return Err(owed(payments, hold.hold(), payment, OwedFailure::Fault(fault)).await),
                }
            }
            circuit => circuit,
        };
        let first_byte = purchase.endpoint.plugin.limits().first_byte;
        #[expect(clippy::disallowed_methods, reason = "the payment is settled")]
        let permit = Permit::grant(Some(receipt))
            .for_client(Some(purchase.client.network()))
            .with_circuit_permit(circuit)
            .observed_by(purchase.trace.run_observer())
            .wait_for_instance(first_byte);
        let held = held.unwrap_or_else(|| payments.bytes_at_work(purchase.client.ip, &payment.id));
        let running = purchase.trace.run();
        let answered = run(&purchase.endpoint, permit, request, held).await;
        drop(running);
        match answered {
            Ok(PaidAnswer::Whole(answer)) => {
                payments.owed_retries.answered(&payment.id);
                let step = Step::Answered { kept: Retained::Answer(answer.stored()), run: begun.elapsed() };
                if let Err(error) = payments.ledger.advance(hold.hold(), step, payments.now()).await {
                    // The answer goes out all the same. After a restart the row is owed, and the answer may be fetched
                    // once more.
                    tracing::error!(payment = %payment.id, %error, "a paid answer could not be written");
                }
                Ok(Settled::whole(payments, payment, answer))
            }
            Ok(PaidAnswer::Stream(response, held)) => {
                let (head, body) = response.into_parts();
                let (status, headers) = (head.status.as_u16(), head.headers);
                let copy = AnswerCopy::new(payments, hold, status, headers.clone(), held, begun);
                Ok(Settled::streamed(status, headers, StreamedAnswer::new(body, copy), payment))
            }
            Err(failure) => {
                if failure.counts_as_try() {
                    payments.owed_retries.failed(&payment.id, Instant::now());
                }
                Err(owed(payments, hold.hold(), payment, failure).await)
            }
        }
    }
}

/// Leaves the answer owed, for this reason.
async fn owed(payments: &Payments, hold: &Hold, payment: SettledPayment, failure: OwedFailure) -> Problem {
    payments.owe(hold, failure.to_string(), false).await;
    Problem::Owed { payment, failure }
}

/// The answer of a guest to a payment that is settled.
enum PaidAnswer {
    /// The guest has ended, and this is all of its answer.
    Whole(GuestAnswer),
    /// The guest is still writing its answer, of which a copy has this part of the budget.
    Stream(Response<ResponseBody>, HeldBytes),
}

async fn run(
    endpoint: &Endpoint,
    permit: Permit,
    request: Request<Bytes>,
    mut held: HeldBytes,
) -> Result<PaidAnswer, OwedFailure> {
    // Without room for the beginning of an answer the guest would run for nothing.
    held.grow_to(1).map_err(|Exhausted| OwedFailure::NotBegun)?;
    let response = answer::begin(endpoint, permit, request).await.map_err(OwedFailure::Fault)?;
    // The size is known only when the guest has ended: an answer that is whole need not be streamed.
    let ended = response.body().size_hint().exact().is_some();
    match Verdict::of(response.status().as_u16()) {
        Verdict::Done if !ended => Ok(PaidAnswer::Stream(response, held)),
        Verdict::Done => Ok(PaidAnswer::Whole(GuestAnswer::read(response, held).await?)),
        Verdict::Failed => Err(OwedFailure::Declined(GuestAnswer::read(response, held).await?)),
        Verdict::Forbidden => Err(OwedFailure::Misbehaved(answer::ANSWERED_402.to_owned())),
    }
}
