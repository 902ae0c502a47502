//! Connects every facilitator of the configuration, and refuses a facilitator that cannot settle the assets that name
//! it.

mod local;
mod remote;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy::primitives::Address;
use coinslot_facilitator::local::Local;
use coinslot_facilitator::pool::{FacilitatorPool, Member};
use coinslot_facilitator::remote::RemoteError;
use coinslot_facilitator::{CallObserver, Calls, Facilitator, Seller, SettlementProbe};
use coinslot_x402::exact::Domain;
use coinslot_x402::price::Accept;
use coinslot_x402::{Network, Versions};

use super::error::HostError;
use crate::config::{AcceptConfig, Config, FacilitatorConfig};
use crate::payment::PaymentMethod;

use self::local::SettlingFor;

pub use self::local::{Chains, configure_settlement};

/// The connected facilitators, by what they settle.
#[derive(Debug)]
pub struct Facilitators {
    pub(super) payment_methods: Vec<PaymentMethod>,
    /// The assets that are taken, in the x402 versions that their facilitators understand.
    pub(super) accepts: Vec<Accept>,
    /// The facilitators in this process, by name.
    pub(super) locals: BTreeMap<String, Arc<Local>>,
}

impl Facilitators {
    /// Has the facilitators in this process settle payments to these receivers, too, from now on.
    pub(super) fn settle_for(&self, receivers: &[Address]) {
        self.locals.values().for_each(|local| local.also_for(receivers));
    }
}

/// One facilitator that is named in the configuration.
struct Connection {
    member: Member,
    /// The facilitator as it is used when it has no substitute.
    alone: Arc<dyn Facilitator>,
    /// Set for a facilitator in this process. It can ask a contract at the payer's address, and it may settle several
    /// payments in one transaction.
    local: Option<Arc<Local>>,
    /// Reads the chain that it settles on.
    probe: Option<Arc<SettlementProbe>>,
    /// The x402 versions that it understands.
    versions: BTreeMap<Network, Versions>,
    /// The reason why it could not be asked for the kinds of payment that it supports.
    silent: Option<RemoteError>,
}

/// The connected facilitators, and the reasons why others are not connected.
pub(super) struct Attempt {
    pub(super) facilitators: Facilitators,
    /// Each reason once, in the order of the configuration.
    pub(super) problems: Vec<HostError>,
}

/// Connects all facilitators. A facilitator over HTTP may be down if another one settles the same assets.
pub(super) async fn connect(
    config: &Config,
    chains: Chains,
    seller: Seller,
    observer: Option<Arc<dyn CallObserver>>,
) -> Result<Facilitators, HostError> {
    let Attempt { facilitators, problems } = try_connect(config, chains, seller, observer).await;
    HostError::joined(problems).map_or(Ok(facilitators), Err)
}

/// Connects the facilitators that can be connected. An asset that no connected facilitator settles is offered as it is
/// configured, and has no payment method: with a problem, the result serves for checks alone.
pub(super) async fn try_connect(
    config: &Config,
    chains: Chains,
    seller: Seller,
    observer: Option<Arc<dyn CallObserver>>,
) -> Attempt {
    let (connections, mut problems) = connections(config, chains, seller, observer).await;
    let mut pools: BTreeMap<&[String], Arc<dyn Facilitator>> = BTreeMap::new();
    let (mut payment_methods, mut accepts) = (Vec::new(), Vec::new());
    for AcceptConfig { accept, facilitators } in &config.payment.accepts {
        // What a facilitator lacks that has a problem is known.
        let has_problem =
            |name: &String| config.payment.facilitators.contains_key(name) && !connections.contains_key(name.as_str());
        if facilitators.iter().any(has_problem) {
            accepts.push(accept.clone());
            continue;
        }
        match settling(accept, facilitators, &connections, &mut pools) {
            Ok((method, versions)) => {
                payment_methods.push(method);
                accepts.push(Accept { versions, ..accept.clone() });
            }
            Err(problem) => {
                problems.push(problem);
                accepts.push(accept.clone());
            }
        }
    }
    // A facilitator that is silent is so for each of its assets.
    let mut said = BTreeSet::new();
    problems.retain(|problem| said.insert(problem.to_string()));
    let locals = connections.into_iter().filter_map(|(name, connection)| Some((name.to_owned(), connection.local?)));
    let locals = locals.collect();
    Attempt { facilitators: Facilitators { payment_methods, accepts, locals }, problems }
}

