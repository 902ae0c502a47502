//! The chain with its locks and its miner: who may read it, who may change it, and when blocks come.
//!
//! Everything here blocks for as long as an execution takes (at most a block's gas), so the server
//! runs it off the async threads.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use alloy::consensus::TxEnvelope;
use alloy::consensus::transaction::Recovered;
use alloy::primitives::B256;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::chain::DevnetChain;
use super::rejection::TxRejection;

/// When blocks come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MiningMode {
    /// A block per transaction, at once.
    OnDemand,
    /// A block of all that waits per interval, also when nothing waits.
    Every(Duration),
    /// Only when a dev method says so.
    Manual,
}

#[derive(Debug)]
pub(super) struct Node {
    chain: RwLock<DevnetChain>,
    mining: watch::Sender<MiningMode>,
}

impl Node {
    pub(super) fn new(chain: DevnetChain, mining: MiningMode) -> Self {
        Self { chain: RwLock::new(chain), mining: watch::Sender::new(mining) }
    }

    /// A panic while the chain was held is a bug of ours in one request; the others go on.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, DevnetChain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, DevnetChain> {
        self.chain.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mining(&self) -> MiningMode {
        *self.mining.borrow()
    }

    /// Changes when blocks come. Going on demand mines what already waits.
    pub(super) fn set_mining(&self, mining: MiningMode) {
        self.mining.send_replace(mining);
        if mining == MiningMode::OnDemand {
            self.write().mine_each();
        }
    }

    /// Takes a transaction; on demand it is mined, with those that waited for its nonce, before this returns.
    pub(super) fn submit(&self, tx: Recovered<TxEnvelope>) -> Result<B256, TxRejection> {
        let mut chain = self.write();
        let hash = chain.admit(tx)?;
        if self.mining() == MiningMode::OnDemand {
            chain.mine_each();
        }
        Ok(hash)
    }
}

/// Mines at the interval in force, until stopped.
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
            // The node is held here, so its sender is never gone.
            _ = mining.changed() => {}
            () = tick => {
                let node = Arc::clone(&node);
                if let Err(error) = tokio::task::spawn_blocking(move || node.write().mine(usize::MAX)).await {
                    tracing::error!(%error, "the embedded chain failed to mine a block");
                }
            }
        }
    }
}
