//! The embedded chain: revm behind an Ethereum JSON-RPC on loopback, for development and tests.
//! It mirrors Base Sepolia and carries a stand-in for USDC at its address. Nothing paid on it is money.

use std::net::SocketAddr;
use std::time::Duration;

use alloy::primitives::{Address, U256};

/// Base Sepolia's chain id.
pub const CHAIN_ID: u64 = 84532;

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
}

impl Devnet {
    /// Starts the chain and its server on the current tokio runtime.
    pub async fn start(config: DevnetConfig) -> Result<Self, std::io::Error> {
        let _ = config;
        todo!("devnet")
    }

    /// Where the JSON-RPC listens, as `http://127.0.0.1:PORT`.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.address)
    }
}
