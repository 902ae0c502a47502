//! `GET /api/v1/plugins`: the files of the plugin folder, what they serve, and why one does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use coinslot_plugin::{Circuit, Limits, PluginUsage, PoolUsage, Quota, StoreUsage};
use coinslot_x402::UnixTime;
use coinslot_x402::price::Resource;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::catalog::{Catalog, HistoryEntry, HistoryFile, Installed, KeptBuild, NOT_ANEW, RouteChange};
use crate::operate::admin::HostView;
use crate::operate::time;

/// A file of the plugin folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PluginRecord {
    pub file: String,
    /// The active build. None: the file serves nothing.
    pub active: Option<BuildRecord>,
    /// The build to which a rollback leads.
    pub previous: Option<BuildRecord>,
    /// The reason why the content of the file is not active.
    pub failure: Option<String>,
    pub endpoints: Vec<EndpointRecord>,
    /// The facts that the configuration changes: declared, and effective.
    pub changes: Vec<RouteChange>,
    /// `closed`, `open` while the host sends the plugin nothing because it has failed again and again, `half_open` from the
    /// end of that pause until a request succeeds, or `paused`: of paid requests, and of free ones. None: the file serves nothing.
    pub paid_circuit: Option<String>,
    pub free_circuit: Option<String>,
    /// True if the operator has paused the plugin.
    pub paused: bool,
    pub limits: Option<LimitsRecord>,
    /// The use of all its builds now. None: the file serves nothing, or no running host was asked.
    pub usage: Option<UsageRecord>,
    /// The use of its key-value store, and the bounds of it. None: it keeps nothing, or no running host was asked.
    pub store: Option<StoreRecord>,
    /// Its grants, without the values of secrets and of its configuration.
    pub grants: Vec<String>,
    /// The time at which the file was removed from the folder.
    pub gone_since: Option<String>,
    /// True if the previous build failed again and again and was rolled back: a rollback would lead back to it.
    #[serde(default)]
    pub previous_has_failed: bool,
}

/// The use of a plugin now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageRecord {
    /// Instances that run.
    pub instances: usize,
    /// Requests that wait for an instance.
    pub waiting: usize,
    /// Bytes of all instances.
    pub memory: u64,
    /// CPU time of guests that have ended, of the active build, in milliseconds.
    pub cpu_milliseconds: u64,
    /// The same CPU time in microseconds: a call of a small plugin takes less than a millisecond.
    #[serde(default)]
    pub cpu_microseconds: u64,
    /// Permits that its instances hold, of those of all plugins.
    #[serde(default)]
    pub permits: usize,
    /// Permits of one instance, by the tables, memories and core instances of its component.
    #[serde(default)]
    pub permits_of_instance: usize,
    /// Permits that the instances of all plugins hold.
    #[serde(default)]
    pub permits_of_all: usize,
}

/// The key-value store of a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoreRecord {
    /// Keys that are kept. None: they cannot be counted now.
    pub keys: Option<u64>,
    /// Bytes of keys and values.
    pub bytes: Option<u64>,
    pub max_keys: u64,
    pub max_bytes: u64,
    /// Bytes of one value.
    pub max_value: u64,
}

/// The limits of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LimitsRecord {
    /// Instances at once.
    pub instances: usize,
    /// Bytes of one instance, and of all together.
    pub memory: u64,
    pub plugin_memory: u64,
    /// CPU time of one request, in milliseconds.
    pub cpu_milliseconds: u64,
    /// Wall time of one request in total, in milliseconds.
    pub total_milliseconds: u64,
    /// Bytes.
    pub request_body: u64,
    pub response_body: u64,
    pub outgoing_requests: u32,
    /// All permits of the host, which its plugins share.
    #[serde(default)]
    pub permits: usize,
}

/// A build of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BuildRecord {
    pub name: String,
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub sha256: String,
    /// The time since which it has served.
    pub since: Option<String>,
}

