//! The types of assets that are taken, of their facilitators, and of keys.

use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::U256;
use coinslot_x402::price::Accept;
use url::Url;

/// An asset that is taken, and the names of its facilitators, the preferred first.
#[derive(Clone, Debug)]
pub struct AcceptConfig {
    pub accept: Accept,
    pub facilitators: Vec<String>,
}

/// A facilitator that settles payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FacilitatorConfig {
    /// Settles in this process.
    Local(LocalFacilitator),
    /// Settles over HTTP.
    Remote(RemoteFacilitator),
}

/// A facilitator in this process, on one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFacilitator {
    pub rpc: Url,
    /// Each key is a wallet that pays for gas.
    pub keys: Vec<KeySource>,
    /// The time between two questions for a receipt.
    pub poll_interval: Duration,
    pub settlement: SettlementConfig,
}

/// A facilitator over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFacilitator {
    pub url: Url,
    pub credential: CredentialSource,
    /// Removes the query from the URLs that the facilitator sees.
    pub strip_query: bool,
    pub verify_timeout: Duration,
    pub settle_timeout: Duration,
    /// A node of its chain, which is asked whether the facilitator's word is true.
    pub rpc: Option<Url>,
    /// Blocks that a payment must be in or under for the node; None leaves it to the chain.
    pub confirmations: Option<u64>,
}

/// The environment variables with the credential for a facilitator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    None,
    /// A token that is always the same.
    Bearer {
        env: String,
    },
    /// A key of Coinbase's developer platform, which signs a token for each request.
    Cdp {
        id_env: String,
        secret_env: String,
    },
}

/// Settings of settlement in this process; `None` leaves a value to the facilitator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettlementConfig {
    /// Blocks that a payment must be in or under; 1 is its own block.
    pub confirmations: Option<u64>,
    pub batch_delay: Option<Duration>,
    /// Payments in one transaction, at most.
    pub batch_payments: Option<usize>,
    /// In wei for each unit of gas.
    pub max_gas_price: Option<u128>,
    /// In wei.
    pub gas_budget_per_day: Option<U256>,
    /// In wei.
    pub low_balance: Option<U256>,
}

/// The place of a secret: an environment variable or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    Env(String),
    File(PathBuf),
}

impl LocalFacilitator {
    /// Settles through this node, with the gas key in `COINSLOT_GAS_KEY`.
    pub fn new(rpc: Url) -> Self {
        Self {
            rpc,
            keys: vec![KeySource::Env("COINSLOT_GAS_KEY".to_owned())],
            poll_interval: Duration::from_millis(250),
            settlement: SettlementConfig::default(),
        }
    }
}

impl RemoteFacilitator {
    /// A facilitator at this address that takes no credential.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            credential: CredentialSource::None,
            strip_query: true,
            verify_timeout: Duration::from_secs(10),
            settle_timeout: Duration::from_secs(60),
            rpc: None,
            confirmations: None,
        }
    }
}
