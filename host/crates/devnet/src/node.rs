//! The chain behind a lock, and the miner.
//!
//! Reading and changing the chain block for as long as an execution takes (at most a block's gas), so the server does
//! both off the async threads.

use std::sync::Arc;
use std::time::Duration;

use alloy::consensus::TxEnvelope;
use alloy::consensus::transaction::Recovered;
use alloy::primitives::B256;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::chain::DevnetChain;
use super::rejection::TxRejection;

/// The rule by which blocks are mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MiningMode {
    /// One block per transaction, at once.
    OnDemand,
    /// One block of all pooled transactions per interval, even if there are none.
    Every(Duration),
    /// Blocks only when a dev method asks for them.
    Manual,
}

/// The chain, shared by the requests and the miner.
#[derive(Debug)]
pub(super) struct Node {
    chain: RwLock<DevnetChain>,
    mining: watch::Sender<MiningMode>,
}

impl Node {
    pub(super) fn new(chain: DevnetChain, mining: MiningMode) -> Self {
        Self { chain: RwLock::new(chain), mining: watch::Sender::new(mining) }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, DevnetChain> {
        self.chain.read()
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, DevnetChain> {
        self.chain.write()
    }

    pub(super) fn mining(&self) -> MiningMode {
        *self.mining.borrow()
    }

    /// Changes the mining mode. Changing to [`MiningMode::OnDemand`] mines the pooled transactions.
    pub(super) fn set_mining(&self, mining: MiningMode) {
        // Before the pool is mined: a transaction that comes in between is mined by its own `submit`.
        self.mining.send_replace(mining);
        if mining == MiningMode::OnDemand {
            self.write().mine_each();
        }
    }

    /// Adds a transaction to the pool. In [`MiningMode::OnDemand`] it is mined before this returns, and so are the
    /// transactions that waited for its nonce.
    pub(super) fn submit(&self, tx: Recovered<TxEnvelope>) -> Result<B256, TxRejection> {
        // One lock for both steps: no other request sees the transaction pooled when it is mined at once.
        let mut chain = self.write();
        let hash = chain.admit(tx)?;
        if self.mining() == MiningMode::OnDemand {
            chain.mine_each();
        }
        Ok(hash)
    }
}

/// Mines at the current interval, and follows changes of the mining mode, until stopped.
pub(super) async fn mine_at_intervals(node: Arc<Node>, stop: CancellationToken) {
    let mut mining = node.mining.subscribe();
    loop {
        let now = *mining.borrow_and_update();
        let tick = async {
            match now {
                MiningMode::Every(interval) => tokio::time::sleep(interval).await,
                MiningMode::OnDemand | MiningMode::Manual => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            // An error would mean that the sender is dropped; this task holds the node, which holds the sender.
            _ = mining.changed() => {}
            () = tick => {
                // Off the async threads: a full block executes for a fraction of a second.
                let node = Arc::clone(&node);
                if let Err(error) = tokio::task::spawn_blocking(move || node.write().mine(usize::MAX)).await {
                    tracing::error!(%error, "the embedded chain failed to mine a block");
                }
            }
        }
    }
}
