//! Holds what operators see of a host and change in it, from its build to the tasks that serve them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use coinslot_facilitator::CallObserver;
use coinslot_ledger::Ledger;
use coinslot_plugin::{GuestOutput, PausedPlugins};
use tokio::task::JoinSet;

use super::{AdminOptions, HostError, policies};
use crate::catalog::Catalog;
use crate::config::{ActiveConfig, Config};
use crate::operate::{Audit, Controls, HostView, Metrics, Pauses, Telemetry, TelemetryError, Webhook, write_all};
use crate::payment::Payments;
use crate::refund::Refunds;
use crate::server::RequestObserver;

/// The longest wait for the last numbers of requests.
const LAST_WRITE: Duration = Duration::from_secs(3);

/// The metrics, the webhooks and the pauses of a host.
#[derive(Debug)]
pub(super) struct Operation {
    metrics: Arc<Metrics>,
    /// None: nothing is exported.
    telemetry: Option<Arc<Telemetry>>,
    webhooks: Vec<Arc<Webhook>>,
    pauses: Pauses,
    output: Arc<GuestOutput>,
    /// None: nothing is paid back.
    refunds: Option<Arc<Refunds>>,
}

impl Operation {
    /// Reads the secrets of the webhooks and the pauses.
    pub(super) fn new(config: &Config) -> Result<Self, HostError> {
        let webhooks = config.webhooks.iter().map(|config| Webhook::new(config.clone()).map(Arc::new));
        let webhooks = webhooks.collect::<Result<Vec<_>, _>>()?;
        let unready = |error: TelemetryError| HostError::Config(error.to_string());
        let telemetry = config.telemetry.as_ref().map(Telemetry::new).transpose().map_err(unready)?;
        let exported = config.telemetry.as_ref().filter(|telemetry| telemetry.metrics);
        let reader = exported.map(Telemetry::metric_reader).transpose().map_err(unready)?;
        let metrics = Metrics::new(config, reader).map_err(|error| HostError::Runtime(error.to_string()))?;
        let file = config.state.paused();
        let pauses = Pauses::open(file.clone()).map_err(|source| HostError::File { path: file, source })?;
        let output = Arc::new(GuestOutput::default());
        output.configure(&policies::log_levels(&config.plugins));
        Ok(Self { metrics, telemetry, webhooks, pauses, output, refunds: None })
    }

    /// Pays owed answers back from this wallet.
    pub(super) fn paying_back_by(self, refunds: Option<Arc<Refunds>>) -> Self {
        Self { refunds, ..self }
    }

    /// The plugins that are paused.
    pub(super) fn paused(&self) -> &Arc<PausedPlugins> {
        self.pauses.plugins()
    }

    /// The addresses that are told what happens.
    pub(super) fn webhooks(&self) -> Vec<Arc<Webhook>> {
        self.webhooks.clone()
    }

    /// The output of plugins.
    pub(super) fn output(&self) -> &Arc<GuestOutput> {
        &self.output
    }

    /// The observer of requests: that of the metrics before this one, unless nobody reads them.
    pub(super) fn observer(&self, config: &Config, other: Option<RequestObserver>) -> Option<RequestObserver> {
        if self.is_read(config) { Some(self.metrics.observer(other)) } else { other }
    }

    /// The observer of the calls of facilitators, unless nobody reads the metrics.
    pub(super) fn call_observer(&self, config: &Config) -> Option<Arc<dyn CallObserver>> {
        self.is_read(config).then(|| Arc::clone(&self.metrics) as _)
    }

    /// True if the metrics are scraped or exported.
    fn is_read(&self, config: &Config) -> bool {
        config.admin.is_some() || self.telemetry.is_some()
    }

    /// The exporter of traces, if there is one.
    pub(super) fn telemetry(&self) -> Option<Arc<Telemetry>> {
        self.telemetry.clone()
    }

    /// Takes the writers that the end of the host flushes: numbers of requests, spans, metrics, and journals of webhooks.
    pub(super) fn rest(&self, payments: &Payments) -> Rest {
        Rest {
            metrics: Arc::clone(&self.metrics),
            telemetry: self.telemetry.clone(),
            webhooks: self.webhooks.clone(),
            ledger: Arc::clone(payments.ledger()),
        }
    }

    /// Starts the tasks: one for the webhooks, and those of the admin listener, if there is one.
    pub(super) fn start(
        self,
        tasks: &mut JoinSet<()>,
        active: Arc<ActiveConfig>,
        catalog: Arc<ArcSwap<Catalog>>,
        payments: Arc<Payments>,
        audit: Arc<Audit>,
        admin: Option<AdminOptions>,
    ) {
        let Self { metrics, telemetry, webhooks, pauses, output, refunds } = self;
        let ledger = Arc::clone(payments.ledger());
        if let Some(refunds) = &refunds {
            tasks.spawn(Arc::clone(refunds).run(Arc::clone(&payments), Arc::clone(&audit)));
        }
        let view =
            HostView::new(active, catalog, payments, metrics, webhooks, Controls { pauses, audit, output, refunds });
        tasks.spawn(crate::operate::tell(Arc::clone(&view)));
        if admin.is_some() || telemetry.is_some() {
            view.metrics.watch(&view);
            telemetry.iter().for_each(|telemetry| view.metrics.watch_telemetry(telemetry));
            ledger.observe_commits(Arc::clone(&view.metrics) as _);
            tasks.spawn(Arc::clone(&view.metrics).follow(Arc::clone(&ledger)));
            tasks.spawn(Arc::clone(&view.metrics).follow_requests(ledger));
            tasks.spawn(crate::operate::count_alerts(Arc::clone(&view)));
        }
        if let Some(admin) = admin {
            tasks.spawn(crate::operate::serve(admin, view));
        }
    }
}

/// Everything that has something left to write when a host ends.
pub(super) struct Rest {
    metrics: Arc<Metrics>,
    telemetry: Option<Arc<Telemetry>>,
    webhooks: Vec<Arc<Webhook>>,
    ledger: Arc<dyn Ledger>,
}

impl Rest {
    /// Writes the numbers of requests and the journals of webhooks into the ledger, and exports what is left, each for a
    /// few seconds at most.
    pub(super) async fn flush(self) {
        if tokio::time::timeout(LAST_WRITE, self.metrics.write_funnel(&*self.ledger)).await.is_err() {
            tracing::warn!("the last requests could not be counted in the ledger in time");
        }
        let export = async {
            if let Some(telemetry) = self.telemetry {
                tokio::join!(telemetry.flush(), self.metrics.flush());
            }
        };
        tokio::join!(export, write_all(&self.webhooks, &*self.ledger));
    }
}
