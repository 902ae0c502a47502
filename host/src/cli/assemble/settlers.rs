//! Connects every facilitator, and refuses one that cannot settle what is configured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Chains;
use crate::catalog::Accept;
use crate::chain::devnet;
use crate::chain::evm::Key;
use crate::cli::Failure;
use crate::config::{Config, FacilitatorConfig, KeySource};
use crate::facilitator::Facilitator;
use crate::facilitator::local::{Local, LocalConfig};
use crate::facilitator::remote::{Remote, RemoteConfig};
use crate::payment::Tender;
use crate::price::Asset;
use crate::x402::exact::Domain;
use crate::x402::{Network, Version, Versions};

/// Whoever settles what is taken.
pub(super) struct Settlers {
    pub(super) tenders: Vec<Tender>,
    /// What is taken, in the versions that its facilitator understands.
    pub(super) accepts: Vec<Accept>,
    /// Those that pay gas from a wallet.
    pub(super) locals: Vec<Arc<Local>>,
}

/// A facilitator that answered.
struct Connected {
    facilitator: Arc<dyn Facilitator>,
    contract_payers: bool,
    versions: BTreeMap<Network, Versions>,
}

pub(super) async fn connect(config: &Config, chains: Chains) -> Result<Settlers, Failure> {
    let mut connected: BTreeMap<&str, Connected> = BTreeMap::new();
    let mut locals = Vec::new();
    for (name, facilitator) in &config.facilitators {
        let accepts: Vec<&Accept> =
            config.accepts.iter().filter(|(_, by)| by == name).map(|(accept, _)| accept).collect();
        let Some(first) = accepts.first() else {
            return Err(Failure::usage(format!("facilitator.{name} settles nothing: no [[accept]] names it")));
        };
        let one = match facilitator {
            FacilitatorConfig::Local { rpc, key, poll } => {
                let network = &first.asset.network;
                let local = local(name, (rpc, key, *poll), network, &accepts, chains).await?;
                let versions = BTreeMap::from([(network.clone(), Versions::Both)]);
                locals.push(Arc::clone(&local));
                Connected { facilitator: local, contract_payers: true, versions }
            }
            FacilitatorConfig::Remote { url, bearer_env } => remote(name, url, bearer_env.as_deref(), &accepts).await?,
        };
        connected.insert(name, one);
    }
    let mut settlers = Settlers { tenders: Vec::new(), accepts: Vec::new(), locals };
    for (accept, by) in &config.accepts {
        let settler =
            connected.get(by.as_str()).ok_or_else(|| Failure::usage(format!("there is no facilitator.{by}")))?;
        settlers.tenders.push(tender(accept, settler)?);
        let versions = settler.versions.get(&accept.asset.network).copied().unwrap_or(accept.versions);
        settlers.accepts.push(Accept { versions, ..accept.clone() });
    }
    Ok(settlers)
}

async fn local(
    name: &str,
    (rpc, key, poll): (&Url, &KeySource, Duration),
    network: &Network,
    accepts: &[&Accept],
    chains: Chains,
) -> Result<Arc<Local>, Failure> {
    let key = match key {
        KeySource::Env(name) => Key::from_env(name),
        KeySource::File(file) => Key::from_file(file),
    };
    let key = key.map_err(|error| Failure::usage(format!("facilitator.{name}: {error}")))?;
    if let Some(other) = accepts.iter().find(|accept| accept.asset.network != *network) {
        return Err(Failure::usage(format!(
            "facilitator.{name} settles on one chain, and is named for {network} and {}: write one for each",
            other.asset.network
        )));
    }
    let assets: Vec<Asset> = accepts.iter().map(|accept| (*accept.asset).clone()).collect();
    if chains == Chains::Real && embedded(rpc).await {
        return Err(Failure::new(format!(
            "facilitator.{name}: {rpc} is the embedded development chain, and nothing paid on it is money; use `coinslot dev` for it, or name a real chain's RPC"
        )));
    }
    let failed = |error: String| Failure::new(format!("facilitator.{name}: {error}"));
    let mut local = LocalConfig::new(rpc.clone(), network.clone(), assets, key);
    local.chain.poll_interval = poll;
    let receivers: Result<Vec<_>, _> = accepts.iter().map(|accept| accept.pay_to.parse()).collect();
    local.receivers = receivers.ok();
    let local = Local::connect(local).await.map_err(|error| failed(error.to_string()))?;
    local.look_at_gas().await.map_err(|error| failed(error.to_string()))?;
    Ok(Arc::new(local))
}

async fn remote(name: &str, url: &Url, bearer_env: Option<&str>, accepts: &[&Accept]) -> Result<Connected, Failure> {
    let mut remote = RemoteConfig::new(url.clone());
    if let Some(variable) = bearer_env {
        let token = std::env::var(variable).ok().filter(|token| !token.is_empty());
        remote.bearer = Some(token.ok_or_else(|| {
            Failure::usage(format!("facilitator.{name}: the environment variable {variable} is not set"))
        })?);
    }
    let remote = Remote::new(remote).map_err(|error| Failure::usage(format!("facilitator.{name}: {error}")))?;
    let mut networks: Vec<Network> = accepts.iter().map(|accept| accept.asset.network.clone()).collect();
    networks.sort();
    networks.dedup();
    let versions = remote.versions("exact", &networks).await;
    let versions = versions.map_err(|error| Failure::new(format!("facilitator.{name}: {error}")))?;
    for (network, versions) in networks.iter().zip(&versions) {
        for version in Version::ALL {
            if network.is_named_in(version) && !versions.contains(version) {
                let number = version.number();
                tracing::warn!(facilitator = name, %network, "it settles no x402 version {number}: not offered");
            }
        }
    }
    let versions = networks.into_iter().zip(versions).collect();
    Ok(Connected { facilitator: Arc::new(remote), contract_payers: false, versions })
}

fn tender(accept: &Accept, settler: &Connected) -> Result<Tender, Failure> {
    let asset = &accept.asset;
    let described = asset.eip712.as_ref().zip(asset.network.chain_id()).zip(asset.address.parse().ok());
    let ((domain, chain_id), contract) = described.ok_or_else(|| {
        Failure::usage(format!(
            "{} on {} cannot be paid by EIP-3009: its EIP-712 domain is not known",
            asset.symbol, asset.network
        ))
    })?;
    Ok(Tender {
        asset: Arc::clone(asset),
        contract,
        domain: Domain::new(&domain.name, &domain.version, chain_id, contract),
        facilitator: Arc::clone(&settler.facilitator),
        contract_payers: settler.contract_payers,
    })
}

/// Whether the embedded chain answers there. A node that does not answer is not it; what it is, the
/// connection that follows will say.
async fn embedded(rpc: &Url) -> bool {
    let provider = alloy::providers::ProviderBuilder::new().connect_http(rpc.clone());
    let asked = tokio::time::timeout(Duration::from_secs(5), devnet::is_devnet(&provider));
    matches!(asked.await, Ok(Ok(true)))
}
