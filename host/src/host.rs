//! A host in this process: built from a [`Config`], and served on a listener until a shutdown.
//!
//! [`Host::build`] does all that can fail: it reads keys and certificates, asks chains and facilitators, loads the
//! plugins and opens the ledger. It binds no port, and starts no task but the exporter of traces, which begins with the
//! configuration that names one. [`Host::serve`] runs the tasks of the host, and ends them before it returns.

mod allowances;
mod check;
mod error;
mod facilitators;
mod keys;
mod ledger_lock;
mod operation;
mod options;
mod policies;
mod reload;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use coinslot_evm::{SenderKind, SenderTag};
use coinslot_facilitator::Seller;
use coinslot_ledger::{Author, Ledger, Retention, SqliteLedger};
use coinslot_plugin::{GuestOutput, PausedPlugins, PluginPolicies, Runtime, RuntimeConfig};
use coinslot_x402::UnixTime;

use self::operation::Operation;
use self::reload::Reload;
use crate::catalog::{Catalog, Folder, History, HistoryFile, SalesPolicy, ScanReport};
use crate::config::{Config, ConfigFacts, ServerConfig, TlsFiles};
use crate::discover::{Logo, Publisher, reserved_paths};
use crate::operate::Audit;
use crate::payment::{Payments, PaymentsConfig, RateLimits, ReceiptSigner};
use crate::refund::Refunds;
use crate::server::{Hosts, Identity, RequestHandler, ServerSettings, Tls};

pub use self::check::{HostCheck, LocalCheck};
pub use self::error::HostError;
pub use self::facilitators::{Chains, Facilitators, configure_settlement};
pub(crate) use self::keys::text as secret_text;
pub(crate) use self::ledger_lock::is_running;
pub use self::options::{AdminOptions, HostOptions, OnChange, OnReady};
pub(crate) use self::policies::{all_receivers, unknown_plugin, warnings};
pub use self::reload::ConfigFile;

/// A host that is ready to serve.
#[derive(Debug)]
pub struct Host {
    config: Config,
    options: HostOptions,
    loaded: Loaded,
    payments: Arc<Payments>,
    handler: RequestHandler,
    tls: Option<Arc<Tls>>,
    operation: Operation,
    audit: Arc<Audit>,
    refunds: Option<Arc<Refunds>>,
    publisher: Arc<Publisher>,
}

/// The plugins of the folder, and the connected facilitators.
#[derive(Debug)]
struct Loaded {
    facilitators: Facilitators,
    catalog: Arc<ArcSwap<Catalog>>,
    folder: Folder,
    report: ScanReport,
}

impl Host {
    /// Builds a host. Challenges name [`Config::origin`], so bind the listener first if `listen` has port 0.
    pub async fn build(config: Config, mut options: HostOptions) -> Result<Self, HostError> {
        let tls = tls(&config.server)?;
        let receipts = keys::receipts(&config.payment)?;
        let allowances = allowances::read(&config.allowances)?;
        let logo = logo(&config)?;
        if options.ledger.is_none() {
            ledger_lock::wait(&config).await;
        }
        let tag = SenderTag { kind: SenderKind::Host, id: identity(&config, &options)? };
        let seller = Seller { tag, shares_receiver: config.payment.receiver_shared };
        // The history is opened before the first scan, which keeps in it the builds that it loads.
        let policies = policies::read(&config.plugins)?;
        let operation = Operation::new(&config)?;
        let calls = operation.call_observer(&config);
        let facilitators = facilitators::connect(&config, options.chains, seller, calls).await?;
        let refunds = keys::refunds(&config, &facilitators)?.map(Arc::new);
        let mut loaded = load(&config, &options, policies, facilitators, operation.paused(), operation.output())?;
        let history = config.state.history();
        // The first scan writes anew what served before.
        let before = HistoryFile::read(&history).unwrap_or_default();
        let opened = History::open(&history).map_err(|source| HostError::File { path: history, source })?;
        loaded.folder = loaded.folder.with_history(opened);
        if options.has_whole_files {
            loaded.folder = loaded.folder.with_whole_files();
        }
        loaded.report = if options.on_ready.is_some() { loaded.begin().await? } else { loaded.settle().await? };
        let ledger = match options.ledger.take() {
            Some(ledger) => ledger,
            None => ledger_lock::open(&config).await?,
        };
        let sign = |key: coinslot_evm::Key| -> ReceiptSigner {
            Arc::new(move |digest| key.sign(digest).map_err(|error| error.to_string()))
        };
        let observer = operation.observer(&config, options.observer.clone());
        let payments = Payments::new(
            loaded.facilitators.payment_methods.clone(),
            with_fault_points(ledger),
            PaymentsConfig {
                keep_answer_bytes: config.state.max_kept_answer,
                held_bytes: config.server.max_held_bytes,
                min_body_rate: config.server.min_body_rate,
                retention: Retention {
                    answers: config.state.keep_answers_for,
                    payments: config.state.keep_payments_for,
                    answer_bytes: config.state.max_kept_answers,
                },
                receipts: receipts.map(sign),
                allowances,
                rate_limits: RateLimits {
                    payments_per_second: config.payment.rate_limits.payments_per_second,
                    failures_per_second: config.payment.rate_limits.failures_per_second,
                },
                quote_key: keys::quotes(&config.state.folder.join("quote.key"))?,
                #[expect(clippy::disallowed_methods, reason = "here the clock enters")]
                clock: || UnixTime::from(SystemTime::now()),
            },
        );
        payments.load().await.map_err(HostError::ledger)?;
        let proxies = config.server.trusted_proxies.clone();
        let publisher = Publisher::new(config.discover.clone(), logo);
        #[cfg(feature = "dev")]
        let publisher = publisher.with_test_wallet(options.test_wallet.take());
        let publisher = Arc::new(publisher);
        let handler =
            RequestHandler::new(Arc::clone(&loaded.catalog), Arc::clone(&payments), hosts(&config.server), proxies)
                .with_strict_transport(config.server.tls.as_ref().and_then(|tls| tls.strict_for))
                .with_private_network_access(config.server.private_network_access)
                .with_publisher(Arc::clone(&publisher))
                .with_observer(observer)
                .with_telemetry(operation.telemetry());
        let audit = Arc::new(Audit::new(Arc::clone(&payments), Arc::clone(&loaded.catalog), &before));
        Ok(Self { config, options, loaded, payments, handler, tls, operation, audit, refunds, publisher })
    }

