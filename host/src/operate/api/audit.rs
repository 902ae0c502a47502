//! `GET /api/v1/audit`: what was changed in the host, when and by whom.

use std::sync::Arc;

use axum::extract::State;
use coinslot_ledger::ChangeKind;
use coinslot_ledger::reports::ChangeFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;
use super::page::Page;
use super::payments::{PAGE, Query, limited, point};
use super::read::read;
use crate::operate::admin::HostView;
use crate::operate::records::ChangeRecord;

/// The choice of changes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only made at this time or later: `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or `24h` ago.
    pub since: Option<String>,
    /// Only of this kind: `plugin_replaced`, `route`, `configuration`, ...
    pub kind: Option<String>,
    /// Only older than the change of this number: the last of the page before.
    pub before: Option<u64>,
    /// At most so many, up to 1000. 100 without it.
    pub limit: Option<u32>,
}

/// The changes of the host, the newest first.
#[utoipa::path(get, path = "/api/v1/audit", params(AuditQuery),
    responses((status = 200, body = Vec<ChangeRecord>, headers(("Link", description = "The part of the list that follows (RFC 8288, `rel=next`); absent at its end"))), (status = 503, body = ApiError)))]
pub(crate) async fn audit(
    State(host): State<Arc<HostView>>,
    Query(query): Query<AuditQuery>,
) -> Result<Page<ChangeRecord>, ApiError> {
    let kind = query.kind.as_deref().map(|name| {
        ChangeKind::parse(name).ok_or_else(|| {
            let known = ChangeKind::ALL.map(ChangeKind::as_str).join(", ");
            ApiError::invalid(format!("`{}` is no kind of change: {known}", coinslot_base::text::printable(name)))
        })
    });
    let limit = limited(query.limit.unwrap_or(PAGE))?;
    let since = point(query.since.as_deref())?;
    let filter = ChangeFilter { since, kind: kind.transpose()?, before: query.before, limit: limit + 1 };
    let found = read(&host, move |reader, _| {
        let rows = reader.changes(&filter)?;
        Ok(Page::of(&rows, limit, "before", |row| row.number.to_string(), ChangeRecord::of))
    });
    found.await
}
