//! The JSON API of the admin listener, version 1. Its description in OpenAPI is made from the handlers.

pub(super) mod audit;
pub(super) mod chain;
pub(super) mod changes;
pub(super) mod config;
pub(super) mod description;
mod error;
pub(super) mod free;
pub(super) mod funnel;
pub(super) mod logs;
mod metrics;
pub(super) mod page;
pub(super) mod payments;
pub(super) mod plugins;
pub(super) mod read;
pub(super) mod refunds;
pub(super) mod settle;
pub(super) mod status;
pub(super) mod webhooks;

use std::sync::Arc;

use axum::http::StatusCode;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admin::HostView;

pub(super) use error::ApiError;

/// The description of the API without its paths.
#[derive(OpenApi)]
#[openapi(info(
    title = "Coinslot admin API",
    description = "What a host does, and what it has earned. Every answer is JSON; an error has `error`, a word for programs, and `message`."
))]
struct Description;

/// Every route of the API.
pub(super) fn routes() -> OpenApiRouter<Arc<HostView>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status::status))
        .routes(routes!(plugins::plugins))
        .routes(routes!(changes::pause))
        .routes(routes!(changes::resume))
        .routes(routes!(changes::rollback))
        .routes(routes!(payments::payments))
        .routes(routes!(payments::payment))
        .routes(routes!(payments::story))
        .routes(routes!(payments::revenue))
        .routes(routes!(payments::owed))
        .routes(routes!(payments::failed))
        .routes(routes!(refunds::refunds))
        .routes(routes!(refunds::refund))
        .routes(routes!(settle::settle))
        .routes(routes!(free::allowances))
        .routes(routes!(free::uses))
        .routes(routes!(free::totals))
        .routes(routes!(free::keys))
        .routes(routes!(funnel::funnel))
        .routes(routes!(audit::audit))
        .routes(routes!(chain::chain))
        .routes(routes!(config::config))
        .routes(routes!(webhooks::webhooks))
        .routes(routes!(webhooks::attempts))
        .routes(routes!(webhooks::resend))
        .routes(routes!(logs::logs))
        .routes(routes!(logs::set_level))
        .routes(routes!(metrics::metrics))
        .routes(routes!(description::openapi))
}

pub(super) fn wrong_method() -> ApiError {
    let message = "the path takes no such method: the field `Allow` has those that it takes";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

pub(super) async fn not_found() -> ApiError {
    let message = "there is no such path: /api/v1/openapi.json describes those that there are";
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}
