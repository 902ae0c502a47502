//! Puts a host together from its configuration: everything but binding a port.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use comfy_table::{Table, presets};

use super::Failure;
use crate::catalog::{Accept, Catalog, Folder, Policy, Report};
use crate::chain::devnet;
use crate::chain::evm::{Chain, ChainSettings, Key};
use crate::config::{Config, CredentialSource, FacilitatorConfig, KeySource};
use crate::facilitator::cdp::CdpKey;
use crate::facilitator::local::{Local, LocalConfig};
use crate::facilitator::pool::{CircuitSettings, Member, Pool};
use crate::facilitator::remote::{Credential, Remote, RemoteConfig, RemoteError};
use crate::facilitator::{Facilitator, Witness};
use crate::ledger::{Embedded, Ledger, Retention};
use crate::payment::{Tender, Till, TillConfig};
use crate::plugin::{Runtime, RuntimeConfig};
use crate::price::Asset;
use crate::serve::{Front, Hosts};
use crate::x402::exact::Domain;
use crate::x402::{UnixTime, Version};

/// Whether the embedded chain may stand behind a facilitator: only `coinslot dev` says yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chains {
    /// Chains that other people see.
    Real,
    /// The embedded one too.
    Devnet,
}

/// A host that is not listening yet.
pub(super) struct Assembled {
    pub(super) live: Arc<ArcSwap<Catalog>>,
    pub(super) folder: Folder,
    pub(super) tenders: Vec<Tender>,
    pub(super) report: Report,
}

impl Assembled {
    /// The till and the front, on this ledger.
    pub(super) fn open(&self, config: &Config, ledger: Arc<dyn Ledger>) -> Result<(Arc<Till>, Arc<Front>), Failure> {
        #[cfg(feature = "fault-points")]
        let ledger: Arc<dyn Ledger> =
            if crate::crash::is_armed() { Arc::new(crate::ledger::crash::Crashing(ledger)) } else { ledger };
        let till = Till::new(
            self.tenders.clone(),
            ledger,
            TillConfig {
                keep_answer_bytes: config.keep_answer_bytes,
                retention: Retention { answers: config.keep_answers, payments: config.keep_payments },
                quote_key: quote_key(&config.state.join("quote.key"))?,
                clock: || UnixTime::from(SystemTime::now()),
            },
        );
        let front = Front::new(Arc::clone(&self.live), Arc::clone(&till), hosts(config));
        Ok((till, Arc::new(front)))
    }
}

/// Checks the chains and facilitators, and loads the plugins once.
pub(super) async fn assemble(config: &Config, public_url: &str, chains: Chains) -> Result<Assembled, Failure> {
    let tenders = tenders(config, chains).await?;
    let state = &config.state;
    std::fs::create_dir_all(state).map_err(|error| Failure::new(format!("{}: {error}", state.display())))?;
    let runtime = RuntimeConfig {
        instances: config.instances,
        compiler: std::env::current_exe().ok(),
        ..RuntimeConfig::new(state.join("artifacts"))
    };
    let runtime =
        Runtime::new(runtime).map_err(|error| Failure::new(format!("the plugin runtime cannot start: {error}")))?;
    let policy = Policy {
        accepts: config.accepts.iter().map(|(accept, _)| accept.clone()).collect(),
        public_url: public_url.to_owned(),
        flows: config.flows.clone(),
    };
    let live = Arc::new(ArcSwap::from_pointee(Catalog::empty(public_url)));
    let mut folder = Folder::new(config.plugins.clone(), runtime, config.limits.clone(), policy, Arc::clone(&live));
    let report = settled(&mut folder).await?;
    Ok(Assembled { live, folder, tenders, report })
}

