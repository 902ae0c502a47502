//! The one place that takes money.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::verified::{Reserved, same};
use super::{Payments, Problem};
use coinslot_facilitator::{OnChain, Settlement};
use coinslot_ledger::{LedgerError, SettledBy, Step, StoredAnswer};
use coinslot_x402::{Reason, SettlementResponse, Version};

/// Settles a payment that nobody else can settle: for an answer already made and kept, or before there
/// is one.
///
/// Three ends. Settled: the money moved. Refused: nothing moved and nothing will. Unknown: the transfer
/// may still land; the entry waits for recovery, which asks the chain, and the client for the same
/// payment's answer.
pub(super) async fn charge(
    payments: &Arc<Payments>,
    reserved: Reserved,
    answer: Option<(StoredAnswer, Duration)>,
) -> Result<SettlementResponse, Problem> {
    let (answer, run) = answer.map_or((None, None), |(answer, run)| (Some(answer), Some(run)));
    let request = match serde_json::to_string(&reserved.accepted.request) {
        Ok(request) => request,
        Err(error) => return Err(reserved.release(payments, Problem::Ledger(error.to_string())).await),
    };
    let payment_id = reserved.id.short();
    let step = match answer {
        Some(answer) => Step::Settling { request, answer },
        None => Step::SettlingUpfront { request },
    };
    if let Err(error) = payments.ledger.advance(&reserved.id, step, payments.now()).await {
        // The row may have become settling all the same; then a release is refused and recovery decides.
        return Err(match payments.ledger.advance(&reserved.id, Step::Released, payments.now()).await {
            Ok(()) => Problem::Ledger(error.to_string()),
            Err(_) => Problem::Unknown { payment_id },
        });
    }
    let begun = Instant::now();
    let unknown = |transaction: Option<String>| async {
        if let Err(error) = payments.ledger.advance(&reserved.id, Step::Unknown { transaction }, payments.now()).await {
            tracing::error!(payment = %reserved.id, %error, "an unknown settlement could not be written");
        }
        payments.wake_recovery();
        Problem::Unknown { payment_id: payment_id.clone() }
    };
    let payment_method = &reserved.accepted.payment_method;
    let mut end = payment_method.facilitator.settle(&reserved.accepted.request).await;
    // Somebody else's refusal is held to the chain, where there is one to ask.
    if let (Settlement::Refused { .. }, false, Some(probe)) = (&end, payment_method.batches, &payment_method.probe)
        && let OnChain::Paid(settlement) = probe.look_up(&reserved.accepted.request).await
    {
        tracing::error!(payment = %payment_id, "the facilitator called refused what the chain shows as paid");
        end = Settlement::Settled(settlement);
    }
    match end {
        Settlement::Settled(settlement) => {
            if let Some(difference) = disagreement(&reserved, &settlement) {
                tracing::error!(payment = %payment_id, %difference, "the facilitator's settlement is not this payment's");
                return Err(unknown(None).await);
            }
            let alone = !payment_method.batches;
            let by = SettledBy::Request { alone, verify: reserved.verify, run, settle: begun.elapsed() };
            let step = Step::Settled { settlement: settlement.clone(), by };
            match payments.ledger.advance(&reserved.id, step, payments.now()).await {
                Ok(()) => Ok(settlement),
                Err(error @ LedgerError::Transaction { .. }) => {
                    tracing::error!(payment = %payment_id, %error, "the facilitator's settlement is another payment's");
                    Err(unknown(None).await)
                }
                // The chain said yes and recovery will repair the row. What was made is given out; what is
                // not made yet waits, so that nothing is made twice.
                Err(error) => {
                    tracing::error!(payment = %payment_id, %error, "a settled payment could not be written");
                    if run.is_some() { Ok(settlement) } else { Err(Problem::Unknown { payment_id }) }
                }
            }
        }
        // It was unused when it was verified: used by this very settlement, or by somebody who was faster.
        // Either way the payer has paid, and must not be asked again.
        Settlement::Refused { reason, .. } if reason == Reason::NonceAlreadyUsed.as_str() => {
            tracing::warn!(payment = %payment_id, "its nonce is used, and nobody says by which transaction");
            Err(unknown(None).await)
        }
        Settlement::Refused { reason, message, transaction } => {
            payments.strike(reserved.id.payer());
            let sent = (!transaction.is_empty()).then(|| transaction.clone());
            let step = Step::Refused { reason: reason.clone(), transaction: sent };
            if let Err(error) = payments.ledger.advance(&reserved.id, step, payments.now()).await {
                tracing::error!(payment = %payment_id, %error, "a refused payment could not be written");
            }
            let v1 = reserved.version() == Version::V1;
            let network = network(&reserved);
            Err(Problem::NotSettled {
                reason,
                message,
                transaction,
                network,
                payer: reserved.id.payer().to_owned(),
                v1,
            })
        }
        Settlement::Unknown { transaction, message } => {
            tracing::warn!(payment = %payment_id, ?transaction, %message, "a settlement's end is unknown");
            Err(unknown(transaction).await)
        }
    }
}

/// A facilitator that settles something else is not believed.
fn disagreement(reserved: &Reserved, settlement: &SettlementResponse) -> Option<String> {
    if !settlement.success || settlement.transaction.is_empty() {
        return Some("it claims success without a transaction".to_owned());
    }
    match &settlement.payer {
        Some(payer) if !same(payer, reserved.id.payer()) => Some(format!("it names the payer {payer}")),
        _ => None,
    }
}

fn network(reserved: &Reserved) -> String {
    let network = reserved.id.network();
    match reserved.version() {
        Version::V1 => network.v1_name().unwrap_or(network.as_str()).to_owned(),
        Version::V2 => network.to_string(),
    }
}
