//! Starts the embedded chain of `coinslot dev`, funds its accounts, configures the host for it, and writes dev.json.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, U256, address, hex, keccak256};
use alloy::signers::local::PrivateKeySigner;
use coinslot_devnet::{CHAIN_ID, Devnet, DevnetConfig};
use coinslot_evm::{Chain, ChainSettings, Key, abi::IEip3009};
use coinslot_x402::price::{Accept, Amount, Asset};
use coinslot_x402::{Network, Versions};
use url::Url;

use super::addresses::DevAddresses;
use crate::catalog::Catalog;
use crate::cli::Failure;
use crate::config::{
    AcceptConfig, AllowanceConfig, Config, DiscoverConfig, FacilitatorConfig, KeySource, LocalFacilitator,
    PaymentConfig, PluginsConfig, Robots, ServerConfig, StateConfig,
};
use crate::discover::TestWallet;
use crate::endpoint::Access;

/// The number of payers that start with money.
const PAYERS: usize = 4;
/// The dollars that each of them starts with.
const DOLLARS: u64 = 1_000;
/// USDC's contract on Base Sepolia, which stock clients know.
const USDC: Address = address!("036CbD53842c5426634e7929541eC2318f3dCF7e");

/// Bytes of a file with a seed, at most.
const LONGEST_SEED: u64 = 4 << 10;

/// A running chain and its accounts.
pub(in crate::cli) struct DevChain {
    devnet: Devnet,
    payers: Vec<PrivateKeySigner>,
    seller: Address,
    gas_key: tempfile::NamedTempFile,
    asset: Arc<Asset>,
    seed: String,
    /// Tells this chain from those of other starts with the same seed.
    run: String,
}

/// The chain as dev.json describes it.
#[derive(Clone)]
pub(super) struct ChainFacts {
    rpc: String,
    run: String,
    asset: String,
    pay_to: Address,
    payers: Vec<(Address, String)>,
}

