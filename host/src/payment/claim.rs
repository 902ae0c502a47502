//! Claims a payment for its request, and reads what an earlier claim of it bought.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use coinslot_ledger::{self as ledger, Claimed, PaymentId, Presented};
use coinslot_plugin::PaymentReceipt;
use coinslot_x402::exact::ExactPayload;
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::{Flow, Network, UnixTime, Version};
use http::Request;

use super::accepted::{Accepted, RefusedPayment};
use super::answer::GuestAnswer;
use super::hold::Hold;
use super::identity::{payment_fingerprint, payment_id, receipt, request_fingerprint, same_address};
use super::{Paid, PaymentMethod, Payments, Problem, Purchase, Reserved, Settled, SettledPayment};

/// The end of an attempt to claim a payment.
#[derive(Debug)]
pub(super) enum ClaimOutcome {
    /// Claimed: run, and then settle.
    Run(Reserved),
    /// Claimed: settle, and then run.
    SettleFirst(Reserved),
    /// The payment was settled before, and its answer is still owed.
    Owed(Paid),
    /// The payment bought this answer before.
    Settled(Settled),
}

/// Looks up what a refused payment bought before: its window may have passed, and the price may have changed, since it
/// was sent or settled. Fails with the refusal if it bought nothing.
///
/// The signature is not judged again: only the very payment that was claimed has its fingerprint.
pub(super) async fn bought_before(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    request: &Request<Bytes>,
    refused: RefusedPayment,
) -> Result<ClaimOutcome, Problem> {
    let RefusedPayment { payment, problem } = refused;
    let Some((payment_method, exact, version)) = named_method(payments, &payment) else { return Err(problem) };
    let id = payment_id(&payment_method.asset, &exact);
    check_owed_retry(payments, &id)?;
    let presented = Presented {
        id: id.clone(),
        payment: payment_fingerprint(&exact),
        request: request_fingerprint(&purchase.endpoint, request.uri(), request.headers(), request.body()),
    };
    // `reclaim` never makes a new claim: a refused payment buys nothing now.
    match payments.ledger.reclaim(presented, payments.now()).await {
        Ok(None | Some(Claimed::Refused { .. })) => Err(problem),
        Ok(Some(earlier)) => {
            let receipt = receipt(&payment_method.asset, &exact, &id);
            of_earlier(payments, earlier, id, version, receipt)
        }
        Err(error) => Err(Problem::Ledger(error.to_string())),
    }
}

/// The id of the spend that a payment names, if it names a payment method of this host.
pub(super) fn named_id(payments: &Payments, payment: &PaymentPayload) -> Option<PaymentId> {
    let (method, exact, _) = named_method(payments, payment)?;
    Some(payment_id(&method.asset, &exact))
}

/// The payment method, authorisation and version that a payment names, whatever it is worth.
fn named_method<'p>(
    payments: &'p Payments,
    payment: &PaymentPayload,
) -> Option<(&'p PaymentMethod, ExactPayload, Version)> {
    let (payload, version, network, asset) = match payment {
        PaymentPayload::V1(v1) => (&v1.payload, Version::V1, Network::parse_v1(&v1.network), None),
        PaymentPayload::V2(v2) => {
            let text = |key: &str| v2.accepted.get(key).and_then(serde_json::Value::as_str);
            (&v2.payload, Version::V2, Network::parse(text("network").unwrap_or_default()), text("asset"))
        }
    };
    let (network, exact) = (network.ok()?, ExactPayload::parse(payload).ok()?);
    let named = |method: &&PaymentMethod| {
        method.asset.network == network && asset.is_none_or(|asset| same_address(asset, &method.asset.address))
    };
    Some((payments.payment_methods.iter().find(named)?, exact, version))
}

/// The state of an earlier claim, as it is for a client that sends the same payment again. No state asks for another
/// payment.
pub(super) fn of_earlier(
    payments: &Arc<Payments>,
    earlier: Claimed,
    id: PaymentId,
    version: Version,
    receipt: PaymentReceipt,
) -> Result<ClaimOutcome, Problem> {
    let payment_id = id.short();
    match earlier {
        Claimed::InFlight => Err(Problem::InFlight { payment_id }),
        Claimed::OtherRequest => Err(Problem::OtherRequest { payment_id }),
        Claimed::Settling { .. } | Claimed::Won | Claimed::Refused { .. } => Err(Problem::Unknown { payment_id }),
        Claimed::Owed { settlement } => {
            let hold = Hold::new(payments, id);
            Ok(ClaimOutcome::Owed(Paid { hold, settlement, version, receipt, breaker: None }))
        }
        Claimed::Settled { settlement, answer: None } => Err(Problem::AnswerGone { payment_id, settlement, version }),
        Claimed::Settled { settlement, answer: Some(stored) } => {
            let answer = GuestAnswer::of_stored(stored)
                .ok_or_else(|| Problem::Ledger("a stored answer cannot be read".to_owned()))?;
            Ok(ClaimOutcome::Settled(Settled::whole(payments, SettledPayment { id, settlement, version }, answer)))
        }
    }
}

/// Refuses the retry of an owed answer that failed several times, until its pause is over.
pub(super) fn check_owed_retry(payments: &Payments, id: &PaymentId) -> Result<(), Problem> {
    match payments.owed_retries.wait(id, Instant::now()) {
        Some(wait) => Err(Problem::OwedLater { payment_id: id.short(), wait }),
        None => Ok(()),
    }
}

/// The row that claims a payment for a request.
pub(super) fn row(
    payments: &Payments,
    purchase: &Purchase,
    accepted: &Accepted,
    id: &PaymentId,
    flow: Flow,
    request: &Request<Bytes>,
) -> ledger::Claim {
    let authorization = &accepted.exact.authorization;
    ledger::Claim {
        id: id.clone(),
        payment: payment_fingerprint(&accepted.exact),
        request: request_fingerprint(&purchase.endpoint, request.uri(), request.headers(), request.body()),
        endpoint: purchase.endpoint.label.clone(),
        plugin: purchase.endpoint.plugin.info().name.clone(),
        generation: purchase.generation,
        amount: accepted.price.amount.to_string(),
        pay_to: accepted.price.pay_to.to_string(),
        testnet: accepted.price.asset.testnet,
        flow,
        identifier: accepted.identifier.clone(),
        valid_before: UnixTime(u64::try_from(authorization.valid_before).unwrap_or(u64::MAX)),
        at: payments.now(),
    }
}
