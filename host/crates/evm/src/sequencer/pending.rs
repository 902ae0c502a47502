//! The transactions of one lane that have a nonce, until they are deep enough in the chain.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{B256, U256};
use tokio::time::Instant;

use super::call::{CallProgress, Inclusion, QueuedCall};
use crate::receipt::TxReceipt;
use crate::transaction::{SignedTx, Transaction};

/// Finished transactions that are remembered, because they have to be sent again if a reorganisation drops them.
const MAX_FINISHED: usize = 64;

/// A transaction that has a nonce.
#[derive(Debug)]
pub(super) struct PendingTx {
    pub(super) tx: Transaction,
    /// Every transaction that was signed for the nonce, the newest last. Any of them may get into a block.
    pub(super) signed: Vec<SignedTx>,
    /// The calls that it makes; none if it only fills a gap.
    pub(super) calls: Vec<QueuedCall>,
    /// Wei reserved of the day's budget, until the cost is known.
    pub(super) reserved: Option<U256>,
    pub(super) state: TxState,
    pub(super) since: Instant,
    /// The last time that it was given to the node.
    pub(super) sent_at: Instant,
    /// The time at which its fees were set, and the newest block then.
    pub(super) priced_at: Instant,
    pub(super) priced_at_block: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum TxState {
    /// It is given to the node for the first time, and may yet lose its nonce again. Only the dispatcher touches it.
    Sending,
    /// The node did not say that it has it.
    Unanswered,
    /// The node has it, or had it.
    Pooled,
    /// Its nonce is used, and the node shows no transaction of ours, since then.
    NonceLost(Instant),
    /// It is in this block.
    Included { number: u64, hash: B256, receipt: Arc<TxReceipt> },
}

impl PendingTx {
    pub(super) fn new(tx: Transaction, signed: SignedTx, calls: Vec<QueuedCall>, state: TxState) -> Self {
        let now = Instant::now();
        Self {
            reserved: Some(tx.max_cost()),
            tx,
            signed: vec![signed],
            calls,
            state,
            since: now,
            sent_at: now,
            priced_at: now,
            priced_at_block: None,
        }
    }

    pub(super) fn newest(&self) -> Option<&SignedTx> {
        self.signed.last()
    }

    pub(super) fn is_included(&self) -> bool {
        matches!(self.state, TxState::Included { .. })
    }

    /// It waits for a block, and the node knows of it.
    pub(super) fn waits_for_block(&self) -> bool {
        !matches!(self.state, TxState::Included { .. } | TxState::Sending)
    }

    /// Ends its calls by this receipt.
    pub(super) fn end_calls(self, receipt: &Arc<TxReceipt>) {
        let shared = self.calls.len() > 1;
        for call in self.calls {
            call.end(CallProgress::Included(Inclusion { receipt: receipt.clone(), shared }));
        }
    }
}

/// A transaction that is in no block yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingTransaction {
    pub nonce: u64,
    /// The newest of those that were signed for the nonce.
    pub hash: B256,
    /// The time since the first of them was signed.
    pub age: Duration,
    /// The number of times that it was signed again with higher fees.
    pub replacements: usize,
    /// Its calls, each of which is a settlement. None if it only fills a gap between nonces.
    pub calls: usize,
}

/// The transactions of one lane.
#[derive(Debug, Default)]
pub(super) struct PendingTxs {
    pub(super) by_nonce: BTreeMap<u64, PendingTx>,
    /// The last transactions that were finished. They are not followed.
    pub(super) finished: VecDeque<(u64, SignedTx)>,
    /// The time since which a nonce is missing before the first transaction that waits.
    pub(super) gap_since: Option<Instant>,
}

impl PendingTxs {
    /// The number of transactions that are in no block.
    pub(super) fn waiting(&self) -> usize {
        self.by_nonce.values().filter(|tx| !tx.is_included()).count()
    }

    /// The first transactions that are in no block, at most so many.
    pub(super) fn named(&self, most: usize) -> Vec<WaitingTransaction> {
        let waiting = self.by_nonce.iter().filter(|(_, tx)| !tx.is_included());
        let named = waiting.filter_map(|(nonce, tx)| {
            Some(WaitingTransaction {
                nonce: *nonce,
                hash: tx.newest()?.hash,
                age: tx.since.elapsed(),
                replacements: tx.signed.len() - 1,
                calls: tx.calls.len(),
            })
        });
        named.take(most).collect()
    }

    /// The time since which the oldest transaction waits that is in no block.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.by_nonce.values().filter(|tx| !tx.is_included()).map(|tx| tx.since).min()
    }

    /// Takes a transaction out that is deep enough, and remembers its bytes.
    pub(super) fn finish(&mut self, nonce: u64) -> Option<PendingTx> {
        let tx = self.by_nonce.remove(&nonce)?;
        if let Some(signed) = tx.newest() {
            self.finished.push_back((nonce, signed.clone()));
            if self.finished.len() > MAX_FINISHED {
                self.finished.pop_front();
            }
        }
        Some(tx)
    }
}