/// A route of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointRecord {
    pub method: String,
    /// The path template.
    pub path: String,
    /// `0.01 USDC`, `free`, or `quoted, at most 0.50 USDC`: in the preferred asset.
    pub price: String,
    /// The pass that a payment buys beside its answer: `100 requests in 1h`.
    #[serde(default)]
    pub pass: Option<String>,
    pub summary: String,
}

/// The files of the plugin folder: what they serve, and why one does not.
#[utoipa::path(get, path = "/api/v1/plugins", responses((status = 200, body = Vec<PluginRecord>)))]
pub(crate) async fn plugins(State(host): State<Arc<HostView>>) -> Json<Vec<PluginRecord>> {
    let mut records = files(&host);
    let catalog = host.catalog.load_full();
    let stores = tokio::task::spawn_blocking(move || stores(&catalog)).await.unwrap_or_default();
    for (file, store) in stores {
        if let Some(record) = records.iter_mut().find(|record| record.file == file) {
            record.store = Some(store);
        }
    }
    Json(records)
}

/// The files of the plugin folder, without what their stores keep.
pub(in crate::operate) fn files(host: &HostView) -> Vec<PluginRecord> {
    // Without a history, which a host may have lost, the active plugins are shown.
    let history = HistoryFile::read(&host.config.state.history()).unwrap_or_default();
    let catalog = host.catalog.load();
    let mut records: BTreeMap<String, PluginRecord> =
        history.files.iter().map(|(file, entry)| (file.clone(), PluginRecord::kept(file, entry))).collect();
    for installed in catalog.installed() {
        let record = records.entry(installed.file.clone()).or_default();
        record.serves(installed);
    }
    records.values_mut().for_each(|record| record.note_pause(|plugin| host.pauses.is_paused(plugin)));
    records.into_values().collect()
}

/// The stores of the active plugins, by file. It reads the disk.
fn stores(catalog: &Catalog) -> Vec<(String, StoreRecord)> {
    let stores = catalog.installed().iter().filter_map(|installed| {
        let StoreUsage { kept, quota: Quota { bytes, keys, value } } = installed.plugin.store_usage()?;
        let record = StoreRecord {
            keys: kept.map(|(keys, _)| keys),
            bytes: kept.map(|(_, bytes)| bytes),
            max_keys: keys,
            max_bytes: bytes,
            max_value: value as u64,
        };
        Some((installed.file.clone(), record))
    });
    stores.collect()
}

impl PluginRecord {
    /// Notes whether the plugin of the file is paused.
    pub(crate) fn note_pause(&mut self, is_paused: impl Fn(&str) -> bool) {
        let build = self.active.as_ref().or(self.previous.as_ref());
        self.paused = build.is_some_and(|build| is_paused(&build.name));
    }

    /// The reason why the active build serves with its former configuration, if it does.
    pub(crate) fn refused_configuration(&self) -> Option<&str> {
        self.active.as_ref().and(self.failure.as_deref())?.strip_prefix(NOT_ANEW)
    }

