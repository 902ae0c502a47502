//! Serves the admin listener: the API, its description, and the metrics.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use coinslot_x402::UnixTime;
use tokio::net::TcpListener;

use super::access::{AdminAccess, with_scheme};
use super::api;
use super::metrics::Metrics;
use super::units::Units;
use super::webhooks::Webhook;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::payment::Payments;

/// A running host, as the admin listener sees it.
#[derive(Debug)]
pub struct HostView {
    pub started: UnixTime,
    /// The configuration that the host was built with.
    pub config: Config,
    pub catalog: Arc<ArcSwap<Catalog>>,
    pub payments: Arc<Payments>,
    /// None without a listener for operators.
    pub metrics: Option<Arc<Metrics>>,
    /// The addresses that are told what happens.
    pub webhooks: Vec<Arc<Webhook>>,
}

impl HostView {
    /// The units of the amounts in its ledger.
    pub(super) fn units(&self) -> Units {
        Units::of(Some(&self.config))
    }
}

/// Tells every webhook what happens, for ever.
pub async fn tell(host: Arc<HostView>) {
    let mut tasks = tokio::task::JoinSet::new();
    for webhook in &host.webhooks {
        tasks.spawn(Arc::clone(webhook).run(Arc::clone(&host)));
    }
    while tasks.join_next().await.is_some() {}
}

/// Answers operators for ever.
pub async fn serve(listener: TcpListener, access: AdminAccess, host: Arc<HostView>) {
    let router = router(access, host);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the admin listener has ended");
    }
}

fn router(access: AdminAccess, host: Arc<HostView>) -> Router {
    let (api, document) = api::routes().split_for_parts();
    let document = Arc::new(document);
    let described = axum::routing::get(move || {
        let document = Arc::clone(&document);
        async move { axum::Json((*document).clone()) }
    });
    api.route("/api/v1/openapi.json", described)
        .fallback(api::not_found)
        .layer(middleware::from_fn_with_state(Arc::new(access), admit))
        .with_state(host)
}

async fn admit(State(access): State<Arc<AdminAccess>>, request: Request, next: Next) -> Response {
    match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => with_scheme(error.into_response()),
    }
}
