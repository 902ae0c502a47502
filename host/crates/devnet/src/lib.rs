//! The embedded chain: revm behind an Ethereum JSON-RPC on loopback, for development and tests.
//! It mirrors Base Sepolia (chain id 84532, USDC at its address with its EIP-712 domain), because
//! stock clients pay only chains and assets they know. Nothing paid on it is money: whoever serves
//! for real asks `coinslot_evm::is_devnet` first.
//!
//! Everything is in memory. Kept: the current state; the newest [`KEPT_BLOCKS`] blocks with their
//! transactions and receipts, and what state reads as of them need; at most 4096 pooled
//! transactions and 256 snapshots. Older blocks are forgotten.
//!
//! Invariant: a block's timestamp never runs ahead of the wall clock (plus the offset that the dev
//! methods set), so a payment's time window means what it says. Two blocks of the same second
//! therefore carry the same timestamp.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, U256, address};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::chain::DevnetChain;
use self::node::{MiningMode, Node};

mod server;

mod rpc;

mod params;

mod eth;

mod dev;

mod node;

mod chain;

mod clock;

mod logs;

mod fees;

mod pool;

mod rejection;

mod execute;

mod state;

mod genesis;

#[cfg(test)]
mod tests;

pub use self::genesis::{multicall3_runtime_code, wallet1271_creation_code, wallet1271_runtime_code};

/// Base Sepolia's chain id.
pub const CHAIN_ID: u64 = 84532;

/// Base Sepolia's USDC; here our stand-in lives at it.
pub const USDC: Address = address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");

/// Where most chains have Multicall3, and this one its stand-in.
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// How `web3_clientVersion` of every embedded chain starts.
pub const CLIENT_VERSION_PREFIX: &str = "coinslot-devnet/";

/// Blocks kept, newest first to stay: nine hours at Base's two seconds. At a receipt or so per
/// block this is tens of megabytes.
pub const KEPT_BLOCKS: usize = 16_384;

/// How the chain behaves.
#[derive(Clone, Debug)]
pub struct DevnetConfig {
    /// Where the JSON-RPC listens; port 0 is allowed. Loopback only.
    pub listen: SocketAddr,
    /// A block per interval; none means a block per transaction.
    pub block_time: Option<Duration>,
    /// Accounts with their balances in wei, and in atomic units of the USDC stand-in.
    pub funded: Vec<(Address, U256, U256)>,
}

/// A running chain; stops when dropped.
#[derive(Debug)]
pub struct Devnet {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Devnet {
    /// Starts the chain and its server on the current tokio runtime.
    ///
    /// Fails when the address is not loopback, cannot be bound, when the interval is zero, or when
    /// the funded balances do not fit 256 bits. On error nothing is left running.
    pub async fn start(config: DevnetConfig) -> Result<Self, io::Error> {
        if !config.listen.ip().is_loopback() {
            let problem =
                format!("{} is not a loopback address: the embedded chain serves this machine only", config.listen);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        if config.block_time.is_some_and(|every| every.is_zero()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a block time of zero; leave it out for a block per transaction",
            ));
        }
        let state = genesis::state(&config.funded)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the funded balances overflow 256 bits"))?;
        let listener = tokio::net::TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let mining = config.block_time.map_or(MiningMode::OnDemand, MiningMode::Every);
        let node = Arc::new(Node::new(DevnetChain::new(state), mining));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(node::mine_at_intervals(Arc::clone(&node), stop.clone()));
        tasks.spawn(server::serve(listener, node, stop.clone(), tasks.clone()));
        Ok(Self { address, stop, tasks })
    }

    /// Where the JSON-RPC listens, as `http://127.0.0.1:PORT`.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops listening and mining, lets the requests under way finish, and forgets the chain.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