/// The way in which an asset is settled, and the x402 versions in which it is offered.
fn settling<'c>(
    accept: &Accept,
    names: &'c [String],
    connections: &BTreeMap<&str, Connection>,
    pools: &mut BTreeMap<&'c [String], Arc<dyn Facilitator>>,
) -> Result<(PaymentMethod, Versions), HostError> {
    let members = members(accept, names, connections)?;
    let facilitator = match members[..] {
        [only] => Arc::clone(&only.alone),
        // Assets with the same facilitators share a pool, and with it the memory of where a payment was sent.
        _ => {
            let pool = || Arc::new(FacilitatorPool::new(members.iter().map(|one| one.member.clone()).collect()));
            Arc::clone(pools.entry(names).or_insert_with(|| pool()))
        }
    };
    Ok((payment_method(accept, facilitator, &members)?, versions(accept, &members)?))
}

/// Connects each facilitator. Those with a problem are not among the connections.
async fn connections(
    config: &Config,
    chains: Chains,
    seller: Seller,
    observer: Option<Arc<dyn CallObserver>>,
) -> (BTreeMap<&str, Connection>, Vec<HostError>) {
    let (mut connections, mut problems) = (BTreeMap::new(), Vec::new());
    for (name, facilitator) in &config.payment.facilitators {
        let of_it = config.payment.accepts.iter().filter(|entry| entry.facilitators.contains(name));
        let accepts: Vec<&Accept> = of_it.map(|entry| &entry.accept).collect();
        if accepts.is_empty() {
            let problem = format!("facilitator.{name} settles nothing: no [[accept]] names it");
            problems.push(HostError::Config(problem));
            continue;
        }
        let calls = Calls::of(name, observer.clone());
        let connection = match facilitator {
            FacilitatorConfig::Local(local) => {
                local::connect(name, local, &accepts, &config.state, SettlingFor { chains, seller, calls }).await
            }
            FacilitatorConfig::Remote(remote) => {
                remote::connect(name, remote, &accepts, SettlingFor { chains, seller, calls }).await
            }
        };
        match connection {
            Ok(connection) => {
                connections.insert(name.as_str(), connection);
            }
            Err(problem) => problems.push(problem),
        }
    }
    (connections, problems)
}

/// The connections that settle an asset. One facilitator that answers is enough to sell; the others are asked again
/// when they are needed.
fn members<'c>(
    accept: &Accept,
    names: &[String],
    connections: &'c BTreeMap<&str, Connection>,
) -> Result<Vec<&'c Connection>, HostError> {
    let members: Vec<&Connection> = names.iter().filter_map(|name| connections.get(name.as_str())).collect();
    if members.is_empty() || members.len() != names.len() {
        let symbol = &accept.asset.symbol;
        return Err(HostError::Config(format!("{symbol} is settled by a facilitator that is not there")));
    }
    let silent: Vec<String> = members.iter().filter_map(|one| Some(one.silent.as_ref()?.to_string())).collect();
    if silent.len() == members.len() {
        return Err(HostError::Facilitator(silent.join("; ")));
    }
    for error in silent {
        tracing::warn!(error, "a facilitator does not answer; another one takes its place");
    }
    Ok(members)
}

/// The versions that every member understands that could be asked.
fn versions(accept: &Accept, members: &[&Connection]) -> Result<Versions, HostError> {
    let network = &accept.asset.network;
    let offered =
        |version| members.iter().filter_map(|one| one.versions.get(network)).all(|versions| versions.contains(version));
    Versions::of(offered).ok_or_else(|| {
        let symbol = &accept.asset.symbol;
        HostError::Facilitator(format!("{symbol}: its facilitators have no x402 version in common on {network}"))
    })
}

fn payment_method(
    accept: &Accept,
    facilitator: Arc<dyn Facilitator>,
    members: &[&Connection],
) -> Result<PaymentMethod, HostError> {
    let asset = &accept.asset;
    let described = asset.eip712.as_ref().zip(asset.network.chain_id()).zip(asset.address.parse().ok());
    let ((domain, chain_id), contract) = described.ok_or_else(|| {
        HostError::Config(format!(
            "{} on {} cannot be paid by EIP-3009: its EIP-712 domain is not known",
            asset.symbol, asset.network
        ))
    })?;
    let is_local = members.iter().all(|one| one.local.is_some());
    let probe = members.iter().find_map(|one| one.probe.as_deref().cloned());
    let probe = probe.map(|probe| Arc::new(if is_local { probe } else { probe.with_facilitators() }));
    Ok(PaymentMethod {
        asset: Arc::clone(asset),
        contract,
        domain: Domain::new(&domain.name, &domain.version, chain_id, contract),
        facilitator: with_fault_points(facilitator),
        // `all`, because any member may have to verify the payment.
        contract_payers: is_local,
        probe,
        max_unsettled: accept.max_unsettled,
    })
}

/// Wraps the facilitator in crash points when they are armed, which only tests do.
fn with_fault_points(facilitator: Arc<dyn Facilitator>) -> Arc<dyn Facilitator> {
    #[cfg(feature = "fault-points")]
    if crate::fault_points::is_armed() {
        return Arc::new(crate::fault_points::facilitator::CrashingFacilitator(facilitator));
    }
    facilitator
}
