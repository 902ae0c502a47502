//! Configures the local facilitator.

use std::time::Duration;

use alloy::primitives::Address;
use coinslot_evm::{ChainError, ChainSettings, GasLimits, Key, SenderKind, SequencerSettings, default_confirmations};
use coinslot_x402::Network;
use coinslot_x402::price::Asset;
use url::Url;

use crate::calls::Calls;
use crate::seller::Seller;

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
    /// The most gas that a contract wallet may take to judge a signature (ERC-1271). The transaction that settles its
    /// payment is given as much, and some for the transfer.
    pub wallet_gas: u64,
    pub memory: SettledMemory,
    /// The seller for whom it settles, whose tag its transactions get.
    pub seller: Seller,
    /// Hears of each call.
    pub calls: Calls,
}

/// The time for which a payment that was settled is remembered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettledMemory {
    /// Until it cannot be used any more, and a while longer: for callers that keep no record of their own, to whom a
    /// success is reported once ([`super::Local::settle_once`]).
    WhileValid,
    /// A minute, for calls that run beside each other. It is for a caller whose ledger remembers.
    Brief,
}

impl LocalConfig {
    /// The usual settings: the confirmations of [`default_confirmations`], 50 seconds for a receipt, 2,000 blocks of
    /// search, a minute between clocks, gas for every receiver, and a facilitator's tag that no other process has.
    pub fn new(rpc: Url, network: Network, assets: Vec<Asset>, keys: Vec<Key>) -> Self {
        let mut sequencer = SequencerSettings::default();
        sequencer.confirmations = network.chain_id().map_or(sequencer.confirmations, default_confirmations);
        Self {
            rpc,
            network,
            assets,
            keys,
            receivers: None,
            chain: ChainSettings::default(),
            gas: GasLimits::default(),
            sequencer,
            receipt_timeout: Duration::from_secs(50),
            lookback_blocks: 2_000,
            skew_seconds: 60,
            wallet_gas: 350_000,
            memory: SettledMemory::WhileValid,
            seller: Seller::random(SenderKind::Facilitator),
            calls: Calls::default(),
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
