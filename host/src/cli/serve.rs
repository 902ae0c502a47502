//! `coinslot serve`: the host.

mod reload;

use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::Failure;
use super::assemble::{self, Chains};
use super::signals::Interrupt;
use crate::config::Config;
use crate::server::ServerSettings;
use reload::Reload;

/// Serve the plugins of a folder, and take payment for them.
///
/// Refuses to start on a wrong configuration, an unreachable chain or facilitator, or the embedded
/// development chain. A plugin that cannot be loaded is reported and the others are served. Ctrl-C and
/// SIGTERM finish what is at work first; a second one ends at once, with 130 or 143.
///
/// A changed configuration is applied without a restart, as far as that can be; SIGHUP does it at once and
/// reads files of secrets anew. What is wrong with it is logged, and changes nothing.
#[derive(clap::Args, Clone, Debug)]
pub struct ServeArgs {
    /// The configuration; see host/docs/operators.md.
    #[arg(short, long, default_value = "coinslot.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// Listen here instead of where the configuration says.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
}

/// Serves until interrupted.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen()?;
    raise_open_files();
    let config = Config::read(&args.config).map_err(|problems| Failure::usage(problems.to_string()))?;
    let listen = args.listen.unwrap_or(config.listen);
    let listener =
        TcpListener::bind(listen).await.map_err(|error| Failure::new(format!("cannot listen on {listen}: {error}")))?;
    let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    let tls = assemble::tls(&config)?;
    let public_url = config.origin(address);
    let shelf = super::plugins::shelf(&config.state);
    let assembled = tokio::select! {
        assembled = assemble::assemble(&config, &public_url, Chains::Real, Some(&shelf)) => assembled?,
        () = interrupt.heard() => return Ok(()),
    };
    for (file, reason) in &assembled.report.failed {
        tracing::warn!(%file, %reason, "not active");
    }
    for line in assemble::unknown_plugins(&assembled.folder) {
        tracing::warn!("{line}");
    }
    let ledger = assemble::ledger(&config.state.join("ledger.db"))?;
    let (payments, handler) = assembled.open(&config, ledger)?;
    payments.load().await.map_err(|error| Failure::new(error.to_string()))?;
    println!("{}", assemble::routes(&assembled.live.load()));
    println!("serving on {}://{address}, known to clients as {public_url}", config.scheme());
    let recovery = tokio::spawn(crate::payment::recover(payments));
    let (orders, given) = mpsc::channel(1);
    let reload = Reload::new(args.config, config.clone(), public_url, &assembled, orders);
    let reload = tokio::spawn(reload.follow());
    let watch = tokio::spawn(crate::catalog::watch(assembled.folder, given, |_| ()));
    let certificate = tls.clone().map(|tls| tokio::spawn(tls.watch()));
    let settings = ServerSettings {
        max_connections: config.max_connections,
        shutdown_delay: config.linger,
        drain_timeout: config.drain,
        tls,
        ..ServerSettings::default()
    };
    let ended = interrupt.govern(|stop| crate::server::run(listener, handler, settings, stop)).await;
    reload.abort();
    watch.abort();
    recovery.abort();
    if let Some(certificate) = certificate {
        certificate.abort();
    }
    ended
}

/// Each connection is an open file, and the usual limit of 1024 is meant for programs that use select(2).
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit of open files stays as it was");
    }
}
