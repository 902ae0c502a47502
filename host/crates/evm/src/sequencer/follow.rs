//! Follows transactions from the node into a block: finds them, confirms them, and ends their calls.
//!
//! The transactions of one key are mined in the order of their nonces. So one question, the account's count of
//! transactions in blocks, tells which of ours to ask a receipt of: those with a lower nonce. A transaction is known
//! by all hashes that were signed for its nonce, because an older one may win over its replacement.
//!
//! Blocks may come and go. A transaction stays pending until it is `confirmations` deep, and falls back to
//! `Unanswered` when its block vanishes; then `resend` gives it to the node again, and fills the gaps that lost
//! transactions leave.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{B256, U256};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::call::{CallProgress, SendError};
use super::lane::Lane;
use super::observer::TransactionEvent;
use super::pending::TxState;
use super::resend::{close_gap, resend_or_bump};
use crate::call_error::CallError;
use crate::chain::Chain;
use crate::receipt::TxReceipt;

/// The interval at which receipts are asked for without a new block: a node behind a balancer may show the block before
/// it has the receipts.
const RECHECK: Duration = Duration::from_secs(2);

/// The time for which transactions are followed after the sequencer was dropped.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(600);

/// Times that the transaction of a call may lose its nonce.
const MAX_NONCES_LOST: u32 = 3;

/// Follows the transactions of one lane.
pub(super) struct Follower {
    lane: Arc<Lane>,
    /// The newest block of the last look at the chain.
    head: Option<u64>,
    looked_at: Option<Instant>,
    balance_read_at: Instant,
    stopped_at: Option<Instant>,
}

impl Follower {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Self { lane, head: None, looked_at: None, balance_read_at: Instant::now(), stopped_at: None }
    }

    /// Runs until the sequencer is dropped and every transaction is in a block, or the time for that is over.
    pub(super) async fn run(mut self) {
        let shared = self.lane.shared.clone();
        loop {
            let has_pending = !self.lane.pending().by_nonce.is_empty();
            if shared.stop.is_cancelled() {
                let since = *self.stopped_at.get_or_insert_with(Instant::now);
                // What is queued is still sent, and what was sent still gets into a block.
                if (!has_pending && self.lane.open_calls() == 0) || since.elapsed() > SHUTDOWN_LIMIT {
                    return;
                }
            }
            if has_pending || self.stopped_at.is_some() {
                tokio::time::sleep(shared.chain.poll_interval()).await;
            } else {
                tokio::select! {
                    // The first transaction after a pause may be in a block already.
                    () = self.lane.sent.notified() => self.looked_at = None,
                    () = shared.stop.cancelled() => continue,
                    () = tokio::time::sleep(self.lane.balance_interval()) => {}
                }
            }
            if self.balance_read_at.elapsed() >= self.lane.balance_interval() {
                self.balance_read_at = Instant::now();
                if let Err(error) = self.lane.refresh_balance().await {
                    tracing::debug!(%error, "the balance of the gas wallet cannot be read");
                }
                // Keeps the fees fresh that readiness is judged by.
                drop(shared.fees.now().await);
            }
            self.poll_chain().await;
        }
    }

    /// Looks at the chain once, and does what follows from it.
    async fn poll_chain(&mut self) {
        if self.lane.pending().by_nonce.is_empty() {
            return;
        }
        let chain = self.lane.shared.chain.clone();
        let head = chain.head().await.ok();
        let has_new_block = head.is_some() && head != self.head;
        if has_new_block || self.looked_at.is_none_or(|looked_at| looked_at.elapsed() >= RECHECK) {
            match chain.mined_nonce(self.lane.address()).await {
                Ok(count) => {
                    self.head = head.or(self.head);
                    self.looked_at = Some(Instant::now());
                    match_receipts(&self.lane, count).await;
                    if let Some(head) = head {
                        confirm(&self.lane, head).await;
                    }
                    close_gap(&self.lane, count).await;
                    self.lane.shared.budget.flush().await;
                }
                Err(error) => tracing::debug!(%error, "the gas wallet's transactions cannot be counted"),
            }
        }
        resend_or_bump(&self.lane, head).await;
    }
}

/// Finds the receipts of transactions that are in a block. `count` is the number of the account's transactions in
/// blocks, and so its first unused nonce.
async fn match_receipts(lane: &Lane, count: u64) {
    let mut asked = JoinSet::new();
    for (nonce, tx) in &mut lane.pending().by_nonce {
        // The count has fallen below this nonce: a reorganisation has removed the block.
        if *nonce >= count && matches!(tx.state, TxState::Included { .. } | TxState::NonceLost(_)) {
            tracing::warn!(nonce, "a settlement is in no block any more; it is sent again");
            tx.state = TxState::Unanswered;
        }
        if *nonce < count && tx.waits_for_block() {
            let (nonce, chain) = (*nonce, lane.shared.chain.clone());
            // The newest first: it is the likeliest.
            let hashes: Vec<B256> = tx.signed.iter().rev().map(|signed| signed.hash).collect();
            asked.spawn(async move { (nonce, any_receipt(&chain, &hashes).await) });
        }
    }
    while let Some(answered) = asked.join_next().await {
        match answered {
            Ok((nonce, Ok(Some(receipt)))) => on_included(lane, nonce, receipt),
            Ok((nonce, Ok(None))) => on_nonce_used(lane, nonce),
            Ok((_, Err(error))) => tracing::debug!(%error, "a receipt cannot be read"),
            Err(error) => tracing::error!(%error, "a receipt was not read"),
        }
    }
}

