//! Holds what operators see of a host and change in it, from its build to the tasks that serve them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use coinslot_plugin::{GuestOutput, PausedPlugins};
use tokio::task::JoinSet;

use super::{AdminOptions, HostError, policies};
use crate::catalog::Catalog;
use crate::config::{ActiveConfig, Config};
use crate::operate::{Audit, Controls, HostView, Metrics, Pauses, Webhook};
use crate::payment::Payments;
use crate::server::RequestObserver;

/// The metrics, the webhooks and the pauses of a host.
#[derive(Debug)]
pub(super) struct Operation {
    metrics: Arc<Metrics>,
    webhooks: Vec<Arc<Webhook>>,
    pauses: Pauses,
    output: Arc<GuestOutput>,
}

impl Operation {
    /// Reads the secrets of the webhooks and the pauses.
    pub(super) fn new(config: &Config) -> Result<Self, HostError> {
        let webhooks = config.webhooks.iter().map(|config| Webhook::new(config.clone()).map(Arc::new));
        let webhooks = webhooks.collect::<Result<Vec<_>, _>>()?;
        let metrics = Metrics::new().map_err(|error| HostError::Runtime(error.to_string()))?;
        let file = config.state.paused();
        let pauses = Pauses::open(file.clone()).map_err(|source| HostError::File { path: file, source })?;
        let output = Arc::new(GuestOutput::default());
        output.configure(&policies::log_levels(&config.plugins));
        Ok(Self { metrics, webhooks, pauses, output })
    }

    /// The plugins that are paused.
    pub(super) fn paused(&self) -> &Arc<PausedPlugins> {
        self.pauses.plugins()
    }

    /// What plugins print.
    pub(super) fn output(&self) -> &Arc<GuestOutput> {
        &self.output
    }

    /// The observer of requests: that of the metrics before this one, unless nobody reads them.
    pub(super) fn observer(&self, config: &Config, other: Option<RequestObserver>) -> Option<RequestObserver> {
        match &config.admin {
            Some(_) => Some(self.metrics.observer(other)),
            None => other,
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
        let Self { metrics, webhooks, pauses, output } = self;
        let ledger = Arc::clone(payments.ledger());
        let view = HostView::new(active, catalog, payments, metrics, webhooks, Controls { pauses, audit, output });
        tasks.spawn(crate::operate::tell(Arc::clone(&view)));
        if let Some(admin) = admin {
            view.metrics.watch(&view);
            tasks.spawn(Arc::clone(&view.metrics).follow(ledger));
            tasks.spawn(crate::operate::serve(admin, view));
        }
    }
}
