//! `GET /api/v1/config`: the settings that are in force, without a secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operate::admin::HostView;

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

/// The settings that the host was started with.
#[utoipa::path(get, path = "/api/v1/config", responses((status = 200, body = ConfigReport)))]
pub(crate) async fn config(State(host): State<Arc<HostView>>) -> Json<ConfigReport> {
    let config = &host.config;
    let accept = config.payment.accepts.iter().map(|entry| AcceptRecord {
        symbol: entry.accept.asset.symbol.clone(),
        network: entry.accept.asset.network.to_string(),
        pay_to: entry.accept.pay_to.to_string(),
        facilitators: entry.facilitators.clone(),
    });
    Json(ConfigReport {
        listen: config.server.listen.to_string(),
        admin: config.admin.as_ref().map(|admin| admin.listen.to_string()),
        plugins: config.plugins.folder.display().to_string(),
        state: config.state.folder.display().to_string(),
        accept: accept.collect(),
        facilitators: config.payment.facilitators.keys().cloned().collect(),
    })
}
