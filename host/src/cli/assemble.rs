//! Puts a host together from its configuration: everything but binding a port.

pub(super) mod settlers;
pub(super) mod terms;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use comfy_table::{Table, presets};

use super::Failure;
use crate::catalog::{Catalog, Folder, History, SalesPolicy, ScanReport};
use crate::config::{Config, KeySource, TlsFiles};
use crate::payment::{PaymentMethod, Payments, PaymentsConfig, RateLimits, ReceiptSigner};
use crate::server::{Hosts, Identity, RequestHandler, Tls};
use coinslot_evm::Key;
use coinslot_facilitator::local::Local;
use coinslot_ledger::{Embedded, Ledger, Retention};
use coinslot_plugin::{Runtime, RuntimeConfig};
use coinslot_x402::UnixTime;
use coinslot_x402::price::Accept;
use settlers::Settlers;

/// Whether the embedded chain may stand behind a facilitator: only `coinslot dev` says yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chains {
    /// Chains that other people see.
    Real,
    /// The embedded one too.
    Devnet,
}

/// A host that is not listening yet.
pub(super) struct Assembled {
    pub(super) live: Arc<ArcSwap<Catalog>>,
    pub(super) folder: Folder,
    pub(super) payment_methods: Vec<PaymentMethod>,
    /// What is taken, in the versions that its facilitators understand.
    pub(super) accepts: Vec<Accept>,
    /// The facilitators in this process.
    pub(super) locals: Vec<Arc<Local>>,
    pub(super) report: ScanReport,
}

impl Assembled {
    /// The payments and the handler, on this ledger.
    pub(super) fn open(
        &self,
        config: &Config,
        ledger: Arc<dyn Ledger>,
    ) -> Result<(Arc<Payments>, Arc<RequestHandler>), Failure> {
        #[cfg(feature = "fault-points")]
        let ledger: Arc<dyn Ledger> = if crate::fault_points::is_armed() {
            Arc::new(crate::fault_points::ledger::CrashingLedger(ledger))
        } else {
            ledger
        };
        let payments = Payments::new(
            self.payment_methods.clone(),
            ledger,
            PaymentsConfig {
                keep_answer_bytes: config.keep_answer_bytes,
                retention: Retention { answers: config.keep_answers, payments: config.keep_payments },
                receipts: receipts_key(config)?.map(|key| -> ReceiptSigner {
                    Arc::new(move |digest| key.sign(digest).map_err(|error| error.to_string()))
                }),
                rate_limits: RateLimits {
                    payments_per_second: config.protect.payments_per_second,
                    failures_per_second: config.protect.failures_per_second,
                },
                quote_key: quote_key(&config.state.join("quote.key"))?,
                clock: || UnixTime::from(SystemTime::now()),
            },
        );
        let handler = RequestHandler::new(
            Arc::clone(&self.live),
            Arc::clone(&payments),
            hosts(config),
            config.trusted_proxies.clone(),
        );
        Ok((payments, Arc::new(handler)))
    }
}

/// Checks the chains and facilitators, and loads the plugins once. `keep` is where what is served is written down.
pub(super) async fn assemble(
    config: &Config,
    public_url: &str,
    chains: Chains,
    keep: Option<&Path>,
) -> Result<Assembled, Failure> {
    let policies = terms::terms(config)?;
    let Settlers { payment_methods, accepts, locals } = settlers::connect(config, chains).await?;
    let state = &config.state;
    std::fs::create_dir_all(state).map_err(|error| Failure::new(format!("{}: {error}", state.display())))?;
    let runtime = RuntimeConfig {
        instances: config.instances,
        compiler: std::env::current_exe().ok(),
        ..RuntimeConfig::new(state.join("artifacts"))
    };
    let runtime =
        Runtime::new(runtime).map_err(|error| Failure::new(format!("the plugin runtime cannot start: {error}")))?;
    let sales =
        SalesPolicy { accepts: accepts.clone(), public_url: public_url.to_owned(), flows: config.flows.clone() };
    let live = Arc::new(ArcSwap::from_pointee(Catalog::empty(public_url)));
    let mut folder = Folder::new(config.plugins.clone(), runtime, policies, sales, Arc::clone(&live));
    if let Some(shelf) = keep {
        let failed = |error| Failure::new(format!("{}: {error}", shelf.display()));
        folder = folder.with_history(History::open(shelf).map_err(failed)?);
    }
    let report = folder.settle().await.map_err(|error| {
        Failure::new(format!("the plugin folder {} cannot be read: {error}", folder.dir().display()))
    })?;
    Ok(Assembled { live, folder, payment_methods, accepts, locals, report })
}

