//! `GET /api/v1/chain`: the facilitators, and the wallets that pay for gas, as their last calls showed them.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::{Address, U256};
use axum::Json;
use axum::extract::State;
use coinslot_evm::{Ether, GasWallet, WaitingTransaction};
use coinslot_facilitator::{FacilitatorStatus, Readiness};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::status::settlement_word;
use crate::explorer;
use crate::operate::admin::HostView;
use crate::operate::time;

/// A facilitator of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FacilitatorRecord {
    /// Its name in the configuration.
    pub name: String,
    pub network: String,
    /// The symbols of the assets that it settles.
    pub assets: Vec<String>,
    /// `ready`, `no_gas`: gas cannot be paid, or `down`: it or the chain does not answer.
    pub settlement: String,
    /// The reason why it cannot settle.
    pub trouble: Option<String>,
    /// The seconds after which it is tried again, while the host does not call it because it has failed.
    pub circuit_open_seconds: Option<u64>,
    /// The wallets that pay for gas. None of a facilitator elsewhere.
    pub wallets: Vec<WalletRecord>,
    /// The gas that they have paid for, by day in UTC, the newest first. Empty of a facilitator elsewhere.
    pub gas: Vec<GasRecord>,
}

/// The cost of the gas of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct GasRecord {
    /// As in `2026-01-31`.
    pub day: String,
    /// In wei, as a text.
    pub wei: String,
    /// As in `0.0031 ether`.
    pub shown: String,
}

/// A wallet that pays for gas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WalletRecord {
    pub address: String,
    /// As in `0.31 ether`: as it was read last, less what was spent since.
    pub balance: Option<String>,
    /// The balance that it should have, while it has less.
    pub needed: Option<String>,
    /// Settlements that are not in a block yet.
    pub pending: usize,
    /// The seconds for which its oldest transaction has waited, while that is too long.
    pub stuck_seconds: Option<u64>,
    /// Its transactions that are in no block yet, by their nonces, at most 32.
    #[serde(default)]
    pub transactions: Vec<PendingRecord>,
}

/// A transaction that is in no block yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PendingRecord {
    /// The newest that was signed for the nonce.
    pub hash: String,
    pub nonce: u64,
    /// The seconds since it was sent first.
    pub age_seconds: u64,
    /// The number of replacements, each of which pays more.
    pub replacements: usize,
    /// Settlements that it makes. None: it only fills a gap between nonces.
    pub settlements: usize,
    /// Its page at a block explorer, where one is known.
    pub explorer: Option<String>,
}

/// The facilitators of a host, by their names and networks. No chain is asked.
pub(super) fn facilitators(host: &HostView) -> Vec<FacilitatorRecord> {
    let mut records: BTreeMap<(String, String), FacilitatorRecord> = BTreeMap::new();
    let methods = host.payments.payment_methods().iter();
    for (method, accept) in methods.zip(&host.config.payment.accepts) {
        // A facilitator that is the only one for its asset says no name of its own.
        let named = accept.facilitators.iter();
        for (status, configured) in method.facilitator.statuses().into_iter().zip(named) {
            let network = method.asset.network.to_string();
            let name = status.name.as_deref().unwrap_or(configured).to_owned();
            let record = records.entry((name.clone(), network.clone()));
            let record = record.or_insert_with(|| FacilitatorRecord::of(name, network, &status));
            record.assets.push(method.asset.symbol.clone());
        }
    }
    records.into_values().collect()
}

/// The facilitators, and the wallets that pay for gas. No chain and no facilitator is asked for it.
#[utoipa::path(get, path = "/api/v1/chain", responses((status = 200, body = Vec<FacilitatorRecord>)))]
pub(crate) async fn chain(State(host): State<Arc<HostView>>) -> Json<Vec<FacilitatorRecord>> {
    Json(facilitators(&host))
}

impl FacilitatorRecord {
    fn of(name: String, network: String, status: &FacilitatorStatus) -> Self {
        Self {
            name,
            assets: Vec::new(),
            settlement: settlement_word(status.readiness).to_owned(),
            trouble: status.trouble.clone().filter(|_| status.readiness != Readiness::Ready),
            circuit_open_seconds: status.circuit_open_for.map(|time| time.as_secs()),
            wallets: status.wallets.iter().map(|wallet| WalletRecord::of(wallet, &network)).collect(),
            gas: status.gas_by_day.iter().rev().map(GasRecord::of).collect(),
            network,
        }
    }
}

impl GasRecord {
    fn of((day, wei): (&u64, &U256)) -> Self {
        Self { day: time::day(*day), wei: wei.to_string(), shown: Ether(*wei).to_string() }
    }
}

impl WalletRecord {
    fn of(wallet: &GasWallet, network: &str) -> Self {
        let shown = |wei| Ether(wei).to_string();
        Self {
            address: Address::to_checksum(&wallet.address, None),
            balance: wallet.balance.map(shown),
            needed: wallet.needed.map(shown),
            pending: wallet.open_calls,
            stuck_seconds: wallet.stuck_for.map(|time| time.as_secs()),
            transactions: wallet.waiting.iter().map(|waiting| PendingRecord::of(waiting, network)).collect(),
        }
    }
}

impl PendingRecord {
    fn of(waiting: &WaitingTransaction, network: &str) -> Self {
        let WaitingTransaction { nonce, hash, age, replacements, calls } = waiting;
        let hash = hash.to_string();
        Self {
            explorer: explorer::link(network, "tx", &hash),
            hash,
            nonce: *nonce,
            age_seconds: age.as_secs(),
            replacements: *replacements,
            settlements: *calls,
        }
    }
}
