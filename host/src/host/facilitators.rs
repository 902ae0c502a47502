//! Connects every facilitator of the configuration, and refuses a facilitator that cannot settle the assets that name
//! it.

mod local;
mod remote;

use std::collections::BTreeMap;
use std::sync::Arc;

use coinslot_facilitator::local::Local;
use coinslot_facilitator::pool::{FacilitatorPool, Member};
use coinslot_facilitator::remote::RemoteError;
use coinslot_facilitator::{Facilitator, Seller, SettlementProbe};
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

/// Connects all facilitators. A facilitator over HTTP may be down if another one settles the same assets.
pub(super) async fn connect(config: &Config, chains: Chains, seller: Seller) -> Result<Facilitators, HostError> {
    let connections = connections(config, chains, seller).await?;
    let mut pools: BTreeMap<&[String], Arc<dyn Facilitator>> = BTreeMap::new();
    let (mut payment_methods, mut accepts) = (Vec::new(), Vec::new());
    for AcceptConfig { accept, facilitators } in &config.payment.accepts {
        let members = members(accept, facilitators, &connections)?;
        let facilitator = match members[..] {
            [only] => Arc::clone(&only.alone),
            // Assets with the same facilitators share a pool, and with it the memory of where a payment was sent.
            _ => {
                let pool = || Arc::new(FacilitatorPool::new(members.iter().map(|one| one.member.clone()).collect()));
                Arc::clone(pools.entry(facilitators).or_insert_with(|| pool()))
            }
        };
        payment_methods.push(payment_method(accept, facilitator, &members)?);
        accepts.push(Accept { versions: versions(accept, &members)?, ..accept.clone() });
    }
    let locals = connections.into_iter().filter_map(|(name, connection)| Some((name.to_owned(), connection.local?)));
    let locals = locals.collect();
    Ok(Facilitators { payment_methods, accepts, locals })
}

async fn connections(config: &Config, chains: Chains, seller: Seller) -> Result<BTreeMap<&str, Connection>, HostError> {
    let mut connections = BTreeMap::new();
    for (name, facilitator) in &config.payment.facilitators {
        let of_it = config.payment.accepts.iter().filter(|entry| entry.facilitators.contains(name));
        let accepts: Vec<&Accept> = of_it.map(|entry| &entry.accept).collect();
        if accepts.is_empty() {
            return Err(HostError::Config(format!("facilitator.{name} settles nothing: no [[accept]] names it")));
        }
        let connection = match facilitator {
            FacilitatorConfig::Local(local) => {
                local::connect(name, local, &accepts, &config.state, SettlingFor { chains, seller }).await?
            }
            FacilitatorConfig::Remote(remote) => remote::connect(name, remote, &accepts, seller).await?,
        };
        connections.insert(name.as_str(), connection);
    }
    Ok(connections)
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
