//! Makes the row that claims a payment for its request, and reads what an earlier claim bought.

use std::sync::Arc;
use std::time::Instant;

use coinslot_ledger::{self as ledger, Claimed, Found, KeptAnswer, Namesake, PaymentId, Presented};
use coinslot_x402::{Flow, Reason};

use super::accepted::Accepted;
use super::answer::GuestAnswer;
use super::budget::{BudgetPart, Exhausted};
use super::hold_guard::HoldGuard;
use super::owed_retries::Retry;
use super::presented::EarlierPayment;
use super::problem::PAYMENT_REFUNDED;
use super::{Paid, Payments, Problem, Purchase, Reserved, Settled, SettledPayment, challenge, pass};

/// The end of an attempt to claim a payment.
#[derive(Debug)]
pub(super) enum ClaimOutcome {
    /// Claimed: run, and then settle.
    Run(Reserved),
    /// Claimed: settle, and then run.
    SettleFirst(Reserved),
    /// The payment was claimed before, and has bought this.
    Earlier(Bought),
}

/// The answer that a payment has bought.
#[derive(Debug)]
pub(super) enum Bought {
    /// An answer that is still owed: the guest runs for it.
    Owed(Paid),
    /// An answer that the ledger kept.
    Answer(Settled),
}

/// Takes up the earlier claim of a payment.
pub(super) async fn take_up(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    earlier: &EarlierPayment,
) -> Result<Bought, Problem> {
    check_owed_retry(payments, purchase.generation, &earlier.presented).await?;
    // `reclaim` never makes a new claim.
    match payments.ledger.reclaim(earlier.presented.clone(), payments.now()).await {
        Ok(Some(claimed)) => of_earlier(payments, purchase, claimed, earlier).await,
        Ok(None) => Err(Problem::NotSent { message: "the claim was given back".to_owned() }),
        Err(error) => Err(Problem::Ledger(error.to_string())),
    }
}

/// Returns what an earlier claim bought, or the problem that its state means for the client that made it. Only after a
/// refusal or a refund is money asked for anew.
pub(super) async fn of_earlier(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    claimed: Claimed,
    earlier: &EarlierPayment,
) -> Result<Bought, Problem> {
    let EarlierPayment { presented, version, receipt } = earlier;
    let payment_id = presented.id.short();
    match claimed {
        Claimed::InFlight => Err(Problem::InFlight { payment_id }),
        Claimed::OtherRequest => Err(Problem::OtherRequest { payment_id }),
        Claimed::Foreign => Err(Problem::Foreign { payment_id }),
        Claimed::Settling { .. } | Claimed::Won(_) | Claimed::Namesake => Err(Problem::Unknown { payment_id }),
        Claimed::Refused { reason } if reason == Reason::DuplicateSettlement.as_str() => {
            Err(Problem::SettledElsewhere { payment_id })
        }
        Claimed::Refused { reason } => {
            let challenge = challenge::because(payments, purchase, &reason);
            Err(Problem::Invalid { reason, message: None, challenge })
        }
        Claimed::Refunding => Err(Problem::Refunding { payment_id }),
        Claimed::Refunded { transaction } => {
            let challenge = challenge::because(payments, purchase, PAYMENT_REFUNDED);
            Err(Problem::Refunded { payment_id, transaction, challenge })
        }
        Claimed::Owed { hold, settlement } => {
            let hold = HoldGuard::new(payments, hold);
            Ok(Bought::Owed(Paid {
                hold,
                settlement,
                version: *version,
                receipt: receipt.clone(),
                circuit: None,
                held: None,
            }))
        }
        Claimed::Settled { settlement, answer: None } => {
            Err(Problem::AnswerGone { payment_id, settlement, version: *version })
        }
        Claimed::Settled { settlement, answer: Some(kept) } => {
            let payment = SettledPayment { id: presented.id.clone(), settlement, version: *version };
            match stored_answer(payments, purchase, &presented.id, kept).await? {
                Some(answer) => Ok(Bought::Answer(Settled::whole(payments, payment, answer))),
                None => {
                    Err(Problem::AnswerGone { payment_id, settlement: payment.settlement, version: payment.version })
                }
            }
        }
    }
}

