//! Connects every facilitator, and refuses one that cannot settle what is configured.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Chains;
use crate::cli::Failure;
use crate::config::{Config, CredentialSource, FacilitatorConfig, KeySource, Settling};
use crate::payment::PaymentMethod;
use coinslot_evm::{Chain, ChainSettings, Key};
use coinslot_facilitator::cdp::CdpKey;
use coinslot_facilitator::local::{Local, LocalConfig};
use coinslot_facilitator::pool::{CircuitSettings, Member, Pool};
use coinslot_facilitator::remote::{Credential, Remote, RemoteConfig, RemoteError};
use coinslot_facilitator::{Facilitator, SettlementProbe};
use coinslot_x402::exact::Domain;
use coinslot_x402::price::{Accept, Asset};
use coinslot_x402::{Network, Version, Versions};

/// Whoever settles what is taken.
pub(super) struct Settlers {
    pub(super) payment_methods: Vec<PaymentMethod>,
    /// What is taken, in the versions that its facilitators understand.
    pub(super) accepts: Vec<Accept>,
    /// Those in this process.
    pub(super) locals: Vec<Arc<Local>>,
}

/// A facilitator that is named in the configuration.
struct Connected {
    member: Member,
    /// As it is used when nobody stands in for it.
    alone: Arc<dyn Facilitator>,
    /// Whether it is in this process: it can ask a contract at the payer's address, and it may settle
    /// several payments in one transaction.
    here: bool,
    /// Reads the chain that it settles on.
    probe: Option<Arc<SettlementProbe>>,
    /// What it understands.
    versions: BTreeMap<Network, Versions>,
    /// Why it could not be asked what it supports.
    silent: Option<RemoteError>,
}

pub(super) async fn connect(config: &Config, chains: Chains) -> Result<Settlers, Failure> {
    let mut connected: BTreeMap<&str, Connected> = BTreeMap::new();
    let mut locals = Vec::new();
    for (name, facilitator) in &config.facilitators {
        let accepts: Vec<&Accept> =
            config.accepts.iter().filter(|(_, by)| by.contains(name)).map(|(accept, _)| accept).collect();
        let Some(first) = accepts.first() else {
            return Err(Failure::usage(format!("facilitator.{name} settles nothing: no [[accept]] names it")));
        };
        let one = match facilitator {
            FacilitatorConfig::Local { rpc, keys, poll, settling } => {
                let network = &first.asset.network;
                let local =
                    local((name, &config.state), (rpc, keys, *poll, settling), network, &accepts, chains).await?;
                locals.push(Arc::clone(&local));
                Connected {
                    member: Member::local(name, Arc::clone(&local)),
                    probe: Some(Arc::new(local.probe())),
                    alone: local,
                    here: true,
                    versions: BTreeMap::from([(network.clone(), Versions::Both)]),
                    silent: None,
                }
            }
            FacilitatorConfig::Remote { rpc, .. } => remote(name, facilitator, rpc.as_ref(), &accepts).await?,
        };
        connected.insert(name, one);
    }
    let mut settlers = Settlers { payment_methods: Vec::new(), accepts: Vec::new(), locals };
    let mut pools: BTreeMap<&[String], Arc<dyn Facilitator>> = BTreeMap::new();
    for (accept, by) in &config.accepts {
        let members: Vec<&Connected> = by.iter().filter_map(|name| connected.get(name.as_str())).collect();
        if members.is_empty() || members.len() != by.len() {
            let symbol = &accept.asset.symbol;
            return Err(Failure::usage(format!("{symbol} is settled by a facilitator that is not there")));
        }
        // One that answers is enough to sell; the others are asked again when they are needed.
        let silent: Vec<String> = members.iter().filter_map(|one| Some(one.silent.as_ref()?.to_string())).collect();
        if silent.len() == members.len() {
            return Err(Failure::new(silent.join("; ")));
        }
        for error in silent {
            tracing::warn!(error, "a facilitator does not answer; another stands in for it");
        }
        let facilitator = match members[..] {
            [one] => Arc::clone(&one.alone),
            _ => Arc::clone(
                pools
                    .entry(by)
                    .or_insert_with(|| Arc::new(Pool::new(members.iter().map(|one| one.member.clone()).collect()))),
            ),
        };
        settlers.payment_methods.push(payment_method(accept, facilitator, &members)?);
        // What every one of them understands that could be asked.
        let network = &accept.asset.network;
        let offered = |version| {
            members.iter().filter_map(|one| one.versions.get(network)).all(|versions| versions.contains(version))
        };
        let versions = Versions::of(offered).ok_or_else(|| {
            Failure::new(format!(
                "{}: its facilitators have no x402 version in common on {network}",
                accept.asset.symbol
            ))
        })?;
        settlers.accepts.push(Accept { versions, ..accept.clone() });
    }
    Ok(settlers)
}