async fn any_receipt(chain: &Chain, hashes: &[B256]) -> Result<Option<TxReceipt>, CallError> {
    for hash in hashes {
        if let Some(receipt) = chain.receipt(*hash).await? {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

/// Takes note of the block of a transaction, and ends its calls if the block alone is enough.
fn on_included(lane: &Lane, nonce: u64, receipt: TxReceipt) {
    let (number, hash, receipt) = (receipt.block_number.to(), receipt.block_hash, Arc::new(receipt));
    let done = {
        let mut pending = lane.pending();
        // The lock was open while the receipt was read.
        let Some(tx) = pending.by_nonce.get_mut(&nonce) else { return };
        // The cost is booked once, however often blocks come and go: the reservation is taken.
        if let Some(reserved) = tx.reserved.take() {
            let cost = receipt.cost();
            lane.shared.budget.settle(reserved, cost);
            if let Some(balance) = lane.balance().as_mut() {
                *balance = balance.saturating_sub(cost);
            }
            let calls = tx.calls.len() as u64;
            if calls > 1 && receipt.succeeded() {
                lane.shared.batch_gas.observe(receipt.gas_used.to(), calls);
            }
            let waited = tx.since.elapsed();
            lane.tell(match receipt.succeeded() {
                true => TransactionEvent::Included(waited),
                false => TransactionEvent::Reverted(waited),
            });
        }
        tx.state = TxState::Included { number, hash, receipt: receipt.clone() };
        if lane.shared.settings.confirmations <= 1 { pending.finish(nonce) } else { None }
    };
    lane.included.notify_one();
    if let Some(tx) = done {
        tx.end_calls(&receipt);
    }
}

/// Handles a nonce that is used while the node shows no transaction of ours for it. After `displaced_after` a foreign
/// transaction has it for sure, and the calls are queued again.
fn on_nonce_used(lane: &Lane, nonce: u64) {
    let lost = {
        let mut pending = lane.pending();
        let Some(tx) = pending.by_nonce.get_mut(&nonce) else { return };
        match tx.state {
            TxState::NonceLost(since) if since.elapsed() >= lane.shared.settings.displaced_after => {}
            TxState::NonceLost(_) => return,
            // Not yet certain: a node behind a balancer may show the count before the receipt.
            _ => {
                tx.state = TxState::NonceLost(Instant::now());
                return;
            }
        }
        pending.by_nonce.remove(&nonce)
    };
    let Some(tx) = lost else { return };
    lane.tell(TransactionEvent::Displaced);
    tracing::warn!(nonce, "a settlement lost its nonce to another transaction; it is sent anew");
    lane.shared.budget.settle(tx.reserved.unwrap_or_default(), U256::ZERO);
    lane.included.notify_one();
    let lost = tx.signed.last().map(|signed| signed.hash);
    for mut call in tx.calls {
        call.nonces_lost += 1;
        call.perhaps_sent = lost.or(call.perhaps_sent);
        if call.nonces_lost > MAX_NONCES_LOST {
            call.give_up(SendError::Refused("the transaction lost its nonce again and again".to_owned()));
        } else {
            call.report(CallProgress::Queued);
            lane.enqueue(call);
        }
    }
}

/// Ends the calls of transactions that are deep enough, once the node has shown the receipt again: the block may have
/// been replaced since it was first seen.
async fn confirm(lane: &Lane, head: u64) {
    let confirmations = lane.shared.settings.confirmations;
    let deep: Vec<(u64, B256, B256)> = lane
        .pending()
        .by_nonce
        .iter()
        .filter_map(|(nonce, tx)| match &tx.state {
            TxState::Included { number, hash, receipt }
                if head.saturating_add(1).saturating_sub(*number) >= confirmations =>
            {
                Some((*nonce, *hash, receipt.transaction_hash))
            }
            _ => None,
        })
        .collect();
    for (nonce, block, transaction) in deep {
        let receipt = match lane.shared.chain.receipt(transaction).await {
            Ok(receipt) => receipt,
            Err(error) => {
                tracing::debug!(%error, "a settlement cannot be confirmed yet");
                continue;
            }
        };
        let done = {
            let mut pending = lane.pending();
            let Some(tx) = pending.by_nonce.get_mut(&nonce) else { continue };
            match receipt {
                Some(receipt) if receipt.block_hash == block => pending.finish(nonce).map(|tx| (tx, Arc::new(receipt))),
                Some(receipt) => {
                    tx.state = TxState::Included {
                        number: receipt.block_number.to(),
                        hash: receipt.block_hash,
                        receipt: Arc::new(receipt),
                    };
                    None
                }
                None => {
                    tx.state = TxState::Unanswered;
                    None
                }
            }
        };
        if let Some((tx, receipt)) = done {
            tx.end_calls(&receipt);
        }
    }
}
