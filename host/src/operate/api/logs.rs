//! Keeps the last lines that plugins print, and decides which of them get into the log of the host.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use coinslot_ledger::ChangeKind;
use coinslot_plugin::{OutputLevel, OutputLine};
use coinslot_x402::UnixTime;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::changes::{named, unknown};
use super::error::ApiError;
use super::payments::{PathPart, Query};
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::time;

/// The longest time that a level is set for: a week.
const LONGEST: u64 = 7 * 24 * 60 * 60;

/// The choice of lines.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LinesQuery {
    /// Only what the plugin has printed after this line.
    #[serde(default)]
    pub after: u64,
}

/// A line that a plugin has printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LineRecord {
    /// Grows with each line of the plugin. It begins anew with the host.
    pub number: u64,
    /// In UTC: `2026-01-31T12:00:00Z`.
    pub at: String,
    /// `stdout`, or `stderr` for warnings.
    pub stream: String,
    pub text: String,
}

/// The level that a plugin is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LevelChange {
    /// Its name, or its file with or without `.wasm`.
    pub plugin: String,
    /// The lines that get into the log: `info` for all, `warn` for those of stderr, or `off`.
    pub level: String,
    /// The time after which the configured level holds again, at most a week. Without it: at the next start.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// True: nothing is changed, and the answer says what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// The level that a plugin has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LevelReport {
    pub plugin: String,
    pub before: String,
    pub level: String,
    /// The time after which the configured level holds again. None: at the next start.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// False for a dry run.
    #[serde(default)]
    pub applied: bool,
}

impl LineRecord {
    fn of(line: OutputLine) -> Self {
        Self {
            number: line.number,
            at: time::shown(UnixTime(line.at / 1_000)),
            stream: if line.is_warning { "stderr" } else { "stdout" }.to_owned(),
            text: line.text,
        }
    }
}

/// The last lines that a plugin has printed, the oldest first: up to 500 of up to 128 KiB.
#[utoipa::path(get, path = "/api/v1/plugins/{plugin}/logs", params(("plugin" = String, Path), LinesQuery),
    responses((status = 200, body = Vec<LineRecord>), (status = 404, body = ApiError)))]
pub(crate) async fn logs(
    State(host): State<Arc<HostView>>,
    PathPart(plugin): PathPart<String>,
    Query(LinesQuery { after }): Query<LinesQuery>,
) -> Result<Json<Vec<LineRecord>>, ApiError> {
    let plugin = named(&host, &plugin).ok_or_else(|| unknown(&host, &plugin))?;
    Ok(Json(host.output.lines(&plugin, after).into_iter().map(LineRecord::of).collect()))
}

/// Sets which lines of a plugin get into the log of the host.
#[utoipa::path(post, path = "/api/v1/log-level", request_body = LevelChange,
    responses((status = 200, body = LevelReport), (status = 404, body = ApiError)))]
pub(crate) async fn set_level(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    asked: Result<Json<LevelChange>, JsonRejection>,
) -> Result<Json<LevelReport>, ApiError> {
    let Json(LevelChange { plugin, level, for_seconds, dry_run }) =
        asked.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let Some(level) = OutputLevel::parse(&level) else {
        let known = OutputLevel::ALL.map(OutputLevel::as_str).join(", ");
        let level = coinslot_base::text::printable(&level);
        return Err(ApiError::invalid(format!("`{level}` is no level of a plugin: {known}")));
    };
    if for_seconds.is_some_and(|seconds| !(1..=LONGEST).contains(&seconds)) {
        return Err(ApiError::invalid("a level is set for a second to a week, or until the next start"));
    }
    let plugin = named(&host, &plugin).ok_or_else(|| unknown(&host, &plugin))?;
    let report = |before: OutputLevel| {
        let (before, level) = (before.as_str().to_owned(), level.as_str().to_owned());
        LevelReport { plugin: plugin.clone(), before, level, for_seconds, applied: !dry_run }
    };
    if dry_run {
        return Ok(Json(report(host.output.level(&plugin))));
    }
    let before = host.output.choose(&plugin, level, for_seconds.map(Duration::from_secs));
    let time =
        for_seconds.map_or_else(|| "until the next start".to_owned(), |seconds| format!("for {seconds} seconds"));
    let after = format!("{} {time}", level.as_str());
    tracing::info!(plugin, level = level.as_str(), "the level of the plugin's lines is set");
    let former = Some(before.as_str().to_owned());
    host.audit.record(visitor.author, ChangeKind::LogLevel, &plugin, former, Some(after)).await;
    Ok(Json(report(before)))
}