/// Scans until nothing is changing any more, at most a few seconds.
async fn settled(folder: &mut Folder) -> Result<Report, Failure> {
    let mut all = Report::default();
    for _ in 0..20 {
        let report = folder.scan().await.map_err(|error| {
            Failure::new(format!("the plugin folder {} cannot be read: {error}", folder.dir().display()))
        })?;
        all.loaded.extend(report.loaded);
        all.failed.extend(report.failed);
        if !report.unsettled {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(all)
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
    witness: Option<Arc<Witness>>,
    /// Why it could not be asked what it supports.
    silent: Option<RemoteError>,
}

/// Connects every facilitator, and refuses one that cannot settle what is configured.
async fn tenders(config: &Config, chains: Chains) -> Result<Vec<Tender>, Failure> {
    let mut facilitators: BTreeMap<&str, Connected> = BTreeMap::new();
    for (name, facilitator) in &config.facilitators {
        let accepts: Vec<&Accept> =
            config.accepts.iter().filter(|(_, by)| by.contains(name)).map(|(accept, _)| accept).collect();
        if accepts.is_empty() {
            return Err(Failure::usage(format!("facilitator.{name} settles nothing: no [[accept]] names it")));
        }
        let connected = match facilitator {
            FacilitatorConfig::Local { rpc, key, poll } => {
                let local = Arc::new(local(name, &accepts, (rpc, key, *poll), chains).await?);
                let member = Member::local(name, Arc::clone(&local));
                let witness = Some(Arc::new(local.witness()));
                Connected { member, alone: local, here: true, witness, silent: None }
            }
            FacilitatorConfig::Remote { rpc, .. } => {
                let (remote, silent) = remote(name, &accepts, facilitator).await?;
                let remote = Arc::new(remote);
                let member = Member::remote(name, Arc::clone(&remote), CircuitSettings::default());
                let alone = Arc::new(Pool::new(vec![member.clone()]));
                let witness = match rpc {
                    Some(rpc) => Some(Arc::new(witness(name, rpc, &accepts).await?)),
                    None => None,
                };
                Connected { member, alone, here: false, witness, silent }
            }
        };
        facilitators.insert(name, connected);
    }
    let mut pools: BTreeMap<&[String], Arc<dyn Facilitator>> = BTreeMap::new();
    let mut tenders = Vec::new();
    for (accept, by) in &config.accepts {
        let members: Vec<&Connected> = by.iter().filter_map(|name| facilitators.get(name.as_str())).collect();
        if members.is_empty() || members.len() != by.len() {
            return Err(Failure::usage(format!(
                "{} is settled by a facilitator that is not there",
                accept.asset.symbol
            )));
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
        let asset = &accept.asset;
        let described = asset.eip712.as_ref().zip(asset.network.chain_id()).zip(asset.address.parse().ok());
        let ((domain, chain_id), contract) = described.ok_or_else(|| {
            Failure::usage(format!(
                "{} on {} cannot be paid by EIP-3009: its EIP-712 domain is not known",
                asset.symbol, asset.network
            ))
        })?;
        tenders.push(Tender {
            asset: Arc::clone(asset),
            contract,
            domain: Domain::new(&domain.name, &domain.version, chain_id, contract),
            facilitator: breakable(&facilitator),
            contract_payers: members.iter().all(|one| one.here),
            batches: members.iter().any(|one| one.here),
            witness: members.iter().find_map(|one| one.witness.clone()),
            max_unsettled: accept.max_unsettled,
        });
    }
    Ok(tenders)
}

/// The key that proves quotes, made at the first start: a quote outlives a restart.
fn quote_key(file: &Path) -> Result<[u8; 32], Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    match std::fs::read(file) {
        Ok(bytes) => bytes
            .try_into()
            .map_err(|_| Failure::new(format!("{}: not 32 bytes; remove it and a new one is made", file.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = secp256k1::rand::random::<[u8; 32]>();
            let mut made =
                std::fs::File::options().create_new(true).write(true).mode(0o600).open(file).map_err(failed)?;
            made.write_all(&key).and_then(|()| made.sync_all()).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

/// With fault points, if this host has any.
fn breakable(facilitator: &Arc<dyn Facilitator>) -> Arc<dyn Facilitator> {
    #[cfg(feature = "fault-points")]
    if crate::crash::is_armed() {
        return Arc::new(crate::facilitator::crash::Crashing(Arc::clone(facilitator)));
    }
    Arc::clone(facilitator)
}

/// Reads the chain that a remote facilitator settles on.
async fn witness(name: &str, rpc: &url::Url, accepts: &[&Accept]) -> Result<Witness, Failure> {
    let networks: Vec<_> = accepts.iter().map(|accept| &accept.asset.network).collect();
    let chain_id = networks[0].chain_id();
    let (Some(chain_id), true) = (chain_id, networks.iter().all(|network| *network == networks[0])) else {
        return Err(Failure::usage(format!(
            "facilitator.{name}: `rpc` reads one chain, and it settles on several: write one facilitator for each"
        )));
    };
    let chain = Chain::connect(rpc, chain_id, ChainSettings::default())
        .await
        .map_err(|error| Failure::new(format!("facilitator.{name}: {error}")))?;
    Ok(Witness::new(Arc::new(chain), 1))
}

/// Connects a facilitator in this process: to its chain, with its key.
async fn local(
    name: &str,
    accepts: &[&Accept],
    (rpc, key, poll): (&url::Url, &KeySource, Duration),
    chains: Chains,
) -> Result<Local, Failure> {
    let key = match key {
        KeySource::Env(name) => Key::from_env(name),
        KeySource::File(file) => Key::from_file(file),
    };
    let key = key.map_err(|error| Failure::usage(format!("facilitator.{name}: {error}")))?;
    let Some(network) = accepts.first().map(|accept| accept.asset.network.clone()) else {
        return Err(Failure::usage(format!("facilitator.{name} settles nothing")));
    };
    if let Some(other) = accepts.iter().find(|accept| accept.asset.network != network) {
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
    let mut local = LocalConfig::new(rpc.clone(), network, assets, key);
    local.chain.poll_interval = poll;
    let receivers: Result<Vec<_>, _> = accepts.iter().map(|accept| accept.pay_to.parse()).collect();
    local.receivers = receivers.ok();
    let local = Local::connect(local).await.map_err(|error| Failure::new(format!("facilitator.{name}: {error}")))?;
    match local.gas().await {
        Ok(gas) if gas.balance.is_zero() => tracing::warn!(
            wallet = %gas.address, "the gas wallet is empty: nothing can be settled until it is funded"
        ),
        Ok(_) => {}
        Err(error) => return Err(Failure::new(format!("facilitator.{name}: {error}"))),
    }
    Ok(local)
}

/// Connects a facilitator over HTTP, and asks it what it supports. If it does not answer, others may
/// stand in for it; if it answers, it has to support what is configured.
async fn remote(
    name: &str,
    accepts: &[&Accept],
    config: &FacilitatorConfig,
) -> Result<(Remote, Option<RemoteError>), Failure> {
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
    for accept in accepts {
        let network = &accept.asset.network;
        let versions: &[Version] =
            if network.v1_name().is_some() { &[Version::V2, Version::V1] } else { &[Version::V2] };
        for version in versions {
            match remote.require(*version, "exact", network).await {
                Ok(()) => {}
                Err(error @ RemoteError::Asked { .. }) => return Ok((remote, Some(error))),
                // Without version 1 legacy clients cannot pay; the others can.
                Err(error) if *version == Version::V1 => {
                    tracing::warn!(%error, "version 1 payments will be refused")
                }
                Err(error) => return Err(Failure::new(format!("facilitator.{name}: {error}"))),
            }
        }
    }
    Ok((remote, None))
}

/// Whether the embedded chain answers there. A node that does not answer is not it; what it is, the
/// connection that follows will say.
async fn embedded(rpc: &url::Url) -> bool {
    let provider = alloy::providers::ProviderBuilder::new().connect_http(rpc.clone());
    let asked = tokio::time::timeout(std::time::Duration::from_secs(5), devnet::is_devnet(&provider));
    matches!(asked.await, Ok(Ok(true)))
}

/// Opens the ledger beside the other state.
pub(super) fn ledger(file: &Path) -> Result<Arc<dyn Ledger>, Failure> {
    let ledger = Embedded::open(file).map_err(|error| Failure::new(error.to_string()))?;
    Ok(Arc::new(ledger))
}

/// With a public address, other host names are refused; without, a name decides nothing. Some clients
/// write the port even where it is the scheme's own.
fn hosts(config: &Config) -> Hosts {
    let Some((scheme, name)) = config.public_url.as_deref().and_then(|url| url.split_once("://")) else {
        return Hosts::Any;
    };
    let port = if scheme == "https" { 443 } else { 80 };
    let own = [name.to_ascii_lowercase(), format!("{}:{port}", name.to_ascii_lowercase())];
    Hosts::Only(own.into_iter().chain(config.hosts.iter().cloned()).collect())
}

/// The routes with their prices.
pub(super) fn routes(catalog: &Catalog) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["METHOD", "PATH", "PRICE", "PLUGIN", "WHAT IT DOES"]);
    for installed in catalog.installed() {
        for endpoint in &installed.endpoints {
            let info = installed.plugin.info();
            table.add_row([
                endpoint.method.to_string(),
                endpoint.path.clone(),
                endpoint.access.display(),
                format!("{} {}", info.name, info.version),
                endpoint.summary.clone(),
            ]);
        }
    }
    table
}
