//! Changes of plugins: to pause one, to resume it, and to roll it back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use coinslot_ledger::{Author, ChangeKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use crate::catalog::{HistoryFile, KeptBuild};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::rollback::{RollbackError, RollbackPlan, RolledBack, plan, roll_back};

/// The plugin that is to be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PluginChange {
    /// Its name, or its file with or without `.wasm`.
    pub plugin: String,
    /// True: nothing is changed, and the answer says what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// A plugin that is paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PauseReport {
    pub plugin: String,
    /// True if it is paused after the change.
    pub paused: bool,
    /// False if it was so before.
    pub changed: bool,
    /// False for a dry run.
    pub applied: bool,
}

/// A plugin that is rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RollbackReport {
    pub file: String,
    pub plugin: String,
    /// The version and the component that the file holds again.
    pub version: String,
    pub sha256: String,
    /// False while no host has made the build active.
    pub active: bool,
    /// False for a dry run.
    pub applied: bool,
    /// True if the build failed again and again before, and was rolled back.
    #[serde(default)]
    pub has_failed: bool,
}

impl RollbackReport {
    pub(crate) fn new(done: RolledBack, applied: bool) -> Self {
        let RolledBack { file, build: KeptBuild { plugin, version, sha256, .. }, is_active, has_failed } = done;
        Self { file, plugin, version, sha256, active: is_active, has_failed, applied }
    }
}

/// Pauses a plugin: it gets no requests until it is resumed, restarts included. Requests at work end.
#[utoipa::path(post, path = "/api/v1/plugins/pause", request_body = PluginChange,
    responses((status = 200, body = PauseReport), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn pause(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    asked: Result<Json<PluginChange>, JsonRejection>,
) -> Result<Json<PauseReport>, ApiError> {
    set_paused(&host, &visitor.author, &read(asked)?, true).await.map(Json)
}

/// Resumes a plugin.
#[utoipa::path(post, path = "/api/v1/plugins/resume", request_body = PluginChange,
    responses((status = 200, body = PauseReport), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn resume(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    asked: Result<Json<PluginChange>, JsonRejection>,
) -> Result<Json<PauseReport>, ApiError> {
    set_paused(&host, &visitor.author, &read(asked)?, false).await.map(Json)
}

/// Puts the component that the plugin's file held before into the folder again.
#[utoipa::path(post, path = "/api/v1/plugins/rollback", request_body = PluginChange,
    responses((status = 200, body = RollbackReport), (status = 404, body = ApiError), (status = 409, body = ApiError),
        (status = 500, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn rollback(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    asked: Result<Json<PluginChange>, JsonRejection>,
) -> Result<Json<RollbackReport>, ApiError> {
    let PluginChange { plugin, dry_run } = read(asked)?;
    let plan = plan(&host.active_config(), &plugin)?;
    if dry_run {
        return Ok(Json(RollbackReport::new(plan.rehearsed(), false)));
    }
    let done = finish(&host, visitor.author, plan).await?;
    Ok(Json(RollbackReport::new(done, true)))
}

/// Writes a rollback into the audit log.
async fn record_rollback(host: &HostView, who: Author, done: &RolledBack) {
    let KeptBuild { plugin, version, sha256, .. } = &done.build;
    let after = format!("{plugin} {version}, SHA-256 {sha256}");
    host.audit.record(who, ChangeKind::PluginRolledBack, &done.file, None, Some(after)).await;
}

fn read(asked: Result<Json<PluginChange>, JsonRejection>) -> Result<PluginChange, ApiError> {
    asked.map(|Json(asked)| asked).map_err(|rejection| ApiError::invalid(rejection.body_text()))
}

/// Rolls back and writes it down, in a task of its own: a client that leaves must leave neither a refused build in the
/// folder nor a change that the audit log lacks.
pub(in crate::operate) async fn finish(
    host: &Arc<HostView>,
    who: Author,
    plan: RollbackPlan,
) -> Result<RolledBack, ApiError> {
    let view = Arc::clone(host);
    let work = async move {
        let done = roll_back(&view.config, plan).await?;
        tracing::info!(
            file = done.file,
            version = done.build.version,
            active = done.is_active,
            "a plugin is rolled back"
        );
        record_rollback(&view, who, &done).await;
        Ok::<_, RollbackError>(done)
    };
    let done = tokio::spawn(work).await;
    let lost = |error: tokio::task::JoinError| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "rollback_failed", error.to_string())
    };
    Ok(done.map_err(lost)??)
}

/// Pauses or resumes a plugin of this name or of this file. One that is paused can be resumed when its file is gone.
pub(in crate::operate) async fn set_paused(
    host: &HostView,
    who: &Author,
    change: &PluginChange,
    is_paused: bool,
) -> Result<PauseReport, ApiError> {
    let plugin = named(host, &change.plugin).ok_or_else(|| unknown(host, &change.plugin))?;
    let changed = host.pauses.is_paused(&plugin) != is_paused;
    if changed && !change.dry_run {
        host.pauses.set(&plugin, is_paused).map_err(|error| {
            let file = host.config.state.paused();
            let message = format!("nothing is changed: {}: {error}", file.display());
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "state_unwritable", message)
        })?;
        tracing::info!(plugin, is_paused, "a plugin is paused or resumed by its operator");
        let kind = if is_paused { ChangeKind::PluginPaused } else { ChangeKind::PluginResumed };
        host.audit.record(who.clone(), kind, &plugin, None, None).await;
    }
    Ok(PauseReport { plugin, paused: is_paused, changed, applied: !change.dry_run })
}

/// The error of a name that neither a plugin nor a file has.
pub(super) fn unknown(host: &HostView, name: &str) -> ApiError {
    let known: Vec<String> = host.catalog.load().installed().iter().map(|one| one.plugin.info().name.clone()).collect();
    let name = coinslot_base::text::excerpt(name, 100);
    let message = format!("no plugin is called {name}; there are: {}", known.join(", "));
    ApiError::new(StatusCode::NOT_FOUND, "unknown_plugin", message)
}

/// The name of the plugin that this is the name or the file of.
pub(super) fn named(host: &HostView, name: &str) -> Option<String> {
    let catalog = host.catalog.load();
    if catalog.has_plugin(name) || host.pauses.is_paused(name) {
        return Some(name.to_owned());
    }
    let of_file = |file: &str| file == name || file.strip_suffix(".wasm") == Some(name);
    let active = catalog.installed().iter().find(|one| of_file(&one.file));
    if let Some(active) = active {
        return Some(active.plugin.info().name.clone());
    }
    // A build that serves nothing now may serve again.
    let history = HistoryFile::read(&host.config.state.history()).unwrap_or_default();
    let (_, entry) = history.find(name)?;
    entry.active.as_ref().or(entry.previous.as_ref()).map(|build| build.plugin.clone())
}

impl From<RollbackError> for ApiError {
    fn from(error: RollbackError) -> Self {
        let (status, code) = match error {
            RollbackError::Unknown { .. } => (StatusCode::NOT_FOUND, "unknown_plugin"),
            RollbackError::History { .. } | RollbackError::File(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "state_unreadable")
            }
            RollbackError::NoBuild { .. }
            | RollbackError::Pinned { .. }
            | RollbackError::Link { .. }
            | RollbackError::Refused { .. } => (StatusCode::CONFLICT, "not_rolled_back"),
        };
        Self::new(status, code, error.to_string())
    }
}
