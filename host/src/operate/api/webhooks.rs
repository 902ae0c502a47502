//! The addresses that are told what happens, how that goes, and the order to tell one again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use coinslot_ledger::reports::AttemptFilter;
use coinslot_ledger::{Author, ChangeKind, LedgerError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::page::Page;
use super::payments::{PAGE, Query, limited, numbered};
use super::read::read;
use crate::operate::access::Visitor;
use crate::operate::admin::HostView;
use crate::operate::webhooks::{AttemptRecord, ResendPlan, Webhook, WebhookRecord, records};

/// The messages that are to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Resend {
    /// The address: whole, or as the list of webhooks names it.
    pub url: String,
    /// The events after this one are told again. 0 tells all that the ledger still has.
    pub after: u64,
    /// True: nothing is told, and the answer says what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// The order to tell a webhook events again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResendReport {
    /// The name of the webhook.
    pub webhook: String,
    /// The events after this one are told, up to the newest.
    pub after: u64,
    pub last: u64,
    /// The messages, one for each of these events that the ledger still has and that the webhook is told.
    pub messages: u64,
    /// False for a dry run.
    pub applied: bool,
}

/// The choice of attempts.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AttemptQuery {
    /// Only of this webhook: its whole address, or as the list of webhooks names it.
    pub webhook: Option<String>,
    /// Only of messages about this payment, by its id.
    pub payment: Option<String>,
    /// At most so many, up to 1000. 100 without it.
    pub limit: Option<u32>,
    /// Only what follows in the list: the value of the `next` of `Link` in the answer before.
    pub after: Option<String>,
}

/// The addresses that are told what happens, with the last attempts.
#[utoipa::path(get, path = "/api/v1/webhooks",
    responses((status = 200, body = Vec<WebhookRecord>), (status = 503, body = ApiError)))]
pub(crate) async fn webhooks(State(host): State<Arc<HostView>>) -> Result<Json<Vec<WebhookRecord>>, ApiError> {
    records(&host).await.map(Json)
}

/// The attempts to deliver messages, the newest first. Of each webhook the ledger keeps the newest ten thousand.
#[utoipa::path(get, path = "/api/v1/webhooks/attempts", params(AttemptQuery),
    responses((status = 200, body = Vec<AttemptRecord>, headers(("Link", description = "The part of the list that follows (RFC 8288, `rel=next`); absent at its end"))),
        (status = 503, body = ApiError)))]
pub(crate) async fn attempts(
    State(host): State<Arc<HostView>>,
    Query(query): Query<AttemptQuery>,
) -> Result<Page<AttemptRecord>, ApiError> {
    let AttemptQuery { webhook, payment, limit, after } = query;
    let (limit, before) = (limited(limit.unwrap_or(PAGE))?, numbered(after.as_deref())?);
    // The attempts of a webhook that is no longer configured are found by its name.
    let named = webhook.map(|name| named(&host, &name).map_or(name, |webhook| webhook.name().to_owned()));
    let filter = AttemptFilter { webhook: named, payment_id: payment, before: Some(before), limit: limit + 1 };
    let found = read(&host, move |reader, _| {
        let rows = reader.webhook_attempts(&filter)?;
        let record = |row: &coinslot_ledger::reports::KeptAttempt| AttemptRecord::of(&row.attempt);
        Ok(Page::of(&rows, limit, "after", |row| row.number.to_string(), record))
    });
    found.await
}

/// Tells an address again what happened.
#[utoipa::path(post, path = "/api/v1/webhooks/resend", request_body = Resend,
    responses((status = 200, body = ResendReport, description = "A dry run: what would be told"),
        (status = 202, body = ResendReport), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn resend(
    State(host): State<Arc<HostView>>,
    visitor: Visitor,
    asked: Result<Json<Resend>, JsonRejection>,
) -> Result<(StatusCode, Json<ResendReport>), ApiError> {
    let Json(asked) = asked.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let report = tell_again(&host, visitor.author, &asked).await?;
    let status = if report.applied { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(report)))
}

/// Tells an address again for an operator.
pub(in crate::operate) async fn tell_again(
    host: &HostView,
    who: Author,
    asked: &Resend,
) -> Result<ResendReport, ApiError> {
    let Resend { url, after, dry_run } = asked;
    let webhook = named(host, url)
        .ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "not_found", "no [[webhook]] has this address"))?;
    let unwritable = |error: LedgerError| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unwritable", format!("nothing is told again: {error}"))
    };
    let ResendPlan { after, last, messages } = webhook.plan(host, *after).await?;
    if after > last {
        return Err(ApiError::invalid(format!("`after` is at most {last}, the newest event")));
    }
    if let Some(told) = webhook.told().filter(|told| after > *told) {
        let message =
            format!("`after` is at most {told}, the newest event that it was told: what follows waits for it");
        return Err(ApiError::invalid(message));
    }
    let webhook_name = webhook.name().to_owned();
    let report = ResendReport { webhook: webhook_name, after, last, messages, applied: !dry_run };
    if *dry_run {
        // A dry run cannot know how the write would end, but it knows whether the last one failed.
        let writable = host.payments.ledger().writable();
        let refused = || unwritable(LedgerError::Unavailable("the last write failed".to_owned()));
        return if writable { Ok(report) } else { Err(refused()) };
    }
    webhook.resend(host, after).await.map_err(unwritable)?;
    let what = Some(format!("after event {after}"));
    host.audit.record(who, ChangeKind::WebhookResent, webhook.name(), None, what).await;
    tracing::info!(url = webhook.name(), after, messages, "a webhook is told again");
    Ok(report)
}

/// The webhook of this name or of this address.
fn named<'h>(host: &'h HostView, name: &str) -> Option<&'h Arc<Webhook>> {
    host.webhooks.iter().find(|webhook| webhook.is(name))
}
