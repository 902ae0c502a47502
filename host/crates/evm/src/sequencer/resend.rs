//! Keeps the node busy with the transactions of a lane: sends again, replaces what is stuck, and fills gaps.
//!
//! A node may forget a transaction, or never have got it, and cannot be asked which. Sending the same bytes again is
//! harmless, so that is done on a clock. A transaction that is in no block although blocks came is replaced by one
//! with the same nonce and higher fees; both may win, so both hashes are remembered. A nonce that no transaction has
//! blocks all nonces after it, so a gap is closed by what had the nonce before, or by an empty transaction.

use std::time::Duration;

use alloy::primitives::{Bytes, U256};
use tokio::time::Instant;

use super::call::CallProgress;
use super::lane::Lane;
use super::observer::TransactionEvent;
use super::pending::{PendingTx, TxState};
use super::shared::EMPTY_TX_GAS;
use crate::call_error::CallError;
use crate::refusal::NodeRefusal;
use crate::transaction::{SignedTx, Transaction};

/// The interval at which a transaction is sent again that the node did not answer for.
const UNANSWERED_INTERVAL: Duration = Duration::from_millis(250);

/// The measure for one transaction.
enum Remedy {
    /// It is signed again with higher fees.
    Bump(Transaction),
    /// The same bytes are sent again.
    Resend(Bytes),
}

/// Sends again what the node did not answer for or may have forgotten, and replaces what is stuck.
pub(super) async fn resend_or_bump(lane: &Lane, head: Option<u64>) {
    for (nonce, remedy) in remedies(lane, head) {
        let raw = match remedy {
            Remedy::Bump(tx) => bump(lane, nonce, tx).await,
            Remedy::Resend(raw) => Some(raw),
        };
        let Some(raw) = raw else { continue };
        match lane.shared.chain.send_raw(&raw).await {
            Ok(()) => {
                if let Some(tx) = lane.pending().by_nonce.get_mut(&nonce)
                    && matches!(tx.state, TxState::Unanswered)
                {
                    tx.state = TxState::Pooled;
                }
            }
            Err(CallError::Refused(text)) => {
                if NodeRefusal::of(&text) == NodeRefusal::Funds {
                    *lane.balance() = Some(U256::ZERO);
                }
                tracing::debug!(nonce, text, "the node does not take a transaction again");
            }
            Err(error) => {
                // It will not answer for the others either.
                tracing::debug!(nonce, %error, "the node does not take a transaction again");
                return;
            }
        }
    }
}

/// Chooses what is due, in the order of nonces, and restarts the clocks.
fn remedies(lane: &Lane, head: Option<u64>) -> Vec<(u64, Remedy)> {
    let settings = &lane.shared.settings;
    let mut due = Vec::new();
    for (nonce, pending) in &mut lane.pending().by_nonce {
        let resend_after = match pending.state {
            TxState::Sending | TxState::Included { .. } | TxState::NonceLost(_) => continue,
            TxState::Unanswered => UNANSWERED_INTERVAL,
            TxState::Pooled => settings.resend_after,
        };
        pending.priced_at_block = pending.priced_at_block.or(head);
        // Without a block since then nothing is stuck: higher fees would change nothing.
        let has_new_block = head.zip(pending.priced_at_block).is_some_and(|(head, then)| head > then);
        if has_new_block && pending.priced_at.elapsed() >= settings.stuck_after {
            pending.priced_at = Instant::now();
            pending.priced_at_block = head;
            due.push((*nonce, Remedy::Bump(pending.tx.clone())));
        } else if pending.sent_at.elapsed() >= resend_after {
            pending.sent_at = Instant::now();
            due.extend(pending.newest().map(|signed| (*nonce, Remedy::Resend(signed.raw.clone()))));
        }
    }
    due
}