/// The seed of the accounts: the one that was asked for, or the one of this state folder, which is made once. So the
/// accounts are the same after a restart, and a wallet that knows them goes on working.
pub(super) fn seed(asked: Option<String>, state: &Path) -> Result<String, Failure> {
    if let Some(seed) = asked {
        return Ok(seed);
    }
    let file = state.join("dev.seed");
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    match coinslot_base::file::read_regular_text(&file, LONGEST_SEED) {
        Ok(seed) => Ok(seed.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let seed = hex::encode(&PrivateKeySigner::random().to_bytes()[..16]);
            coinslot_base::file::replace(&file, 0o600, format!("{seed}\n").as_bytes()).map_err(failed)?;
            Ok(seed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The account of a seed that has this role.
fn account(seed: &str, role: &str) -> Result<PrivateKeySigner, Failure> {
    let key = keccak256(format!("coinslot dev\n{seed}\n{role}"));
    PrivateKeySigner::from_bytes(&key).map_err(|error| Failure::new(format!("choose another --seed: {error}")))
}

/// Starts a chain with funded payers and a funded gas key, which come from a seed.
pub(in crate::cli) async fn start(
    listen: SocketAddr,
    block_time: Option<Duration>,
    seed: &str,
) -> Result<DevChain, Failure> {
    let asset = Asset::known(&Network::eip155(CHAIN_ID), None)
        .ok_or_else(|| Failure::new("Base Sepolia's USDC is not in the table of assets"))?;
    let payers = (0..PAYERS).map(|number| account(seed, &format!("payer {number}"))).collect::<Result<Vec<_>, _>>()?;
    let gas = account(seed, "gas")?;
    let seller = account(seed, "seller")?.address();
    let ether = U256::from(1_000_000_000_000_000_000_u64) * U256::from(1_000);
    let dollars = U256::from(DOLLARS) * U256::from(10).pow(U256::from(asset.decimals));
    let mut funded: Vec<(Address, U256, U256)> = payers.iter().map(|payer| (payer.address(), ether, dollars)).collect();
    funded.push((gas.address(), ether, U256::ZERO));
    let devnet = Devnet::start(DevnetConfig { listen, block_time, funded })
        .await
        .map_err(|error| Failure::new(format!("the embedded chain cannot start on {listen}: {error}")))?;
    // The key is read as an operator's key is: from a file that only this user can read.
    let key = tempfile::NamedTempFile::new().and_then(|mut file| {
        file.write_all(hex_key(&gas).as_bytes())?;
        Ok(file)
    });
    let gas_key = key.map_err(|error| Failure::new(format!("a key file cannot be written: {error}")))?;
    let run = hex::encode(&PrivateKeySigner::random().to_bytes()[..8]);
    Ok(DevChain { devnet, payers, seller, gas_key, asset: Arc::new(asset), seed: seed.to_owned(), run })
}

fn hex_key(signer: &PrivateKeySigner) -> String {
    hex::encode_prefixed(signer.to_bytes())
}

impl DevChain {
    pub(super) fn rpc(&self) -> String {
        self.devnet.rpc_url()
    }

    /// The seed of its accounts.
    pub(super) fn seed(&self) -> &str {
        &self.seed
    }

    pub(in crate::cli) async fn stop(self) {
        self.devnet.shutdown().await;
    }

    pub(super) fn facts(&self) -> ChainFacts {
        ChainFacts {
            rpc: self.rpc(),
            run: self.run.clone(),
            asset: self.asset.address.clone(),
            pay_to: self.seller,
            payers: self.payers.iter().map(|payer| (payer.address(), hex_key(payer))).collect(),
        }
    }

    /// The configuration that an operator would write for this chain; everything else has its default.
    pub(in crate::cli) fn config(&self, listen: SocketAddr, state: &Path, plugins: &Path) -> Config {
        let accept = Accept {
            asset: Arc::clone(&self.asset),
            pay_to: self.seller.to_checksum(None).into(),
            max_timeout_seconds: 300,
            max_unsettled: Amount(U256::from(100_000_000)),
            versions: Versions::Both,
        };
        let rpc = Url::parse(&self.rpc()).expect("the chain's own address is a URL");
        let local = LocalFacilitator {
            keys: vec![KeySource::File(self.gas_key.path().to_owned())],
            poll_interval: Duration::from_millis(50),
            ..LocalFacilitator::new(rpc)
        };
        // On the developer's own machine every client is the developer, without a proxy.
        let trusted_proxies = listen.ip().is_loopback().then(Vec::new);
        Config {
            base: std::path::PathBuf::new(),
            server: ServerConfig { listen, trusted_proxies, ..ServerConfig::default() },
            plugins: PluginsConfig { folder: plugins.to_owned(), ..PluginsConfig::default() },
            payment: PaymentConfig {
                accepts: vec![AcceptConfig { accept, facilitators: vec!["dev".to_owned()] }],
                facilitators: BTreeMap::from([("dev".to_owned(), FacilitatorConfig::Local(local))]),
                ..PaymentConfig::default()
            },
            // The chain and its ledger begin together, and nobody else settles on it.
            state: StateConfig { folder: state.to_owned(), reconcile_every: Duration::ZERO, ..StateConfig::default() },
            admin: None,
            webhooks: Vec::new(),
            allowances: AllowanceConfig::default(),
            refunds: None,
            log: None,
            telemetry: None,
            discover: DiscoverConfig {
                name: Some("Coinslot on this machine".to_owned()),
                robots: Robots::Disallow,
                ..DiscoverConfig::default()
            },
        }
    }

    /// The private key of the first payer, in hex.
    pub(in crate::cli) fn payer_key(&self) -> String {
        hex_key(&self.payers[0])
    }

    /// The wallet of the first payer, for pages.
    pub(super) fn test_wallet(&self) -> Option<TestWallet> {
        let key = Key::parse(&self.payer_key(), "the first payer").ok()?;
        TestWallet::on(&self.devnet, key)
    }

    /// The address that is paid.
    pub(in crate::cli) fn seller(&self) -> Address {
        self.seller
    }

    /// The money of an account. None if the chain does not answer.
    pub(in crate::cli) async fn balance(&self, account: Address) -> Option<U256> {
        let url = Url::parse(&self.rpc()).ok()?;
        let chain = Chain::connect(&url, CHAIN_ID, ChainSettings::default()).await.ok()?;
        chain.call(USDC, &IEip3009::balanceOfCall { account }, None).await.ok()
    }

    /// Role, address and balance of the first payer and the seller.
    pub(super) async fn balances(&self) -> Vec<(&'static str, Address, String)> {
        let mut list = Vec::new();
        for (role, account) in [("payer", self.payers[0].address()), ("seller", self.seller)] {
            let text = self.balance(account).await.map_or_else(
                || "balance not known".to_owned(),
                |balance| format!("{} {}", Amount(balance).decimal(self.asset.decimals), self.asset.symbol),
            );
            list.push((role, account, text));
        }
        list
    }
}

/// Writes dev.json in one step, readable by this user alone: it holds the payers' keys. `complete` tells scripts that
/// every plugin was built, or could not be.
pub(super) fn write(
    state: &Path,
    addresses: &DevAddresses,
    facts: &ChainFacts,
    catalog: &Catalog,
    complete: bool,
) -> Result<(), Failure> {
    let endpoints = catalog.installed().iter().flat_map(|installed| &installed.endpoints);
    let routes: Vec<serde_json::Value> = endpoints
        .map(|endpoint| {
            let amount = match &endpoint.access {
                Access::Free => "0".to_owned(),
                Access::Paid(paid) => paid.offer.prices()[0].amount.to_string(),
            };
            serde_json::json!({ "method": endpoint.method.as_str(), "path": endpoint.path.as_str(), "amount": amount })
        })
        .collect();
    let payers: Vec<serde_json::Value> = facts
        .payers
        .iter()
        .map(|(address, key)| serde_json::json!({ "address": address.to_checksum(None), "privateKey": key }))
        .collect();
    let document = serde_json::json!({
        "url": addresses.url,
        "admin": addresses.dashboard.trim_end_matches('/'),
        "mcp": addresses.mcp,
        "rpc": facts.rpc,
        "chainId": CHAIN_ID,
        "chainRun": facts.run,
        "network": Network::eip155(CHAIN_ID),
        "asset": facts.asset,
        "payTo": facts.pay_to.to_checksum(None),
        "payers": payers,
        "routes": routes,
        "complete": complete,
    });
    let written = coinslot_base::file::replace(&state.join("dev.json"), 0o600, format!("{document:#}\n").as_bytes());
    written.map_err(|error| Failure::new(format!("{}/dev.json: {error}", state.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_keeps_its_accounts_and_a_seed_has_always_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = seed(None, dir.path()).expect("a seed");
        assert_eq!(seed(None, dir.path()).expect("the same"), first);
        assert_eq!(seed(Some("mine".to_owned()), dir.path()).expect("the one that was asked for"), "mine");
        let address = |seed: &str, role: &str| account(seed, role).expect("an account").address();
        assert_eq!(address("mine", "gas"), address("mine", "gas"));
        assert_ne!(address("mine", "gas"), address("mine", "seller"));
        assert_ne!(address("mine", "gas"), address(&first, "gas"));
    }
}
