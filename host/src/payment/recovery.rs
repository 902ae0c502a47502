//! Settlements whose end is unknown: asked again with the same payment until somebody knows.

use std::sync::Arc;
use std::time::Duration;

use super::Till;
use crate::facilitator::Settlement;
use crate::x402::Reason;
use crate::x402::facilitator::PaymentRequest;

/// How often unfinished settlements are looked at.
const EVERY: Duration = Duration::from_secs(3);
/// After so many seconds beyond `validBefore` no block can take the authorisation, in seconds.
const BLOCK_LAG: u64 = 120;
/// Pruning waits for so many looks: a minute.
const PRUNE_EVERY: u64 = 20;

/// Runs for ever: finishes what is settling, forgets answers that were kept long enough.
///
/// Asking again is safe: an authorisation moves money once, whoever submits it and however often.
/// A row that another task is settling right now is met, too; the first answer to be written wins,
/// and both say the same.
pub async fn recover(till: Arc<Till>) {
    let mut tick = tokio::time::interval(EVERY);
    for round in 0_u64.. {
        tick.tick().await;
        let now = till.now();
        let before = crate::x402::UnixTime(now.0.saturating_sub(till.config.keep_answers.as_secs()));
        if round.is_multiple_of(PRUNE_EVERY)
            && let Err(error) = till.ledger.prune(now, before).await
        {
            tracing::error!(%error, "the ledger could not be pruned");
        }
        let pending = match till.ledger.pending(crate::x402::UnixTime(now.0.saturating_sub(SETTLING_GRACE))).await {
            Ok(pending) => pending,
            Err(error) => {
                tracing::error!(%error, "unfinished settlements could not be read");
                continue;
            }
        };
        for entry in pending {
            if !entry.answer_kept {
                tracing::error!(payment = %entry.id, "an unfinished settlement has no answer to give: look at the chain");
                continue;
            }
            let Ok(request) = serde_json::from_str::<PaymentRequest>(&entry.request) else {
                tracing::error!(payment = %entry.id, "an unfinished settlement cannot be read");
                continue;
            };
            let tender = till.tenders.iter().find(|tender| {
                tender.asset.network == entry.id.network && tender.asset.address.eq_ignore_ascii_case(&entry.id.asset)
            });
            let Some(tender) = tender else {
                tracing::warn!(payment = %entry.id, "an unfinished settlement is in an asset that is no longer taken");
                continue;
            };
            let written = match tender.facilitator.settle(&request).await {
                Settlement::Settled(settlement) => {
                    tracing::info!(payment = %entry.id, transaction = %settlement.transaction, "settled after all");
                    till.ledger.settled(&entry.id, settlement, true, till.now()).await
                }
                // The nonce may have been used by the very settlement whose answer was lost: a facilitator
                // that does not look on the chain cannot tell, and a used nonce never means "not paid" here.
                Settlement::Refused { reason, .. } if reason == Reason::NonceAlreadyUsed.as_str() => {
                    tracing::warn!(payment = %entry.id, "its nonce is used, and nobody says by which transaction: look at the chain");
                    Ok(())
                }
                // Too late to be sent; a transaction that was sent before a restart may still wait for its
                // block. Blocks lag behind the clock by seconds, not by minutes.
                Settlement::Refused { reason, .. }
                    if reason == Reason::ValidBefore.as_str() && now < entry.valid_before.plus(BLOCK_LAG) =>
                {
                    Ok(())
                }
                Settlement::Refused { reason, transaction, .. } => {
                    tracing::info!(payment = %entry.id, %reason, "not settled after all");
                    let sent = (!transaction.is_empty()).then_some(transaction);
                    till.ledger.refused(&entry.id, reason, sent, till.now()).await
                }
                Settlement::Unknown { .. } => Ok(()),
            };
            if let Err(error) = written {
                tracing::warn!(payment = %entry.id, %error, "a recovered settlement could not be written");
            }
        }
    }
}

/// A settlement younger than this is still in the hands of the request that sent it, in seconds.
const SETTLING_GRACE: u64 = 90;