/// Signs the same transaction with higher fees, beside the older ones. None when our limits are reached.
async fn bump(lane: &Lane, nonce: u64, tx: Transaction) -> Option<Bytes> {
    let shared = &lane.shared;
    let limit = shared.limits.max_fee_per_gas;
    let market = shared.fees.now().await.map_or(tx.fees, |fees| fees.tx_fees(limit));
    let Some(fees) = tx.fees.raised(market, limit) else {
        tracing::warn!(nonce, limit, "a transaction is stuck, and the fee limit leaves no room");
        return None;
    };
    let raised = Transaction { fees, ..tx };
    let signed = lane.sign(nonce, &raised).ok()?;
    let raw = replace(lane, nonce, raised, signed)?;
    shared.budget.flush_reservation().await;
    Some(raw)
}

/// Puts a dearer transaction beside the ones that were signed for this nonce, and reserves its cost.
fn replace(lane: &Lane, nonce: u64, raised: Transaction, signed: SignedTx) -> Option<Bytes> {
    let shared = &lane.shared;
    let mut pending = lane.pending();
    // It may have got into a block while the fees were read.
    let tx = pending.by_nonce.get_mut(&nonce).filter(|tx| !tx.is_included())?;
    if let Err(exhausted) = shared.budget.reserve(raised.max_cost(), tx.reserved.unwrap_or_default()) {
        tracing::warn!(nonce, %exhausted, "a transaction is stuck");
        return None;
    }
    tracing::info!(nonce, transaction = %signed.hash, "a stuck transaction is replaced");
    for call in &tx.calls {
        call.report(CallProgress::Sent(signed.hash));
    }
    let raw = signed.raw.clone();
    tx.reserved = Some(raised.max_cost());
    tx.tx = raised;
    tx.signed.push(signed);
    tx.sent_at = Instant::now();
    lane.tell(TransactionEvent::Replaced);
    Some(raw)
}

/// Closes a gap before the first transaction that waits for a block; `count` is the account's first unused nonce. A
/// finished transaction of ours that a reorganisation dropped is sent again. A nonce that no known transaction of ours
/// has is filled, after `stuck_after`, with an empty transaction.
pub(super) async fn close_gap(lane: &Lane, count: u64) {
    let (dropped, is_stuck) = {
        let mut pending = lane.pending();
        let first = pending.by_nonce.iter().find(|(_, tx)| tx.waits_for_block());
        let Some(first) = first.map(|(nonce, _)| *nonce).filter(|first| *first > count) else {
            pending.gap_since = None;
            return;
        };
        let since = *pending.gap_since.get_or_insert_with(Instant::now);
        let dropped: Vec<Bytes> = pending
            .finished
            .iter()
            .filter(|(nonce, _)| (count..first).contains(nonce))
            .map(|(_, signed)| signed.raw.clone())
            .collect();
        let is_stuck = since.elapsed() >= lane.shared.settings.stuck_after && !pending.by_nonce.contains_key(&count);
        (dropped, is_stuck)
    };
    // The answers are not needed: at the next look the gap is closed, or the bytes are sent again.
    for raw in &dropped {
        drop(lane.shared.chain.send_raw(raw).await);
    }
    if dropped.is_empty() && is_stuck {
        fill(lane, count).await;
    }
}

/// Makes an empty transaction for a nonce. The next round sends it.
async fn fill(lane: &Lane, nonce: u64) {
    let shared = &lane.shared;
    let Ok(fees) = shared.fees.now().await else { return };
    let limit = shared.limits.max_fee_per_gas;
    // Raised at once: a transaction that the node hides may have the nonce at the usual fees.
    let fees = fees.tx_fees(limit);
    let fees = fees.raised(fees, limit).unwrap_or(fees);
    let tx = Transaction { to: lane.address(), data: Bytes::new(), gas: EMPTY_TX_GAS, fees };
    let Ok(signed) = lane.sign(nonce, &tx) else { return };
    if shared.budget.reserve(tx.max_cost(), U256::ZERO).is_err() {
        return;
    }
    shared.budget.flush_reservation().await;
    tracing::warn!(nonce, transaction = %signed.hash, "no transaction has a nonce before ours; it is filled");
    let filling = PendingTx::new(tx, signed, Vec::new(), TxState::Unanswered);
    let mut pending = lane.pending();
    pending.gap_since = None;
    pending.by_nonce.insert(nonce, filling);
    lane.tell(TransactionEvent::Submitted);
}
