//! A call on its way, and the transaction that carries it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy::primitives::{Address, B256, Bytes, U256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::TxReceipt;
use super::super::fees::TxFees;
use super::{Inclusion, OpenCalls, SendError, TxCall};

/// Transactions that have landed and could have to be sent again after a reorganisation.
const REMEMBERED: usize = 64;

#[derive(Clone, Debug)]
pub(super) enum CallProgress {
    Queued,
    /// Perhaps in the node's pool, by its newest hash.
    Sent(B256),
    Included(Inclusion),
    NotSent(SendError),
}

impl CallProgress {
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Self::Included(_) | Self::NotSent(_))
    }
}

/// A call that was handed in.
#[derive(Debug)]
pub(super) struct QueuedCall {
    pub(super) order: TxCall,
    /// Times that it lost its nonce to somebody else's transaction.
    pub(super) displaced: u32,
    progress: watch::Sender<CallProgress>,
    load: OpenCalls,
}

impl QueuedCall {
    pub(super) fn new(order: TxCall, progress: watch::Sender<CallProgress>, load: OpenCalls) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self { order, displaced: 0, progress, load }
    }

    pub(super) fn is(&self, progress: CallProgress) {
        self.progress.send_replace(progress);
    }

    pub(super) fn end(self, progress: CallProgress) {
        self.is(progress);
    }
}

impl Drop for QueuedCall {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A signed transaction. Handing it over again is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedTx {
    pub(super) hash: B256,
    pub(super) raw: Bytes,
}

/// What a transaction says but for its price.
#[derive(Clone, Debug)]
pub(super) struct TxPlan {
    pub(super) nonce: u64,
    pub(super) to: Address,
    pub(super) data: Bytes,
    pub(super) gas: u64,
}

/// A transaction that has a nonce.
#[derive(Debug)]
pub(super) struct PendingTx {
    pub(super) plan: TxPlan,
    pub(super) bid: TxFees,
    /// All that were signed for the nonce, the newest last. Any of them counts.
    pub(super) sent: Vec<SignedTx>,
    /// None for a transaction that only fills a gap.
    pub(super) jobs: Vec<QueuedCall>,
    /// Of the day's budget, until it is known what it cost.
    pub(super) reserved: Option<U256>,
    pub(super) state: TxState,
    pub(super) handed: Instant,
    pub(super) priced: Instant,
    /// The newest block when it was priced.
    pub(super) priced_at: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum TxState {
    /// On its way to the node for the first time: it may yet lose its nonce again.
    Handing,
    /// The node did not say that it has it.
    Unheard,
    /// The node has it, or had it.
    Pooled,
    /// Its nonce is used, and the node shows no transaction of ours.
    Missing(Instant),
    /// In this block.
    Included { number: u64, hash: B256, receipt: Arc<TxReceipt> },
}

impl PendingTx {
    pub(super) fn newest(&self) -> Option<&SignedTx> {
        self.sent.last()
    }

    pub(super) fn is_landed(&self) -> bool {
        matches!(self.state, TxState::Included { .. })
    }

    pub(super) fn is_handing(&self) -> bool {
        matches!(self.state, TxState::Handing)
    }
}

/// The transactions of one key, by nonce.
#[derive(Debug, Default)]
pub(super) struct PendingTxs {
    pub(super) of: BTreeMap<u64, PendingTx>,
    /// What landed last and is no longer followed.
    pub(super) past: VecDeque<(u64, SignedTx)>,
    /// Since when a nonce is missing before the first of them.
    pub(super) gap: Option<Instant>,
}

impl PendingTxs {
    /// Those that wait for a block.
    pub(super) fn waiting(&self) -> usize {
        self.of.values().filter(|flight| !flight.is_landed()).count()
    }

    /// Takes one out that is done.
    pub(super) fn finish(&mut self, nonce: u64) -> Option<PendingTx> {
        let flight = self.of.remove(&nonce)?;
        if let Some(sent) = flight.newest() {
            self.past.push_back((nonce, sent.clone()));
            if self.past.len() > REMEMBERED {
                self.past.pop_front();
            }
        }
        Some(flight)
    }
}
