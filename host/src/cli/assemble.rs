//! Puts a host together from its configuration: everything but binding a port.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use comfy_table::{Table, presets};

use super::Failure;
use crate::catalog::{Accept, Catalog, Folder, Policy, Report};
use crate::chain::devnet;
use crate::chain::evm::Key;
use crate::config::{Config, FacilitatorConfig, KeySource, Settling};
use crate::facilitator::Facilitator;
use crate::facilitator::local::{Local, LocalConfig};
use crate::facilitator::remote::{Remote, RemoteConfig};
use crate::ledger::{Embedded, Ledger};
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
    pub(super) fn open(&self, config: &Config, ledger: Arc<dyn Ledger>) -> (Arc<Till>, Arc<Front>) {
        let till = Till::new(
            self.tenders.clone(),
            ledger,
            TillConfig {
                keep_answer_bytes: config.keep_answer_bytes,
                keep_answers: config.keep_answers,
                clock: || UnixTime::from(SystemTime::now()),
            },
        );
        let front = Front::new(Arc::clone(&self.live), Arc::clone(&till), hosts(config));
        (till, Arc::new(front))
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

/// Connects every facilitator, and refuses one that cannot settle what is configured.
async fn tenders(config: &Config, chains: Chains) -> Result<Vec<Tender>, Failure> {
    let mut facilitators: BTreeMap<&str, (Arc<dyn Facilitator>, bool)> = BTreeMap::new();
    for (name, facilitator) in &config.facilitators {
        let accepts: Vec<&Accept> =
            config.accepts.iter().filter(|(_, by)| by == name).map(|(accept, _)| accept).collect();
        let Some(first) = accepts.first() else {
            return Err(Failure::usage(format!("facilitator.{name} settles nothing: no [[accept]] names it")));
        };
        let connected: (Arc<dyn Facilitator>, bool) = match facilitator {
            FacilitatorConfig::Local { rpc, keys, poll, settling } => {
                let keys: Result<Vec<_>, _> = keys
                    .iter()
                    .map(|key| match key {
                        KeySource::Env(name) => Key::from_env(name),
                        KeySource::File(file) => Key::from_file(file),
                    })
                    .collect();
                let keys = keys.map_err(|error| Failure::usage(format!("facilitator.{name}: {error}")))?;
                let network = first.asset.network.clone();
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
                let mut local = LocalConfig::new(rpc.clone(), network, assets, keys);
                local.chain.poll_interval = *poll;
                apply(settling, &mut local);
                let receivers: Result<Vec<_>, _> = accepts.iter().map(|accept| accept.pay_to.parse()).collect();
                local.receivers = receivers.ok();
                let local = Local::connect(local)
                    .await
                    .map_err(|error| Failure::new(format!("facilitator.{name}: {error}")))?;
                match local.gas().await {
                    Ok(gas) if gas.balance.is_zero() => tracing::warn!(
                        wallet = %gas.address, "the gas wallet is empty: nothing can be settled until it is funded"
                    ),
                    Ok(_) => {}
                    Err(error) => return Err(Failure::new(format!("facilitator.{name}: {error}"))),
                }
                (Arc::new(local), true)
            }
            FacilitatorConfig::Remote { url, bearer_env } => {
                let mut remote = RemoteConfig::new(url.clone());
                if let Some(variable) = bearer_env {
                    let token = std::env::var(variable).ok().filter(|token| !token.is_empty());
                    remote.bearer = Some(token.ok_or_else(|| {
                        Failure::usage(format!("facilitator.{name}: the environment variable {variable} is not set"))
                    })?);
                }
                let remote =
                    Remote::new(remote).map_err(|error| Failure::usage(format!("facilitator.{name}: {error}")))?;
                for accept in &accepts {
                    let network = &accept.asset.network;
                    let versions: &[Version] =
                        if network.v1_name().is_some() { &[Version::V2, Version::V1] } else { &[Version::V2] };
                    for version in versions {
                        match remote.require(*version, "exact", network).await {
                            Ok(()) => {}
                            // Without version 1 legacy clients cannot pay; the others can.
                            Err(error) if *version == Version::V1 => {
                                tracing::warn!(%error, "version 1 payments will be refused")
                            }
                            Err(error) => return Err(Failure::new(format!("facilitator.{name}: {error}"))),
                        }
                    }
                }
                (Arc::new(remote), false)
            }
        };
        facilitators.insert(name, connected);
    }
    let mut tenders = Vec::new();
    for (accept, by) in &config.accepts {
        let (facilitator, contract_payers) =
            facilitators.get(by.as_str()).ok_or_else(|| Failure::usage(format!("there is no facilitator.{by}")))?;
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
            facilitator: Arc::clone(facilitator),
            contract_payers: *contract_payers,
        });
    }
    Ok(tenders)
}

/// Puts what the operator said in the place of what is usual.
fn apply(settling: &Settling, local: &mut LocalConfig) {
    let (gas, sequencer) = (&mut local.gas, &mut local.sequencer);
    gas.max_fee_per_gas = settling.max_gas_price.unwrap_or(gas.max_fee_per_gas);
    gas.budget_per_day = settling.gas_budget_per_day;
    gas.low_balance = settling.low_balance;
    sequencer.confirmations = settling.confirmations.unwrap_or(sequencer.confirmations);
    sequencer.batch_delay = settling.batch_delay.unwrap_or(sequencer.batch_delay);
    sequencer.max_batch = settling.batch_payments.unwrap_or(sequencer.max_batch);
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

/// With a public address, other host names are refused; without, a name decides nothing.
fn hosts(config: &Config) -> Hosts {
    match &config.public_url {
        None => Hosts::Any,
        Some(url) => {
            let name = url.split_once("://").map_or(url.as_str(), |(_, name)| name);
            Hosts::Only(std::iter::once(name.to_ascii_lowercase()).chain(config.hosts.iter().cloned()).collect())
        }
    }
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
