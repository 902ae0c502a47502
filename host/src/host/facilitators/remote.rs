//! Connects a facilitator over HTTP, and asks it what it supports.

use std::collections::BTreeMap;
use std::sync::Arc;

use coinslot_evm::{Chain, ChainSettings, default_confirmations};
use coinslot_facilitator::SettlementProbe;
use coinslot_facilitator::cdp::CdpKey;
use coinslot_facilitator::pool::{FacilitatorPool, MEMBER_BREAKER, Member};
use coinslot_facilitator::remote::{Credential, Remote, RemoteConfig, RemoteError};
use coinslot_x402::price::Accept;
use coinslot_x402::{Network, Version, Versions};
use url::Url;

use super::Connection;
use super::local::SettlingFor;
use crate::config::{CredentialSource, KeySource, RemoteFacilitator};
use crate::host::error::HostError;
use crate::host::keys;

/// A facilitator that does not answer is [`Connection::silent`]; a facilitator that answers has to support every
/// network that names it.
pub(super) async fn connect(
    name: &str,
    config: &RemoteFacilitator,
    accepts: &[&Accept],
    settling: SettlingFor,
) -> Result<Connection, HostError> {
    let mut settings = RemoteConfig::new(config.url.clone());
    settings.strip_query = config.strip_query;
    settings.verify_timeout = config.verify_timeout;
    settings.settle_timeout = config.settle_timeout;
    settings.calls = settling.calls.clone();
    settings.credential = credential(name, &config.credential)?;
    let remote = Remote::new(settings).map_err(|error| HostError::misconfigured(name, error))?;
    let mut networks: Vec<Network> = accepts.iter().map(|accept| accept.asset.network.clone()).collect();
    networks.sort();
    networks.dedup();
    let (versions, silent) = match remote.versions("exact", &networks).await {
        Ok(versions) => (networks.iter().cloned().zip(versions).collect(), None),
        Err(error @ RemoteError::Asked { .. }) => (BTreeMap::new(), Some(error)),
        Err(error) => return Err(HostError::unavailable(name, error)),
    };
    warn_of_missing_versions(name, &versions);
    let probe = match &config.rpc {
        Some(rpc) => Some(Arc::new(probe(name, config, rpc, accepts, &networks, settling).await?)),
        None => None,
    };
    let member = Member::remote(name, Arc::new(remote), MEMBER_BREAKER);
    // A pool of one member has the circuit breaker, and remembers unknown settlements.
    let alone = Arc::new(FacilitatorPool::new(vec![member.clone()]));
    Ok(Connection { member, alone, local: None, probe, versions, silent })
}

fn credential(facilitator: &str, source: &CredentialSource) -> Result<Credential, HostError> {
    let misconfigured = |problem: String| HostError::misconfigured(facilitator, problem);
    let variable = |name: &str| {
        let text = keys::text(&KeySource::Env(name.to_owned())).ok().filter(|value| !value.is_empty());
        text.ok_or_else(|| misconfigured(format!("the environment variable {name} is not set")))
    };
    Ok(match source {
        CredentialSource::None => Credential::None,
        CredentialSource::Bearer { env } => Credential::Bearer(variable(env)?),
        CredentialSource::Cdp { id_env, secret_env } => {
            let key = CdpKey::parse(&variable(id_env)?, &variable(secret_env)?);
            Credential::Cdp(key.map_err(|error| misconfigured(error.to_string()))?)
        }
    })
}

fn warn_of_missing_versions(name: &str, versions: &BTreeMap<Network, Versions>) {
    for (network, versions) in versions {
        for version in Version::ALL {
            if network.is_named_in(version) && !Versions::contains(*versions, version) {
                let number = version.number();
                tracing::warn!(facilitator = name, %network, "it settles no x402 version {number}: not offered");
            }
        }
    }
}

/// Reads the chain that a remote facilitator settles on.
async fn probe(
    name: &str,
    config: &RemoteFacilitator,
    rpc: &Url,
    accepts: &[&Accept],
    networks: &[Network],
    SettlingFor { seller, calls, .. }: SettlingFor,
) -> Result<SettlementProbe, HostError> {
    let [network] = networks else {
        let problem = "`rpc` reads one chain, and it settles on several: write one facilitator for each";
        return Err(HostError::misconfigured(name, problem));
    };
    let Some(chain_id) = network.chain_id() else {
        return Err(HostError::misconfigured(name, format!("`rpc` reads EVM chains, and {network} is none")));
    };
    let chain = Chain::connect(rpc, chain_id, ChainSettings::default()).await;
    let chain = chain.map_err(|error| HostError::unavailable(name, error))?;
    // A wrong contract or domain would make every settlement fail.
    for accept in accepts {
        coinslot_facilitator::local::check_token(&chain, &accept.asset)
            .await
            .map_err(|error| HostError::misconfigured(name, error))?;
    }
    let confirmations = config.confirmations.unwrap_or_else(|| default_confirmations(chain_id));
    Ok(SettlementProbe::new(Arc::new(chain), confirmations, seller).observed(calls))
}
