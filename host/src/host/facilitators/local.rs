//! Connects a facilitator in this process to its chain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy::providers::ProviderBuilder;
use coinslot_evm::Key;
use coinslot_facilitator::local::{Local, LocalConfig, SettledMemory};
use coinslot_facilitator::pool::Member;
use coinslot_facilitator::{Calls, Seller};
use coinslot_x402::Versions;
use coinslot_x402::price::{Accept, Asset};
use url::Url;

use super::Connection;
use crate::config::{LocalFacilitator, SettlementConfig, StateConfig};
use crate::host::error::HostError;
use crate::host::keys;

/// The chains that a facilitator in this process may settle on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chains {
    /// Every chain but the embedded development chain, on which nothing is money.
    #[default]
    Real,
    /// The embedded development chain as well.
    Devnet,
}

/// The longest wait for a node to name itself.
const DEVNET_TIMEOUT: Duration = Duration::from_secs(5);

/// The chains that are settled on, the seller for whom, and what hears of the calls.
#[derive(Clone, Debug)]
pub(super) struct SettlingFor {
    pub(super) chains: Chains,
    pub(super) seller: Seller,
    pub(super) calls: Calls,
}

/// Connects a facilitator to its chain. Fails if its assets are on several chains, if its chain is the embedded one and
/// `chains` does not allow that, and as [`Local::connect`] does.
pub(super) async fn connect(
    name: &str,
    config: &LocalFacilitator,
    accepts: &[&Accept],
    state: &StateConfig,
    SettlingFor { chains, seller, calls }: SettlingFor,
) -> Result<Connection, HostError> {
    let rpc = &config.rpc;
    let mut networks = accepts.iter().map(|accept| &accept.asset.network);
    let network = networks.next().ok_or_else(|| HostError::misconfigured(name, "no [[accept]] names it"))?;
    if let Some(other) = networks.find(|other| *other != network) {
        return Err(HostError::Config(format!(
            "facilitator.{name} settles on one chain, and is named for {network} and {other}: write one for each"
        )));
    }
    let keys: Result<Vec<Key>, _> = config.keys.iter().map(keys::read).collect();
    let keys = keys.map_err(|error| HostError::misconfigured(name, error))?;
    if chains == Chains::Real && is_devnet(rpc).await {
        let advice = "use `coinslot dev` for it, or name a real chain's RPC";
        let node = rpc.host_str().unwrap_or("the node");
        let problem = format!("{node} is the embedded development chain, and nothing paid on it is money; {advice}");
        return Err(HostError::unavailable(name, problem));
    }
    let assets: Vec<Asset> = accepts.iter().map(|accept| (*accept.asset).clone()).collect();
    let mut local = LocalConfig::new(rpc.clone(), network.clone(), assets, keys);
    // The ledger remembers what is settled.
    local.memory = SettledMemory::Brief;
    local.seller = seller;
    local.calls = calls;
    local.chain.poll_interval = config.poll_interval;
    configure_settlement(&config.settlement, &mut local);
    // The keys of a facilitator share one budget, whose file the first of them names.
    let first = local.keys.first().map(Key::address).unwrap_or_default();
    let journal = format!("gas-{}-{first}.json", network.to_string().replace(':', "-"));
    local.gas.journal = Some(state.folder.join(journal));
    let receivers: Result<Vec<_>, _> = accepts.iter().map(|accept| accept.pay_to.parse()).collect();
    local.receivers = receivers.ok();
    let local = Local::connect(local).await.map_err(|error| HostError::unavailable(name, error))?;
    let local = Arc::new(local);
    Ok(Connection {
        member: Member::local(name, Arc::clone(&local)),
        probe: Some(Arc::new(local.probe())),
        alone: Arc::clone(&local) as _,
        local: Some(local),
        versions: BTreeMap::from([(network.clone(), Versions::Both)]),
        silent: None,
    })
}

/// Puts the settings that are configured in the place of the facilitator's own.
pub fn configure_settlement(config: &SettlementConfig, local: &mut LocalConfig) {
    let (gas, sequencer) = (&mut local.gas, &mut local.sequencer);
    gas.max_fee_per_gas = config.max_gas_price.unwrap_or(gas.max_fee_per_gas);
    gas.budget_per_day = config.gas_budget_per_day;
    gas.low_balance = config.low_balance;
    sequencer.confirmations = config.confirmations.unwrap_or(sequencer.confirmations);
    sequencer.batch_delay = config.batch_delay.unwrap_or(sequencer.batch_delay);
    sequencer.max_batch = config.batch_payments.unwrap_or(sequencer.max_batch);
}

/// True if the embedded chain answers there. False for a node that does not answer: the connection that follows says
/// what is wrong with it.
async fn is_devnet(rpc: &Url) -> bool {
    let client = coinslot_evm::node_client(reqwest::Client::new(), rpc.clone());
    let provider = ProviderBuilder::new().connect_client(client);
    let asked = tokio::time::timeout(DEVNET_TIMEOUT, coinslot_evm::is_devnet(&provider));
    matches!(asked.await, Ok(Ok(true)))
}
