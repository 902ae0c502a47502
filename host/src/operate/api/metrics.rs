//! `GET /metrics`: the metrics in Prometheus' text format.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus::{Encoder, TextEncoder};

use super::error::ApiError;
use crate::operate::admin::HostView;

/// The metrics of the host, for Prometheus. What the ledger has is counted first, so that both say the same.
#[utoipa::path(get, path = "/metrics",
    responses((status = 200, body = String, content_type = "text/plain"), (status = 503, body = ApiError)))]
pub(crate) async fn metrics(State(host): State<Arc<HostView>>) -> Result<Response, ApiError> {
    let unavailable = |error: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "metrics_unavailable", error);
    let metrics = &host.metrics;
    metrics.count_payments(&**host.payments.ledger()).await.map_err(|error| unavailable(error.to_string()))?;
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    encoder.encode(&metrics.registry().gather(), &mut text).map_err(|error| unavailable(error.to_string()))?;
    Ok(([(CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response())
}