    /// The active plugins and their endpoints; a new generation takes the place of the old one when they change.
    pub fn catalog(&self) -> &Arc<ArcSwap<Catalog>> {
        &self.loaded.catalog
    }

    /// The first scan of the plugin folder.
    pub fn report(&self) -> &ScanReport {
        &self.loaded.report
    }

    /// Plugin names in the configuration that no active plugin has: a slip, or a plugin that is yet to come.
    pub fn unknown_plugins(&self) -> Vec<String> {
        self.loaded.folder.unknown_plugins()
    }

    /// Serves until `shutdown`, and then until everything at work is finished or the drain timeout is over.
    ///
    /// Beside the server run: recovery of unfinished settlements, the watch of the plugin folder, the watch of the
    /// certificate, and, with a configuration file, the reload of the configuration. All of them are ended before this
    /// returns, and also if it is dropped.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let Self { config, options, loaded, payments, handler, tls, operation, audit, refunds, publisher } = self;
        let history = config.state.history();
        audit.write(audit.of_scan(&Author::Start, &loaded.report, &history)).await;
        let server = &config.server;
        let settings = ServerSettings {
            max_connections: server.max_connections,
            max_connections_per_client: server.max_connections_per_client,
            keep_alive: server.keep_alive,
            shutdown_delay: server.shutdown_delay,
            drain_timeout: server.drain_timeout,
            tls: tls.clone(),
            ..ServerSettings::default()
        };
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
            catalog,
            Arc::clone(&payments),
            books,
            options.admin,
        );
        let at_work = Arc::clone(&payments);
        tasks.spawn(crate::payment::recover(payments));
        let (reconfigure, received) = mpsc::channel(1);
        if let Some(file) = options.config_file {
            let origin = loaded.catalog.load().public_url().to_owned();
            let reload = Reload::new(file, active, origin, loaded.facilitators, reconfigure, at_work);
            let reload = reload.seen_by(Arc::clone(&audit), output).await;
            tasks.spawn(reload.telling(webhooks).beside(refunds).publishing(publisher).follow());
        }
        let (mut on_change, mut on_ready) = (options.on_change, options.on_ready);
        let catalog = loaded.catalog;
        // What is still compiled was found when the host started.
        let mut is_started = loaded.folder.is_complete();
        if is_started && let Some(on_ready) = on_ready.take() {
            on_ready(&catalog.load());
        }
        tasks.spawn(crate::catalog::watch(loaded.folder, received, move |report| {
            if report.completed
                && let Some(on_ready) = on_ready.take()
            {
                on_ready(&catalog.load());
            }
            let who = if is_started { Author::Folder } else { Author::Start };
            let changes = audit.of_scan(&who, report, &history);
            is_started |= report.completed;
            if report.has_changes()
                && let Some(on_change) = &mut on_change
            {
                on_change(report);
            }
            let audit = Arc::clone(&audit);
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

impl Loaded {
    /// Loads what is compiled, and begins with the rest.
    async fn begin(&mut self) -> Result<ScanReport, HostError> {
        let begun = self.folder.begin().await;
        begun.map_err(|source| HostError::PluginFolder { dir: self.folder.dir().to_owned(), source })
    }

    /// Loads what the folder holds now.
    async fn settle(&mut self) -> Result<ScanReport, HostError> {
        let settled = self.folder.settle().await;
        settled.map_err(|source| HostError::PluginFolder { dir: self.folder.dir().to_owned(), source })
    }
}

/// Prepares the plugin folder, which is not scanned yet.
fn load(
    config: &Config,
    options: &HostOptions,
    policies: PluginPolicies,
    facilitators: Facilitators,
    paused: &Arc<PausedPlugins>,
    output: &Arc<GuestOutput>,
) -> Result<Loaded, HostError> {
    facilitators.settle_for(&policies::receivers(&config.plugins, &facilitators.accepts));
    let state = &config.state.folder;
    create(state)?;
    let artifacts = config.state.artifacts();
    let runtime = RuntimeConfig {
        functions: options.functions.clone().unwrap_or_else(|| artifacts.clone()),
        instances: config.plugins.max_instances,
        compiler: options.compiler.clone(),
        priority: options.priority,
        paused: Arc::clone(paused),
        output: Arc::clone(output),
        ..RuntimeConfig::new(artifacts, crate::respond::is_host_only)
    };
    let runtime = Runtime::new(runtime).map_err(|error| HostError::Runtime(error.to_string()))?;
    let origin = config.origin(options.address.unwrap_or(config.server.listen));
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::empty(&origin)));
    let (accepts, flows) = (facilitators.accepts.clone(), config.payment.flows.clone());
    let sales = SalesPolicy {
        accepts,
        public_url: origin,
        flows,
        pins: policies::pins(&config.plugins),
        overrides: policies::overrides(&config.plugins),
        unchecked: policies::unchecked(&config.plugins),
        same_origin: policies::same_origin(&config.plugins),
        reserved: reserved_paths(&config.discover),
        bazaar: config.discover.bazaar,
        checks_answers: options.checks_answers,
    };
    let folder = Folder::new(config.plugins.folder.clone(), runtime, policies, sales, Arc::clone(&catalog));
    Ok(Loaded { facilitators, catalog, folder, report: ScanReport::default() })
}

/// The identity of the host's ledger. Facilitators need it, and are connected before the ledger is opened: a start that
/// fails may be tried again at once.
fn identity(config: &Config, options: &HostOptions) -> Result<[u8; 16], HostError> {
    if let Some(ledger) = &options.ledger {
        return Ok(ledger.identity());
    }
    create(&config.state.folder)?;
    SqliteLedger::identity_at(&config.state.ledger()).map_err(HostError::ledger)
}

/// Creates a folder, unless there is one.
fn create(folder: &Path) -> Result<(), HostError> {
    std::fs::create_dir_all(folder).map_err(|source| HostError::File { path: folder.to_owned(), source })
}

/// Reads the operator's picture.
fn logo(config: &Config) -> Result<Logo, HostError> {
    Logo::read(config.discover.logo.as_deref()).map_err(|error| HostError::Config(error.to_string()))
}

/// Reads the certificate, if one is configured.
fn tls(config: &ServerConfig) -> Result<Option<Arc<Tls>>, HostError> {
    let Some(TlsFiles { certificates, key, strict_for: _ }) = config.tls.clone() else { return Ok(None) };
    let tls = Tls::new(Identity { certificates, key }).map_err(|error| HostError::Config(format!("tls: {error}")))?;
    Ok(Some(Arc::new(tls)))
}

/// The host names that are served. Without a public address every name is; with one, others are refused. Some clients
/// write the port even where it is the scheme's own.
fn hosts(config: &ServerConfig) -> Hosts {
    let Some((scheme, name)) = config.public_url.as_deref().and_then(|url| url.split_once("://")) else {
        return Hosts::Any;
    };
    let port = if scheme == "https" { 443 } else { 80 };
    // The rest is a path, which a proxy removes.
    let name = name.split_once('/').map_or(name, |(name, _)| name);
    let own = [name.to_ascii_lowercase(), format!("{}:{port}", name.to_ascii_lowercase())];
    Hosts::Only(own.into_iter().chain(config.hosts.iter().cloned()).collect())
}

/// Wraps the ledger in crash points when they are armed, which only tests do.
fn with_fault_points(ledger: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
    #[cfg(feature = "fault-points")]
    if crate::fault_points::is_armed() {
        return Arc::new(crate::fault_points::ledger::CrashingLedger(ledger));
    }
    ledger
}
