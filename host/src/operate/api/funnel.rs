//! Reports the funnel from the price to the payment: what became of requests and of payments.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;
use super::payments::{Query, point};
use super::read::read;
use crate::operate::admin::HostView;
use crate::operate::records::{FunnelRecord, FunnelReport};
use crate::operate::time;

/// The period of the funnel.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FunnelQuery {
    /// Only days (UTC) that begin at this time or later: `2026-01-31`, or `30d` ago.
    pub since: Option<String>,
}

/// The numbers of requests that were told a price or ended with an error, and of payments at each state that they came
/// to, by endpoint, over restarts. If a host was killed, requests of its last seconds may be missing; payments are not.
#[utoipa::path(get, path = "/api/v1/funnel", params(FunnelQuery),
    responses((status = 200, body = FunnelReport), (status = 503, body = ApiError)))]
pub(crate) async fn funnel(
    State(host): State<Arc<HostView>>,
    Query(query): Query<FunnelQuery>,
) -> Result<Json<FunnelReport>, ApiError> {
    let since = point(query.since.as_deref())?;
    // Requests that are counted and not written yet are shown, too.
    host.metrics.bring_funnel_up_to_date(host.payments.ledger()).await;
    let found = read(&host, move |reader, _| {
        Ok(FunnelReport {
            counted_since: reader.funnel_begins()?.map(time::day),
            totals: reader.funnel(since)?.iter().map(FunnelRecord::of).collect(),
        })
    });
    found.await.map(Json)
}
