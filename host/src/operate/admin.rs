//! Serves the admin listener: the API, its description, the metrics, and the dashboard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use coinslot_plugin::GuestOutput;
use coinslot_x402::UnixTime;

use super::access::{AdminAccess, with_scheme};
use super::alerts::AlertCounts;
use super::api;
use super::api::read::ReportRoom;
use super::audit::Audit;
use super::listener::Standing;
use super::metrics::Metrics;
use super::pages::{self, MoneyCache, login};
use super::pauses::Pauses;
use super::reconciled::{Differences, compare_for_ever};
use super::samples::Samples;
use super::units::Units;
use super::webhooks::Webhook;
use crate::catalog::Catalog;
use crate::config::{ActiveConfig, Config};
use crate::host::AdminOptions;
use crate::payment::Payments;
use crate::refund::Refunds;

/// The most bytes of a request's body: a token, a form or a few words. Strangers may send one before they are known.
const MOST_BODY: usize = 16 << 10;

/// The parts of a host that operators change, and the audit log of the changes.
#[derive(Debug)]
pub(crate) struct Controls {
    pub(crate) pauses: Pauses,
    pub(crate) audit: Arc<Audit>,
    pub(crate) output: Arc<GuestOutput>,
    pub(crate) refunds: Option<Arc<Refunds>>,
}

/// A running host, as the admin listener sees it.
#[derive(Debug)]
pub struct HostView {
    pub started: UnixTime,
    /// The configuration that the host was built with.
    pub config: Config,
    /// The configuration that is active, after reloads.
    pub active: Arc<ActiveConfig>,
    pub catalog: Arc<ArcSwap<Catalog>>,
    pub payments: Arc<Payments>,
    pub metrics: Arc<Metrics>,
    /// The addresses that are told what happens.
    pub webhooks: Vec<Arc<Webhook>>,
    pub(super) pauses: Pauses,
    pub(super) differences: Differences,
    pub(super) alert_counts: AlertCounts,
    pub(super) audit: Arc<Audit>,
    /// The output of plugins.
    pub(super) output: Arc<GuestOutput>,
    /// None: nothing is paid back.
    pub(super) refunds: Option<Arc<Refunds>>,
    /// The counters of the last hour.
    pub(super) samples: Arc<Samples>,
    pub(super) money: MoneyCache,
    pub(super) reports: ReportRoom,
}

impl HostView {
    /// A host that starts now.
    pub(crate) fn new(
        active: Arc<ActiveConfig>,
        catalog: Arc<ArcSwap<Catalog>>,
        payments: Arc<Payments>,
        metrics: Arc<Metrics>,
        webhooks: Vec<Arc<Webhook>>,
        controls: Controls,
    ) -> Arc<Self> {
        let (samples, money, differences) = (Arc::default(), MoneyCache::default(), Differences::default());
        let Controls { pauses, audit, output, refunds } = controls;
        let config = active.load().config.clone();
        Arc::new(Self {
            started: payments.now(),
            config,
            active,
            catalog,
            payments,
            metrics,
            webhooks,
            pauses,
            audit,
            output,
            refunds,
            differences,
            alert_counts: AlertCounts::default(),
            samples,
            money,
            reports: ReportRoom::default(),
        })
    }

    /// The configuration of the start, with the tables of plugins that are active now.
    pub(super) fn active_config(&self) -> Config {
        let mut config = self.config.clone();
        config.plugins.by_name.clone_from(&self.active.load().config.plugins.by_name);
        config
    }

    /// The units of the amounts in its ledger.
    pub(super) fn units(&self) -> Units {
        Units::of(Some(&self.config))
    }
}

/// Tells every webhook what happens, and compares the ledger with the chains, for ever.
pub async fn tell(host: Arc<HostView>) {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(compare_for_ever(Arc::clone(&host)));
    for webhook in &host.webhooks {
        tasks.spawn(Arc::clone(webhook).run(Arc::clone(&host)));
    }
    while tasks.join_next().await.is_some() {}
}

/// Answers operators for ever, and keeps the counters of the last hour for them.
pub async fn serve(options: AdminOptions, host: Arc<HostView>) {
    let AdminOptions { listener, tls, access } = options;
    let sampling = Arc::clone(&host.samples).follow(Arc::clone(&host.metrics), Arc::clone(host.payments.ledger()));
    let router = router(Arc::new(access), host);
    tokio::select! {
        () = super::listener::serve(listener, tls, router) => {}
        () = sampling => {}
    }
}

fn router(access: Arc<AdminAccess>, host: Arc<HostView>) -> Router {
    let (api, document) = api::routes().split_for_parts();
    api.layer(Extension(Arc::new(api::description::complete(document))))
        .layer(middleware::from_fn(api::page::link))
        .merge(pages::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&access), admit))
        .merge(pages::open_routes())
        .layer(middleware::from_fn_with_state(Arc::clone(&access), check_source))
        .layer(middleware::from_fn(pages::guard))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(Extension(access))
        .with_state(host)
}

async fn not_found(request: Request) -> Response {
    if pages::is_of_api(request.uri().path()) {
        api::not_found().await.into_response()
    } else {
        pages::not_found().await.into_response()
    }
}

async fn wrong_method(request: Request) -> Response {
    let error = api::wrong_method();
    if is_page(&request) { pages::frame::PageError(error).into_response() } else { error.into_response() }
}

/// Refuses requests that come by a foreign name or from a foreign page, whatever they ask for.
async fn check_source(State(access): State<Arc<AdminAccess>>, request: Request, next: Next) -> Response {
    match access.check_source(&request) {
        Ok(()) => next.run(request).await,
        Err(error) if is_page(&request) => pages::frame::PageError(error).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Refuses requests of strangers: a program is told how to send the token, and a browser is shown where.
async fn admit(
    State(access): State<Arc<AdminAccess>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    match access.admit(&request, client.ip(), Instant::now()) {
        Ok(visitor) => {
            request.extensions().get::<Standing>().inspect(|standing| standing.admit());
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(error) if is_page(&request) => login::refused(error, request.uri(), client.ip()),
        Err(error) => with_scheme(error.into_response()),
    }
}

fn is_page(request: &Request) -> bool {
    !pages::is_of_api(request.uri().path())
}
