//! Serves a host until its shutdown: starts its tasks beside the server, and ends them with it.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use coinslot_ledger::{Author, Change};

use super::reload::Reload;
use super::{Host, OnChange, OnReady, policies};
use crate::catalog::{Catalog, ScanReport};
use crate::config::{ConfigFacts, ServerConfig};
use crate::operate::Audit;
use crate::server::{ServerSettings, Tls};

impl Host {
    /// Serves until `shutdown`, and then until everything at work is finished or the drain timeout is over.
    ///
    /// Beside the server run: recovery of unfinished settlements, the watch of the plugin folder, the watch of the
    /// certificate, and, with a configuration file, the reload of the configuration. All of them are ended before this
    /// returns, and also if it is dropped.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let Self { config, options, loaded, payments, handler, tls, operation, audit, refunds, publisher } = self;
        let history = config.state.history();
        audit.write(audit.of_scan(&Author::Start, &loaded.report, &history)).await;
        let settings = settings(&config.server, tls.clone());
        let mut tasks = JoinSet::new();
        for facilitator in payments.facilitators() {
            tasks.spawn(async move { facilitator.watch().await });
        }
        let catalog = Arc::clone(&loaded.catalog);
        let active = Arc::new(ConfigFacts::of(config.clone(), payments.now(), policies::warnings(&config)));
        let output = Arc::clone(operation.output());
        let (seen, books) = (Arc::clone(&active), Arc::clone(&audit));
        let (rest, webhooks) = (operation.rest(&payments), operation.webhooks());
        operation.paying_back_by(refunds.clone()).start(
            &mut tasks,
            seen,
            Arc::clone(&catalog),
            Arc::clone(&payments),
            books,
            options.admin,
        );
        let at_work = Arc::clone(&payments);
        tasks.spawn(crate::payment::recover(payments));
        let (reconfigure, received) = mpsc::channel(1);
        if let Some(file) = options.config_file {
            let origin = catalog.load().public_url().to_owned();
            let reload = Reload::new(file, active, origin, loaded.facilitators, reconfigure, at_work);
            let reload = reload.seen_by(Arc::clone(&audit), output).await;
            tasks.spawn(reload.telling(webhooks).beside(refunds).publishing(publisher).follow());
        }
        let (on_change, on_ready) = (options.on_change, options.on_ready);
        let mut scans = ScanReports { catalog, audit, history, is_started: false, on_change, on_ready };
        // What is still compiled was found when the host started.
        if loaded.folder.is_complete() {
            scans.complete();
            scans.is_started = true;
        }
        tasks.spawn(crate::catalog::watch(loaded.folder, received, move |report| {
            let (audit, changes) = (Arc::clone(&scans.audit), scans.take(report));
            async move { audit.write(changes).await }
        }));
        if let Some(tls) = tls {
            tasks.spawn(tls.watch());
        }
        // The tasks run until the server has drained. If this future is dropped, `tasks` aborts them.
        tokio::select! {
            () = crate::server::run(listener, Arc::new(handler), settings, shutdown) => {}
            () = report_panics(&mut tasks) => {}
        }
        // The gauges read what the tasks hold.
        rest.flush().await;
        tasks.shutdown().await;
    }
}

/// The readers of the reports of scans that follow the first one.
struct ScanReports {
    catalog: Arc<ArcSwap<Catalog>>,
    audit: Arc<Audit>,
    /// The folder of the history.
    history: PathBuf,
    /// Everything that the folder held at the start is active or refused.
    is_started: bool,
    on_change: Option<OnChange>,
    /// None: it was called.
    on_ready: Option<OnReady>,
}

impl ScanReports {
    /// Tells the callbacks of a scan. Returns its lines of the audit log, which are to be written.
    fn take(&mut self, report: &ScanReport) -> Vec<Change> {
        if report.completed {
            self.complete();
        }
        let who = if self.is_started { Author::Folder } else { Author::Start };
        let changes = self.audit.of_scan(&who, report, &self.history);
        self.is_started |= report.completed;
        if report.has_changes()
            && let Some(on_change) = &mut self.on_change
        {
            on_change(report);
        }
        changes
    }

    /// Calls back, once, that everything that the folder held at the start is active or refused.
    fn complete(&mut self) {
        if let Some(on_ready) = self.on_ready.take() {
            on_ready(&self.catalog.load());
        }
    }
}

fn settings(server: &ServerConfig, tls: Option<Arc<Tls>>) -> ServerSettings {
    ServerSettings {
        max_connections: server.max_connections,
        max_connections_per_client: server.max_connections_per_client,
        keep_alive: server.keep_alive,
        shutdown_delay: server.shutdown_delay,
        drain_timeout: server.drain_timeout,
        tls,
        ..ServerSettings::default()
    }
}

/// Reports tasks that panic, for ever: the host serves on, and does without what they did.
async fn report_panics(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a task of the host has failed: restart it, and report this");
        }
    }
    std::future::pending().await
}