/// A facilitator in this process: connected to its chain, with its key.
async fn local(
    (name, state): (&str, &Path),
    (rpc, keys, poll, settling): (&Url, &[KeySource], Duration, &Settling),
    network: &Network,
    accepts: &[&Accept],
    chains: Chains,
) -> Result<Arc<Local>, Failure> {
    let read = |key: &KeySource| match key {
        KeySource::Env(name) => Key::from_env(name),
        KeySource::File(file) => Key::from_file(file),
    };
    let keys: Result<Vec<_>, _> = keys.iter().map(read).collect();
    let keys = keys.map_err(|error| Failure::usage(format!("facilitator.{name}: {error}")))?;
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
    let mut local = LocalConfig::new(rpc.clone(), network.clone(), assets, keys);
    local.chain.poll_interval = poll;
    apply(settling, &mut local);
    // One budget for all keys of a facilitator: the first names it.
    let first = local.keys.first().map(Key::address).unwrap_or_default();
    local.gas.journal = Some(state.join(format!("gas-{}-{first}.json", network.to_string().replace(':', "-"))));
    let receivers: Result<Vec<_>, _> = accepts.iter().map(|accept| accept.pay_to.parse()).collect();
    local.receivers = receivers.ok();
    let local = Local::connect(local).await.map_err(|error| failed(error.to_string()))?;
    Ok(Arc::new(local))
}

/// Puts what the operator said in the place of what is usual.
pub(in crate::cli) fn apply(settling: &Settling, local: &mut LocalConfig) {
    let (gas, sequencer) = (&mut local.gas, &mut local.sequencer);
    gas.max_fee_per_gas = settling.max_gas_price.unwrap_or(gas.max_fee_per_gas);
    gas.budget_per_day = settling.gas_budget_per_day;
    gas.low_balance = settling.low_balance;
    sequencer.confirmations = settling.confirmations.unwrap_or(sequencer.confirmations);
    sequencer.batch_delay = settling.batch_delay.unwrap_or(sequencer.batch_delay);
    sequencer.max_batch = settling.batch_payments.unwrap_or(sequencer.max_batch);
}

