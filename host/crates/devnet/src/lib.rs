//! An embedded EVM chain for development and tests: revm behind an Ethereum JSON-RPC on loopback.
//!
//! It mirrors Base Sepolia (chain id 84532, USDC at its address with its EIP-712 domain), because stock clients pay
//! only on chains and in assets that they know. Nothing paid on it is money: a host that serves for real money checks
//! `coinslot_evm::is_devnet` first.
//!
//! Everything is in memory. Kept are the current state, the newest [`KEPT_BLOCKS`] blocks with their transactions and
//! receipts, the older values of the state that reads as of these blocks need, at most 4096 pooled transactions, and at
//! most 256 snapshots. Older blocks are forgotten.
//!
//! Invariant: a block's timestamp never runs ahead of the wall clock (plus the offset that the dev methods set), so a
//! payment's time window means what it says. Two blocks of the same second therefore carry the same timestamp.
//!
//! ```no_run
//! # use coinslot_devnet::{Devnet, DevnetConfig};
//! # async fn example(payer: alloy::primitives::Address) -> std::io::Result<()> {
//! # use alloy::primitives::U256;
//! let config = DevnetConfig {
//!     listen: "127.0.0.1:8545".parse().expect("an address"),
//!     block_time: None,
//!     // No ether, and 10 USDC.
//!     funded: vec![(payer, U256::ZERO, U256::from(10_000_000))],
//! };
//! let devnet = Devnet::start(config).await?;
//! println!("JSON-RPC at {}", devnet.rpc_url());
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests run guests and read answers themselves"
    )
)]

/// The chain's fixed facts.
mod spec;

/// Starts and stops the chain.
mod devnet;

/// HTTP.
mod server;

/// JSON-RPC 2.0.
mod rpc;

/// The `web3_`, `net_` and `eth_` methods.
mod eth;

/// The development methods.
mod dev;

/// `eth_getLogs`.
mod logs;

/// Parameters of calls.
mod params;

/// Errors of calls.
mod error;

/// The chain behind a lock, and the miner.
mod node;

/// Blocks, pool and mining together.
mod chain;

/// A block with its receipts.
mod block;

/// Transactions that wait for a block.
mod pool;

/// revm.
mod execute;

/// The price of gas.
mod fees;

/// Rejections of transactions.
mod rejection;

/// The chain's time.
mod clock;

/// The genesis state and the contracts.
mod genesis;

/// Accounts, storage and code with their history.
mod state;

#[cfg(test)]
mod tests;

pub use self::devnet::{Devnet, DevnetConfig};
pub use self::genesis::{multicall3_runtime_code, wallet1271_creation_code, wallet1271_runtime_code};
pub use self::spec::{CHAIN_ID, CLIENT_VERSION_PREFIX, KEPT_BLOCKS, MULTICALL3, USDC};
