//! `GET /api/v1/config`: the settings that are active, what waits for a restart, and problems; without a secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::free::AllowanceReport;
use crate::config::{AcceptConfig, SettingInForce, TakesEffect, Value, in_force};
use crate::operate::admin::HostView;
use crate::operate::time;

/// The settings of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigReport {
    pub listen: String,
    pub admin: Option<String>,
    pub plugins: String,
    pub state: String,
    pub accept: Vec<AcceptRecord>,
    pub facilitators: Vec<String>,
    /// The time at which the configuration was read last without a mistake.
    pub read_at: String,
    /// The keys that have changed since the start, and take effect at the next one.
    pub waiting_for_restart: Vec<String>,
    /// The reason why the file, as it is now, is not used. None: it is.
    pub refused: Option<String>,
    /// Things that are probably not meant so, a sentence each.
    pub warnings: Vec<String>,
    /// The addresses that are told what happens.
    pub webhooks: Vec<String>,
    /// The plugins with a table of their own, in the order of their names.
    pub plugin_tables: Vec<String>,
    /// The rules of free requests and of payers, as of now.
    pub allowances: AllowanceReport,
    /// Every setting, in the order of the documentation.
    pub settings: Vec<SettingRecord>,
}

/// A setting: its value in force, its default, and the value that waits for a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingRecord {
    /// The table that it is shown below: `server`, `plugin.echo`, `accept[eip155:8453/USDC]`. Empty for the top of the
    /// file.
    pub section: String,
    /// The key with its table, as in `server.keep_alive`. `[admin]` stands for the table itself.
    pub key: String,
    /// The value in force, as the file takes it. No secret is shown: the value of its key is the name of the variable or
    /// the file that has it. A URL is shown by its origin and the beginning of its digest, and a value of
    /// `[plugin.NAME.config]` as `set`. None: the key is not set.
    pub value: Option<String>,
    /// The value in force where the key is not set. None: there is no default.
    pub default: Option<String>,
    /// True if the value is the default.
    pub is_default: bool,
    /// `reload`: a changed file takes effect when it is read again; `restart`: at the next start.
    pub takes_effect: String,
    /// The value of the file that waits for a restart, `not set` if the file has the key no more. None: nothing waits.
    pub waiting: Option<String>,
}

/// An asset that is taken, and its receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AcceptRecord {
    pub symbol: String,
    pub network: String,
    pub pay_to: String,
    pub facilitators: Vec<String>,
}

/// The settings that are active: those of the start, and of them what a reload has changed.
#[utoipa::path(get, path = "/api/v1/config", responses((status = 200, body = ConfigReport)))]
pub(crate) async fn config(State(host): State<Arc<HostView>>) -> Json<ConfigReport> {
    let (started, active) = (&host.config, host.active.load());
    let taken = host.payments.payment_methods();
    let is_taken = |entry: &&AcceptConfig| taken.iter().any(|method| method.asset == entry.accept.asset);
    let accept = active.config.payment.accepts.iter().filter(is_taken).map(|entry| AcceptRecord {
        symbol: entry.accept.asset.symbol.clone(),
        network: entry.accept.asset.network.to_string(),
        pay_to: entry.accept.pay_to.to_string(),
        facilitators: entry.facilitators.clone(),
    });
    let catalog = host.catalog.load();
    let tables: Vec<String> = active.config.plugins.by_name.keys().cloned().collect();
    let unknown = tables.iter().filter(|name| !catalog.has_plugin(name)).map(|name| crate::host::unknown_plugin(name));
    Json(ConfigReport {
        listen: started.server.listen.to_string(),
        admin: started.admin.as_ref().map(|admin| admin.listen.to_string()),
        plugins: started.plugins.folder.display().to_string(),
        state: started.state.folder.display().to_string(),
        accept: accept.collect(),
        facilitators: started.payment.facilitators.keys().cloned().collect(),
        read_at: time::shown(active.since),
        waiting_for_restart: active.waiting.clone(),
        refused: active.refused.clone(),
        warnings: active.warnings.iter().cloned().chain(unknown).collect(),
        webhooks: started.webhooks.iter().map(|webhook| webhook.name()).collect(),
        plugin_tables: tables,
        allowances: AllowanceReport::of(&host),
        settings: in_force(started, &active.config).iter().map(SettingRecord::of).collect(),
    })
}

impl SettingRecord {
    fn of(SettingInForce { setting, waiting }: &SettingInForce) -> Self {
        let shown = |value: &Option<Value>| value.as_ref().map(Value::shown);
        let waiting = waiting.as_ref().map(|value| shown(value).unwrap_or_else(|| "not set".to_owned()));
        Self {
            section: setting.section().to_owned(),
            key: setting.path(),
            value: shown(&setting.value),
            default: shown(&setting.default),
            is_default: setting.is_default(),
            takes_effect: match setting.takes_effect() {
                TakesEffect::Reload => "reload".to_owned(),
                TakesEffect::Restart => "restart".to_owned(),
            },
            waiting,
        }
    }
}