/// One line for each `[plugin.NAME]` that says something of no plugin: a plugin may arrive later.
pub(super) fn unknown_plugins(folder: &Folder) -> Vec<String> {
    let line = |name: String| format!("plugin.{name}: no plugin of this name is active; what it says waits for one");
    folder.unknown_plugins().into_iter().map(line).collect()
}

/// The key that proves quotes, made at the first start: a quote outlives a restart.
fn quote_key(file: &Path) -> Result<[u8; 32], Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    match std::fs::read(file) {
        Ok(bytes) => bytes
            .try_into()
            .map_err(|_| Failure::new(format!("{}: not 32 bytes; remove it and a new one is made", file.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = secp256k1::rand::random::<[u8; 32]>();
            let mut made =
                std::fs::File::options().create_new(true).write(true).mode(0o600).open(file).map_err(failed)?;
            made.write_all(&key).and_then(|()| made.sync_all()).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The key that signs offers and receipts, if one is configured.
pub(super) fn receipts_key(config: &Config) -> Result<Option<Key>, Failure> {
    let key = match &config.receipts {
        None => return Ok(None),
        Some(KeySource::Env(name)) => Key::from_env(name),
        Some(KeySource::File(file)) => Key::from_file(file),
    };
    key.map(Some).map_err(|error| Failure::usage(format!("receipts: {error}")))
}

/// Reads the certificate, if one is configured.
pub(super) fn tls(config: &Config) -> Result<Option<Arc<Tls>>, Failure> {
    let Some(TlsFiles { certificates, key }) = config.tls.clone() else { return Ok(None) };
    let tls = Tls::new(Identity { certificates, key }).map_err(|error| Failure::usage(format!("tls: {error}")))?;
    Ok(Some(Arc::new(tls)))
}

/// Opens the ledger beside the other state.
pub(super) fn ledger(file: &Path) -> Result<Arc<dyn Ledger>, Failure> {
    let ledger = Embedded::open(file).map_err(|error| Failure::new(error.to_string()))?;
    Ok(Arc::new(ledger))
}

/// With a public address, other host names are refused; without, a name decides nothing. Some clients
/// write the port even where it is the scheme's own.
fn hosts(config: &Config) -> Hosts {
    let Some((scheme, name)) = config.public_url.as_deref().and_then(|url| url.split_once("://")) else {
        return Hosts::Any;
    };
    let port = if scheme == "https" { 443 } else { 80 };
    let own = [name.to_ascii_lowercase(), format!("{}:{port}", name.to_ascii_lowercase())];
    Hosts::Only(own.into_iter().chain(config.hosts.iter().cloned()).collect())
}

/// The routes with their prices.
pub(super) fn routes(catalog: &Catalog) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["METHOD", "PATH", "PRICE", "PLUGIN", "WHAT IT DOES"]);
    for installed in catalog.installed() {
        for endpoint in &installed.endpoints {
            let info = installed.plugin.info();
            table.add_row([
                endpoint.method.to_string(),
                endpoint.path.to_string(),
                endpoint.access.to_string(),
                format!("{} {}", info.name, info.version),
                endpoint.resource.summary.clone(),
            ]);
        }
    }
    table
}
