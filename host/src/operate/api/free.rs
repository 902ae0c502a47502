//! Requests that were served free of charge, the keys of customers, and the allowances that are in force.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use coinslot_ledger::reports::FreeUseFilter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::page::Page;
use super::payments::{PAGE, Query, limited, numbered, point};
use super::read::read;
use crate::operate::admin::HostView;
use crate::operate::records::{FreeTotalRecord, FreeUseRecord, KeyRecord};
use crate::operate::time;

/// The choice of free requests.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FreeQuery {
    /// Only by this account, of this network of a client, or with the key of this name.
    pub who: Option<String>,
    /// Only the request with this `x-request-id`.
    pub request: Option<String>,
    /// Only at this time or later: `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or `24h` ago.
    pub since: Option<String>,
    /// At most so many, up to 1000. 100 without it.
    pub limit: Option<u32>,
    /// Only what follows in the list: the value of the `next` of `Link` in the answer before.
    pub after: Option<String>,
}

/// A period.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FreeTotalQuery {
    /// Only days that begin at this time or later.
    pub since: Option<String>,
}

/// An allowance, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AllowanceRecord {
    /// None: every plugin.
    pub plugin: Option<String>,
    /// None: every route.
    pub route: Option<String>,
    /// `payer`, `address` or `everyone`.
    pub per: String,
    pub requests: u64,
    /// The length of a window, in seconds. None: it never ends.
    pub every_seconds: Option<u64>,
    /// The most of all clients together in a window.
    pub total: Option<u64>,
}

/// The rules of free requests and of payers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AllowanceReport {
    pub allow: Vec<AllowanceRecord>,
    /// The number of payers who alone may pay. None: everybody may.
    pub payers_allowed: Option<u64>,
    /// The number of payers who may not pay.
    pub payers_denied: u64,
}

/// The allowances that are in force, also after a reload of the configuration.
#[utoipa::path(get, path = "/api/v1/allowances", responses((status = 200, body = AllowanceReport)))]
pub(crate) async fn allowances(State(host): State<Arc<HostView>>) -> Json<AllowanceReport> {
    Json(AllowanceReport::of(&host))
}

impl AllowanceReport {
    /// The rules that are in force.
    pub(super) fn of(host: &HostView) -> Self {
        let policy = host.payments.allowances().policy();
        let allow = policy.allowances.iter().map(|rule| AllowanceRecord {
            plugin: rule.plugin.clone(),
            route: rule.route.clone(),
            per: rule.per.as_str().to_owned(),
            requests: rule.quota.requests,
            every_seconds: rule.quota.every.map(|every| every.as_secs()),
            total: rule.total,
        });
        Self {
            allow: allow.collect(),
            payers_allowed: policy.payers.allow.as_ref().map(|list| list.len() as u64),
            payers_denied: policy.payers.deny.len() as u64,
        }
    }
}

/// Requests that were served free of charge, the newest first. They are no revenue.
#[utoipa::path(get, path = "/api/v1/free", params(FreeQuery),
    responses((status = 200, body = Vec<FreeUseRecord>, headers(("Link", description = "The part of the list that follows (RFC 8288, `rel=next`); absent at its end"))), (status = 503, body = ApiError)))]
pub(crate) async fn uses(
    State(host): State<Arc<HostView>>,
    Query(query): Query<FreeQuery>,
) -> Result<Page<FreeUseRecord>, ApiError> {
    let (limit, before) = (limited(query.limit.unwrap_or(PAGE))?, numbered(query.after.as_deref())?);
    let filter = FreeUseFilter { who: query.who, request_id: query.request, since: point(query.since.as_deref())? };
    let found = read(&host, move |reader, _| {
        let rows = reader.free_uses_before(before, &filter, limit + 1)?;
        Ok(Page::of(&rows, limit, "after", |row| row.id.to_string(), FreeUseRecord::of))
    });
    found.await
}

/// The numbers of free requests by day, endpoint, kind and outcome, the newest day first.
#[utoipa::path(get, path = "/api/v1/free/totals", params(FreeTotalQuery),
    responses((status = 200, body = Vec<FreeTotalRecord>), (status = 503, body = ApiError)))]
pub(crate) async fn totals(
    State(host): State<Arc<HostView>>,
    Query(query): Query<FreeTotalQuery>,
) -> Result<Json<Vec<FreeTotalRecord>>, ApiError> {
    let since = point(query.since.as_deref())?;
    let found = read(&host, move |reader, _| Ok(reader.free_totals(since)?.iter().map(FreeTotalRecord::of).collect()));
    found.await.map(Json)
}

/// The keys of customers with their use, the newest first. A key itself is known to its holder alone.
#[utoipa::path(get, path = "/api/v1/keys", responses((status = 200, body = Vec<KeyRecord>), (status = 503, body = ApiError)))]
pub(crate) async fn keys(State(host): State<Arc<HostView>>) -> Result<Json<Vec<KeyRecord>>, ApiError> {
    let now = time::now();
    let found =
        read(&host, move |reader, _| Ok(reader.api_keys(now)?.iter().map(|used| KeyRecord::of(used, now)).collect()));
    found.await.map(Json)
}
