//! Starts and stops the chain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, U256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::chain::DevnetChain;
use super::node::{self, MiningMode, Node};
use super::{genesis, server};

/// The configuration of a chain.
#[derive(Clone, Debug)]
pub struct DevnetConfig {
    /// The address of the JSON-RPC: loopback only. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// The interval at which blocks are mined; none mines a block per transaction.
    pub block_time: Option<Duration>,
    /// Accounts with their balances in wei, and in atomic units of USDC.
    pub funded: Vec<(Address, U256, U256)>,
}

/// A running chain. Dropping it stops it.
#[derive(Debug)]
pub struct Devnet {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Devnet {
    /// Starts the chain and its server on the current tokio runtime.
    ///
    /// Fails if the address is not loopback or cannot be bound, if the interval is zero, or if the funded balances do
    /// not fit 256 bits. On an error nothing is left running.
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

    /// The URL of the JSON-RPC, as `http://127.0.0.1:PORT`.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops listening and mining, lets requests in progress finish, and forgets the chain.
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
