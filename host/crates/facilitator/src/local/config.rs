//! Configures the local facilitator.

use std::time::Duration;

use alloy::primitives::Address;
use coinslot_evm::{ChainError, ChainSettings, GasLimits, Key, SequencerSettings};
use coinslot_x402::Network;
use coinslot_x402::price::Asset;
use url::Url;

/// The configuration of one local facilitator.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The chain's JSON-RPC.
    pub rpc: Url,
    /// An EVM network.
    pub network: Network,
    /// The tokens that are settled; each needs its EIP-712 domain.
    pub assets: Vec<Asset>,
    /// The keys that pay for gas; at least one. Nothing else may use them on this chain.
    pub keys: Vec<Key>,
    /// Receivers that gas is spent for. None means all.
    pub receivers: Option<Vec<Address>>,
    pub chain: ChainSettings,
    pub gas: GasLimits,
    pub sequencer: SequencerSettings,
    /// The longest wait of a settlement for its receipt. After it the end is unknown.
    pub receipt_timeout: Duration,
    /// The number of blocks that are searched for a payment that another account submitted. Nodes limit it.
    pub lookback_blocks: u64,
    /// The difference that clocks may have, in seconds.
    pub skew_seconds: u64,
}

impl LocalConfig {
    /// The usual settings: 50 seconds for a receipt, 2,000 blocks of search, a minute between clocks, gas for every
    /// receiver.
    pub fn new(rpc: Url, network: Network, assets: Vec<Asset>, keys: Vec<Key>) -> Self {
        Self {
            rpc,
            network,
            assets,
            keys,
            receivers: None,
            chain: ChainSettings::default(),
            gas: GasLimits::default(),
            sequencer: SequencerSettings::default(),
            receipt_timeout: Duration::from_secs(50),
            lookback_blocks: 2_000,
            skew_seconds: 60,
        }
    }
}

/// The reason for which the facilitator does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("{0} is not an EVM network: only eip155 chains are settled in this process")]
    NotEvm(Network),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("no key is configured that pays for gas")]
    NoKey,
    #[error("no asset is configured for {0}")]
    NoAsset(Network),
    #[error("{symbol} {address}: {problem}")]
    Asset { symbol: String, address: String, problem: String },
}
