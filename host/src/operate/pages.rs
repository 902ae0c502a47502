//! Serves the dashboard: pages that are rendered here, with one style sheet and one small script.
//!
//! Their numbers come from the handlers of the API and from the instruments of the metrics, so that all three say the
//! same. Pages work without the script, which only keeps them fresh. The policy of their content allows nothing from
//! elsewhere, and nothing inline.

mod alerts;
mod beside;
mod chain;
mod changes;
mod chart;
mod config;
mod explorer;
mod failed;
pub(super) mod frame;
pub(super) mod login;
mod money;
mod now;
mod payment;
mod payments;
mod plugin_changes;
mod plugins;
mod refund;
mod settle;
mod webhooks;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub(super) use self::money::MoneyCache;
use super::access::Visitor;
use super::admin::HostView;
use super::api::ApiError;
use frame::PageError;

/// The policy of the content: a page loads from here, sends to here, and is framed by nobody.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The pages for who is admitted.
pub(super) fn routes() -> Router<Arc<HostView>> {
    Router::new()
        .route("/", get(now::page))
        .route("/payments", get(payments::page))
        .route("/payments/{id}", get(payment::page))
        .route("/payments/{id}/refund", post(refund::pay))
        .route("/payments/{id}/settle", post(settle::settle))
        .route("/money", get(money::page))
        .route("/failed", get(failed::page))
        .route("/plugins", get(plugins::page))
        .route("/plugins/{file}/rollback", post(plugin_changes::roll_back))
        .route("/plugins/{file}/pause", post(plugin_changes::pause_it))
        .route("/plugins/{file}/resume", post(plugin_changes::resume_it))
        .route("/chain", get(chain::page))
        .route("/webhooks", get(webhooks::page))
        .route("/webhooks/resend", post(webhooks::resend))
        .route("/changes", get(changes::page))
        .route("/config", get(config::page))
        .route("/logout", post(login::sign_out))
}

/// The pages for everybody who may speak to the listener at all.
pub(super) fn open_routes() -> Router<Arc<HostView>> {
    let style = || async { asset("text/css; charset=utf-8", include_str!("pages/style.css")) };
    let icon = || async { asset("image/svg+xml", include_str!("pages/icon.svg")) };
    let script = || async { asset("text/javascript; charset=utf-8", include_str!("pages/live.js")) };
    Router::new()
        .route("/login", get(login::page).post(login::sign_in))
        .route("/assets/icon.svg", get(icon))
        .route("/assets/style.css", get(style))
        .route("/assets/live.js", get(script))
}

/// True for paths of programs, whose errors are JSON.
pub(super) fn is_of_api(path: &str) -> bool {
    path == "/metrics" || path.starts_with("/api/")
}

pub(super) async fn not_found() -> PageError {
    PageError(ApiError::new(StatusCode::NOT_FOUND, "not_found", "Nothing is kept under this address."))
}

/// Adds the fields that keep a page to itself.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let is_asset = request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Without a referrer browsers call the origin of a form `null`.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // A page has what only operators may know; an asset is asked for anew after an upgrade of the host.
        (CACHE_CONTROL, if is_asset { "no-cache" } else { "no-store" }),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// The visitor, as the access has found it.
impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| PageError(ApiError::new(StatusCode::UNAUTHORIZED, "token_missing", "Sign in first.")))
    }
}