/// Returns what another payment of this payer under the same identifier bought. Clients see the id of that payment: the
/// new one is not taken, and the ledger does not know it.
pub(super) async fn of_namesake(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    namesake: Namesake,
    earlier: &EarlierPayment,
) -> Result<Bought, Problem> {
    let Namesake { id, claimed } = namesake;
    if claimed == Claimed::OtherRequest {
        return Err(Problem::NameTaken { payment_id: id.short() });
    }
    let mut bought_by = earlier.clone();
    bought_by.presented.id = id;
    of_earlier(payments, purchase, claimed, &bought_by).await
}

/// Reads a stored answer, once there is room for it. It counts for the rate of its client's address, as a bad payment
/// does: it costs the host the same each time, and its client has paid once.
async fn stored_answer(
    payments: &Payments,
    purchase: &Purchase,
    id: &PaymentId,
    kept: KeptAnswer,
) -> Result<Option<GuestAnswer>, Problem> {
    payments.count_bad_payment(purchase.client.ip);
    let mut held = payments.budget.payer(purchase.client.ip, id.payer(), BudgetPart::Newcomers);
    held.grow_to(kept.bytes).map_err(|Exhausted| Problem::AnswerWaits { payment_id: id.short() })?;
    let stored = match payments.ledger.answer(kept).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(None),
        Err(error) => return Err(Problem::Ledger(error.to_string())),
    };
    let answer = GuestAnswer::of_stored(stored, held);
    answer.map(Some).ok_or_else(|| Problem::Ledger("a stored answer cannot be read".to_owned()))
}

/// Refuses the retry of an owed answer that failed several times, until its pause is over, and for good when no run is
/// left in this generation. Only the client that paid is told so: for others the payment is used, as any other.
pub(super) async fn check_owed_retry(
    payments: &Payments,
    generation: u64,
    presented: &Presented,
) -> Result<(), Problem> {
    let payment_id = presented.id.short();
    let problem = match payments.owed_retries.next(&presented.id, generation, Instant::now()) {
        Retry::Now => return Ok(()),
        Retry::After(wait) => Problem::OwedLater { payment_id, wait },
        Retry::Never => Problem::OwedNoMore { payment_id },
    };
    if is_claimed(payments, presented).await? { Err(problem) } else { Ok(()) }
}

/// Looks up whether a payment is claimed. Fails if another client made the claim.
pub(super) async fn is_claimed(payments: &Payments, presented: &Presented) -> Result<bool, Problem> {
    let Presented { id, payment, holder, .. } = presented;
    match payments.ledger.find(id, *payment, holder, payments.now()).await {
        Ok(Found::Nothing) => Ok(false),
        Ok(Found::Known { .. }) => Ok(true),
        Ok(Found::Foreign) => Err(Problem::Foreign { payment_id: id.short() }),
        Err(error) => Err(Problem::Ledger(error.to_string())),
    }
}

/// The row that claims a payment for a request.
pub(super) fn row(
    payments: &Payments,
    purchase: &Purchase,
    accepted: &Accepted,
    presented: &Presented,
    flow: Flow,
) -> ledger::Claim {
    let Presented { id, payment, request, holder, request_id } = presented.clone();
    let pass = pass::sold(payments, purchase, &holder, &id);
    ledger::Claim {
        id,
        payment,
        request,
        holder,
        endpoint: purchase.endpoint.label.clone(),
        plugin: purchase.endpoint.plugin.info().name.clone(),
        generation: purchase.generation,
        amount: accepted.price.amount.to_string(),
        pay_to: accepted.price.pay_to.to_string(),
        testnet: accepted.price.asset.testnet,
        flow,
        pass,
        identifier: accepted.identifier.clone(),
        request_id,
        valid_before: accepted.valid_before(),
        at: payments.now(),
    }
}
