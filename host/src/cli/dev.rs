//! `coinslot dev`: a host on one machine, for development. Builds the plugins in the background, starts the embedded
//! chain with funded accounts, serves from the first plugin on, and rebuilds what is edited.

mod announce;
mod build;
mod chain;
mod compile;
mod rebuild;
mod sample;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coinslot_ledger::SqliteLedger;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::announce::Announcer;
use self::build::PluginBuilder;
use self::rebuild::DevEvent;
use super::signals::Shutdown;
use super::{Failure, listen};
use crate::config::{Config, PluginsConfig};
use crate::host::{Chains, Host, HostOptions};

/// Build the plugins, start a chain for development, serve, and rebuild what you edit.
///
/// Serves as soon as the first plugin is built; the others follow. Needs rustup and a C compiler; plugins in other
/// languages are skipped by name when their toolchain is missing. Nothing paid here is money. For scripts,
/// .coinslot/dev.json says where everything is.
#[derive(clap::Args, Clone, Debug)]
pub struct DevArgs {
    /// Serve on this address; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:8402", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Sources of plugins, a folder each (with a Cargo.toml, or a build.sh), and finished .wasm files.
    #[arg(long, default_value = "plugins", value_name = "DIR")]
    pub plugins: PathBuf,
    /// A coinslot.toml whose [limits], [health] and [plugin.NAME] hold here too; the rest of it is not read.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Seconds between blocks of the chain; without it each transaction has its block at once.
    #[arg(long, value_name = "SECONDS")]
    pub block_time: Option<f64>,
    /// Serve the chain's JSON-RPC on this address; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub rpc_listen: SocketAddr,
    /// Keep the ledger, compiled plugins and dev.json here.
    #[arg(long, default_value = ".coinslot", value_name = "DIR")]
    pub state: PathBuf,
}

/// Serves until interrupted.
pub async fn run(args: DevArgs) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let block_time = block_time(&args)?;
    let policies = args.config.as_deref().map(Config::read_plugins).transpose()?;
    let (listener, address) = listen_on_loopback(args.listen).await?;
    // The file of an earlier run that was killed would send scripts to a host that is gone.
    let _ = std::fs::remove_file(args.state.join("dev.json"));
    let builder = PluginBuilder::open(&args.plugins, &args.state.join("plugins"))?;
    let chain = Arc::new(chain::start(args.rpc_listen, block_time).await?);

    let mut config = chain.config(address, &args.state, builder.output());
    if let Some(PluginsConfig { limits, by_name, .. }) = policies {
        (config.plugins.limits, config.plugins.by_name) = (limits, by_name);
    }
    let (events, received) = mpsc::unbounded_channel();
    let mut announcer =
        Announcer::new(config.origin(address), args.state.clone(), Arc::clone(&chain), builder.progress(), received);
    let mut tasks = JoinSet::new();
    tasks.spawn(rebuild::follow(builder, events.clone()));
    let host = tokio::select! {
        host = first_host(config, &mut announcer, events) => host?,
        () = shutdown.wait() => return Ok(()),
    };
    announcer.host_is_up(&host).await?;
    tasks.spawn(announcer.follow());
    let ended = shutdown.run(|stop| host.serve(listener, stop)).await;
    tasks.shutdown().await;
    let _ = std::fs::remove_file(args.state.join("dev.json"));
    if let Ok(chain) = Arc::try_unwrap(chain) {
        chain.stop().await;
    }
    ended
}

/// Waits for a plugin, or for the end of the first builds, and builds the host.
async fn first_host(
    config: Config,
    announcer: &mut Announcer,
    events: mpsc::UnboundedSender<DevEvent>,
) -> Result<Host, Failure> {
    announcer.first_plugin().await?;
    // The chain begins anew, so the ledger of the last chain says nothing about it.
    let file = config.state.folder.join("dev-ledger.db");
    let ledger = SqliteLedger::create(&file).map_err(|error| Failure::new(error.to_string()))?;
    let options = HostOptions {
        chains: Chains::Devnet,
        compiler: super::own_executable(),
        ledger: Some(Arc::new(ledger)),
        on_change: Some(Box::new(move |report| {
            let _ = events.send(DevEvent::Changed(report.clone()));
        })),
        ..HostOptions::default()
    };
    Ok(Host::build(config, options).await?)
}

fn block_time(args: &DevArgs) -> Result<Option<Duration>, Failure> {
    let Some(seconds) = args.block_time else { return Ok(None) };
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    time.map(Some).ok_or_else(|| Failure::usage("--block-time is a number of seconds above zero"))
}

async fn listen_on_loopback(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    if !address.ip().is_loopback() {
        return Err(Failure::usage(
            "coinslot dev listens on loopback only: its keys are written to a file; use `coinslot serve` for others",
        ));
    }
    listen(address, "; choose another with --listen").await
}