/// A facilitator over HTTP, asked what it supports. If it does not answer, others may stand in for it; if
/// it answers, it has to support what is configured.
async fn remote(
    name: &str,
    config: &FacilitatorConfig,
    rpc: Option<&Url>,
    accepts: &[&Accept],
) -> Result<Connected, Failure> {
    let FacilitatorConfig::Remote { url, credential, strip_query, verify_timeout, settle_timeout, .. } = config else {
        return Err(Failure::usage(format!("facilitator.{name} is not a remote one")));
    };
    let variable = |variable: &str| {
        std::env::var(variable).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
            Failure::usage(format!("facilitator.{name}: the environment variable {variable} is not set"))
        })
    };
    let mut settings = RemoteConfig::new(url.clone());
    settings.strip_query = *strip_query;
    settings.verify_timeout = *verify_timeout;
    settings.settle_timeout = *settle_timeout;
    settings.credential = match credential {
        CredentialSource::None => Credential::None,
        CredentialSource::Bearer { env } => Credential::Bearer(variable(env)?),
        CredentialSource::Cdp { id_env, secret_env } => {
            let key = CdpKey::parse(&variable(id_env)?, &variable(secret_env)?);
            Credential::Cdp(key.map_err(|error| Failure::usage(format!("facilitator.{name}: {error}")))?)
        }
    };
    let remote = Remote::new(settings).map_err(|error| Failure::usage(format!("facilitator.{name}: {error}")))?;
    let mut networks: Vec<Network> = accepts.iter().map(|accept| accept.asset.network.clone()).collect();
    networks.sort();
    networks.dedup();
    let (versions, silent) = match remote.versions("exact", &networks).await {
        Ok(versions) => (networks.iter().cloned().zip(versions).collect(), None),
        Err(error @ RemoteError::Asked { .. }) => (BTreeMap::new(), Some(error)),
        Err(error) => return Err(Failure::new(format!("facilitator.{name}: {error}"))),
    };
    for (network, versions) in &versions {
        for version in Version::ALL {
            if network.is_named_in(version) && !Versions::contains(*versions, version) {
                let number = version.number();
                tracing::warn!(facilitator = name, %network, "it settles no x402 version {number}: not offered");
            }
        }
    }
    let probe = match rpc {
        Some(rpc) => Some(Arc::new(probe(name, rpc, &networks).await?)),
        None => None,
    };
    let member = Member::remote(name, Arc::new(remote), CircuitSettings::default());
    let alone = Arc::new(Pool::new(vec![member.clone()]));
    Ok(Connected { member, alone, here: false, probe, versions, silent })
}

/// Reads the chain that a remote facilitator settles on.
async fn probe(name: &str, rpc: &Url, networks: &[Network]) -> Result<SettlementProbe, Failure> {
    let [network] = networks else {
        return Err(Failure::usage(format!(
            "facilitator.{name}: `rpc` reads one chain, and it settles on several: write one facilitator for each"
        )));
    };
    let Some(chain_id) = network.chain_id() else {
        return Err(Failure::usage(format!("facilitator.{name}: `rpc` reads EVM chains, and {network} is none")));
    };
    let chain = Chain::connect(rpc, chain_id, ChainSettings::default())
        .await
        .map_err(|error| Failure::new(format!("facilitator.{name}: {error}")))?;
    Ok(SettlementProbe::new(Arc::new(chain), 1))
}

fn payment_method(
    accept: &Accept,
    facilitator: Arc<dyn Facilitator>,
    members: &[&Connected],
) -> Result<PaymentMethod, Failure> {
    let asset = &accept.asset;
    let described = asset.eip712.as_ref().zip(asset.network.chain_id()).zip(asset.address.parse().ok());
    let ((domain, chain_id), contract) = described.ok_or_else(|| {
        Failure::usage(format!(
            "{} on {} cannot be paid by EIP-3009: its EIP-712 domain is not known",
            asset.symbol, asset.network
        ))
    })?;
    Ok(PaymentMethod {
        asset: Arc::clone(asset),
        contract,
        domain: Domain::new(&domain.name, &domain.version, chain_id, contract),
        facilitator: breakable(facilitator),
        contract_payers: members.iter().all(|one| one.here),
        batches: members.iter().any(|one| one.here),
        probe: members.iter().find_map(|one| one.probe.clone()),
        max_unsettled: accept.max_unsettled,
    })
}

/// With fault points, if this host has any.
fn breakable(facilitator: Arc<dyn Facilitator>) -> Arc<dyn Facilitator> {
    #[cfg(feature = "fault-points")]
    if crate::fault_points::is_armed() {
        return Arc::new(crate::fault_points::facilitator::CrashingFacilitator(facilitator));
    }
    facilitator
}

/// Whether the embedded chain answers there. A node that does not answer is not it; what it is, the
/// connection that follows will say.
async fn embedded(rpc: &Url) -> bool {
    let provider = alloy::providers::ProviderBuilder::new().connect_http(rpc.clone());
    let asked = tokio::time::timeout(Duration::from_secs(5), coinslot_evm::is_devnet(&provider));
    matches!(asked.await, Ok(Ok(true)))
}
