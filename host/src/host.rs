//! Builds a host in this process from a [`Config`], and serves it on a listener until a shutdown.
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
mod loaded;
mod operation;
mod options;
mod policies;
mod reload;
mod serve;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use coinslot_evm::{Key, SenderKind, SenderTag};
use coinslot_facilitator::Seller;
use coinslot_ledger::{Ledger, Retention, SqliteLedger};
use coinslot_x402::UnixTime;

use self::loaded::Loaded;
use self::operation::Operation;
use crate::allowance::AllowancePolicy;
use crate::catalog::{Catalog, ScanReport};
use crate::config::{Config, ServerConfig, TlsFiles};
use crate::discover::{Logo, Publisher};
use crate::operate::Audit;
use crate::payment::{Payments, PaymentsConfig, RateLimits, ReceiptSigner};
use crate::refund::Refunds;
use crate::server::{Hosts, Identity, RequestHandler, Tls};

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
        let policies = policies::read(&config.plugins)?;
        let operation = Operation::new(&config)?;
        let calls = operation.call_observer(&config);
        let facilitators = facilitators::connect(&config, options.chains, seller, calls).await?;
        let refunds = keys::refunds(&config, &facilitators)?.map(Arc::new);
        let loaded = Loaded::new(&config, &options, policies, facilitators, operation.paused(), operation.output())?;
        let (mut loaded, before) = loaded.with_history(&config)?;
        if options.has_whole_files {
            loaded.folder = loaded.folder.with_whole_files();
        }
        if options.on_ready.is_some() {
            loaded.begin().await?
        } else {
            loaded.settle().await?
        }
        let ledger = match options.ledger.take() {
            Some(ledger) => ledger,
            None => ledger_lock::open(&config).await?,
        };
        let observer = operation.observer(&config, options.observer.clone());
        let methods = loaded.facilitators.payment_methods.clone();
        let payments =
            Payments::new(methods, with_fault_points(ledger), payments_config(&config, receipts, allowances)?);
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
}

/// The settings of the payment service.
fn payments_config(
    config: &Config,
    receipts: Option<Key>,
    allowances: AllowancePolicy,
) -> Result<PaymentsConfig, HostError> {
    let sign =
        |key: Key| -> ReceiptSigner { Arc::new(move |digest| key.sign(digest).map_err(|error| error.to_string())) };
    Ok(PaymentsConfig {
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
    })
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
