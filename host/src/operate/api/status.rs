//! `GET /api/v1/status`: whether the host can sell, and why not.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use coinslot_facilitator::Readiness;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::chain::{FacilitatorRecord, WalletRecord, facilitators};
use super::refunds::{RefundWalletRecord, wallets as refund_wallets};
use crate::operate::admin::HostView;
use crate::operate::alerts::{Alert, alerts};
use crate::operate::time;

/// The state of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusReport {
    pub version: String,
    pub started_at: String,
    /// True if payments can be taken.
    pub ready: bool,
    /// The reasons why no payment can be taken at all. Empty if some can.
    pub obstacles: Vec<String>,
    /// Everything that is wrong, the worst first, with what to do.
    pub alerts: Vec<Alert>,
    /// The address that clients know.
    pub public_url: String,
    pub plugins: PluginCounts,
    pub assets: Vec<AssetStatus>,
    /// Payments at work.
    pub at_work: usize,
    pub ledger: LedgerStatus,
    /// The wallets that pay for gas, with their transactions that are in no block yet.
    #[serde(default)]
    pub wallets: Vec<WalletStatus>,
    /// The wallet that pays owed answers back, on each network. Empty without one.
    #[serde(default)]
    pub refund_wallets: Vec<RefundWalletRecord>,
}

/// A wallet that pays for gas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WalletStatus {
    pub facilitator: String,
    pub network: String,
    #[serde(flatten)]
    pub wallet: WalletRecord,
}

/// The plugins of the folder, by their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PluginCounts {
    pub active: usize,
    pub loading: usize,
    /// Endpoints of the active ones.
    pub endpoints: usize,
}

/// An asset that is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssetStatus {
    pub symbol: String,
    pub network: String,
    pub asset: String,
    /// `ready`, `no_gas`: gas cannot be paid, or `down`: the facilitator or the chain does not answer.
    pub settlement: String,
}

/// The ledger's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LedgerStatus {
    pub writable: bool,
    pub file: String,
    /// Bytes of the file, with its log.
    pub bytes: u64,
}

/// The state of the host: whether it can sell, and why not.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = StatusReport)))]
pub(crate) async fn status(State(host): State<Arc<HostView>>) -> Json<StatusReport> {
    let catalog = host.catalog.load();
    let obstacles: Vec<String> = host.payments.obstacles().into_iter().map(str::to_owned).collect();
    let installed = catalog.installed();
    let file = host.config.state.ledger();
    let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |found| found.len());
    Json(StatusReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: time::shown(host.started),
        ready: obstacles.is_empty(),
        obstacles,
        alerts: alerts(&host).await,
        public_url: catalog.public_url().to_owned(),
        plugins: PluginCounts {
            active: installed.len(),
            loading: catalog.loading().len(),
            endpoints: installed.iter().map(|plugin| plugin.endpoints.len()).sum(),
        },
        assets: assets(&host),
        at_work: host.payments.at_work(),
        ledger: LedgerStatus {
            writable: host.payments.ledger().writable(),
            bytes: size(&file) + size(&file.with_extension("db-wal")),
            file: file.display().to_string(),
        },
        wallets: wallets(&host),
        refund_wallets: host.refunds.as_ref().map(|ours| refund_wallets(ours, &host.units())).unwrap_or_default(),
    })
}

fn wallets(host: &HostView) -> Vec<WalletStatus> {
    let facilitators = facilitators(host).into_iter();
    let wallets = facilitators.flat_map(|FacilitatorRecord { name, network, wallets, .. }| {
        let with = move |wallet| WalletStatus { facilitator: name.clone(), network: network.clone(), wallet };
        wallets.into_iter().map(with)
    });
    wallets.collect()
}

fn assets(host: &HostView) -> Vec<AssetStatus> {
    let methods = host.payments.payment_methods().iter();
    methods
        .map(|method| AssetStatus {
            symbol: method.asset.symbol.clone(),
            network: method.asset.network.to_string(),
            asset: method.asset.address.clone(),
            settlement: settlement_word(method.facilitator.readiness()).to_owned(),
        })
        .collect()
}

/// The word of the API for whether something can be settled.
pub(super) fn settlement_word(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Ready => "ready",
        Readiness::NoGas => "no_gas",
        Readiness::Down => "down",
    }
}