    /// The health of the active build in a word or two.
    pub(crate) fn health(&self) -> &'static str {
        match (self.paused, self.fails()) {
            (true, _) => "paused",
            (false, (true, _)) => "active; its paid requests fail, and are refused for a while",
            (false, (false, true)) => "active; its free requests fail, and are refused for a while",
            (false, (false, false)) => "active",
        }
    }

    /// True for the requests, paid and free ones, that have failed in a row and of which none has succeeded since.
    pub(crate) fn fails(&self) -> (bool, bool) {
        let has_opened = |circuit: &Option<String>| matches!(circuit.as_deref(), Some("open" | "half_open"));
        (has_opened(&self.paid_circuit), has_opened(&self.free_circuit))
    }

    /// The record of a file as the history knows it.
    pub(crate) fn kept(file: &str, entry: &HistoryEntry) -> Self {
        let build = |kept: &KeptBuild| BuildRecord {
            name: kept.plugin.clone(),
            version: kept.version.clone(),
            sha256: kept.sha256.clone(),
            since: Some(time::shown(UnixTime(kept.since))),
        };
        let previous = if entry.serving().is_some() { entry.previous.as_ref() } else { entry.rollback_target() };
        Self {
            file: file.to_owned(),
            active: entry.serving().map(build),
            previous: previous.map(build),
            previous_has_failed: previous.is_some_and(|build| entry.is_abandoned(build)),
            failure: entry.failure.clone(),
            endpoints: entry.serving().map(endpoints).unwrap_or_default(),
            changes: entry.serving().map(|build| build.changes.clone()).unwrap_or_default(),
            gone_since: entry.gone_since.map(|at| time::shown(UnixTime(at))),
            ..Self::default()
        }
    }

    fn serves(&mut self, installed: &Installed) {
        let info = installed.plugin.info();
        self.file.clone_from(&installed.file);
        let since = self.active.take().and_then(|build| build.since);
        self.active = Some(BuildRecord {
            name: info.name.clone(),
            version: info.version.clone(),
            sha256: installed.plugin.sha256().to_owned(),
            since,
        });
        let endpoint = |endpoint: &Arc<crate::endpoint::Endpoint>| {
            let Resource { summary, description, .. } = &endpoint.resource;
            EndpointRecord {
                method: endpoint.method.to_string(),
                path: endpoint.path.to_string(),
                price: endpoint.access.to_string(),
                pass: endpoint.pass().map(|pass| pass.to_string()),
                summary: if summary.is_empty() { description.clone() } else { summary.clone() },
            }
        };
        self.endpoints = installed.endpoints.iter().map(endpoint).collect();
        self.changes.clone_from(&installed.changes);
        let (paid_closed, free_closed) = installed.plugin.circuits_closed();
        self.paid_circuit = Some(word(installed.plugin.paid_circuit(), paid_closed));
        self.free_circuit = Some(word(installed.plugin.unpaid_circuit(), free_closed));
        let pool = installed.plugin.pool();
        self.limits = Some(LimitsRecord::of(installed.plugin.limits(), pool));
        self.usage = Some(UsageRecord::of(installed.plugin.usage(), pool));
        self.grants = installed.plugin.grants().to_vec();
    }
}

/// The endpoints of a build that the history knows. It knows no summaries and no passes.
fn endpoints(build: &KeptBuild) -> Vec<EndpointRecord> {
    let endpoints = build.endpoints.iter().map(|kept| EndpointRecord {
        method: kept.method.clone(),
        path: kept.path.clone(),
        price: kept.price.clone(),
        pass: None,
        summary: String::new(),
    });
    endpoints.collect()
}

impl UsageRecord {
    fn of(usage: PluginUsage, pool: PoolUsage) -> Self {
        let PluginUsage { instances, waiting, permits, permits_of_instance, memory, cpu } = usage;
        Self {
            instances,
            waiting,
            memory: memory as u64,
            cpu_milliseconds: milliseconds(cpu),
            cpu_microseconds: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
            permits,
            permits_of_instance,
            permits_of_all: pool.held,
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl LimitsRecord {
    fn of(limits: &Limits, pool: PoolUsage) -> Self {
        Self {
            instances: limits.instances,
            memory: limits.memory as u64,
            plugin_memory: limits.plugin_memory as u64,
            cpu_milliseconds: milliseconds(limits.cpu),
            total_milliseconds: milliseconds(limits.total),
            request_body: limits.request_body,
            response_body: limits.response_body,
            outgoing_requests: limits.outgoing_requests,
            permits: pool.total,
        }
    }
}

fn word(circuit: Circuit, is_closed: bool) -> String {
    match circuit {
        Circuit::Closed if !is_closed => "half_open",
        Circuit::Closed => "closed",
        Circuit::Open { .. } => "open",
        Circuit::Paused => "paused",
    }
    .to_owned()
}
