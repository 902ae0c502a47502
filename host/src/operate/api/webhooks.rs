//! The addresses that are told what happens, and how that goes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use coinslot_ledger::ChangeKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::webhooks::WebhookRecord;

/// The messages that are to be sent again.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resend {
    /// The address: whole, or as the list of webhooks names it.
    pub url: String,
    /// The events after this one are told again. 0 tells all that the ledger still has.
    pub after: u64,
}

/// The addresses that are told what happens, with the last attempts.
#[utoipa::path(get, path = "/api/v1/webhooks", responses((status = 200, body = Vec<WebhookRecord>)))]
pub(crate) async fn webhooks(State(host): State<Arc<HostView>>) -> Json<Vec<WebhookRecord>> {
    let mut records = Vec::new();
    for webhook in &host.webhooks {
        records.push(webhook.record(&host).await);
    }
    Json(records)
}

/// Tells an address again what happened.
#[utoipa::path(post, path = "/api/v1/webhooks/resend", request_body = Resend,
    responses((status = 202), (status = 404, body = ApiError)))]
pub(crate) async fn resend(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    asked: Result<Json<Resend>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(Resend { url, after }) = asked.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let Some(webhook) = host.webhooks.iter().find(|webhook| webhook.is(&url)) else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", "no [[webhook]] has this address"));
    };
    let unwritable = |error: coinslot_ledger::LedgerError| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unwritable", error.to_string())
    };
    let last = host.payments.ledger().last_event().await.map_err(unwritable)?;
    if after > last {
        return Err(ApiError::invalid(format!("`after` is at most {last}, the newest event")));
    }
    webhook.resend(&host, after).await.map_err(unwritable)?;
    host.audit.record(
        visitor.author,
        ChangeKind::WebhookResent,
        webhook.name(),
        None,
        Some(format!("after event {after}")),
    );
    tracing::info!(url = webhook.name(), after, "a webhook is told again");
    Ok(StatusCode::ACCEPTED)
}
