//! `coinslot dev`: runs a host for development. Builds the plugins in the background, starts the embedded chain with
//! funded accounts, serves from the first plugin on, with a dashboard, and rebuilds what is edited.

mod addresses;
mod announce;
mod build;
pub(super) mod chain;
mod changes;
mod compiled_files;
mod left_out;
mod note;
mod rebuild;
mod records;
mod requests;
mod sample;
mod sources;
mod spinner;
mod state;

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coinslot_ledger::SqliteLedger;
use coinslot_plugin::CompilePriority;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

use self::addresses::{BoundListeners, DevAddresses, reachable};
use self::announce::Announcer;
use self::build::PluginBuilder;
use self::note::DevNote;
use self::rebuild::DevEvent;
use super::dev_hosts;
use super::signals::Shutdown;
use super::{DEFAULT_CONFIG, Failure};
use crate::config::{Config, DiscoverConfig, PluginsConfig};
use crate::host::{Chains, Host, HostOptions};
use crate::logging;

/// Build the plugins, start a chain for development, serve, and rebuild what you edit.
///
/// Serves as soon as the first plugin is built; the others follow. A plugin whose toolchain is missing is skipped, and
/// dev says what to install. Nothing paid here is money. For scripts, .coinslot/dev.json says where everything is.
///
/// Ends with 0 after Ctrl-C or SIGTERM (a second one ends at once, with 130 or 143), 1 if it cannot start, 2 for wrong
/// usage or a wrong configuration.
#[derive(clap::Args, Clone, Debug)]
pub struct DevArgs {
    /// Serve on this address; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:8402", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Let --listen and --rpc-listen be addresses that other machines reach, as in a container. Whoever reaches them
    /// can use the plugins and the chain.
    #[arg(long)]
    pub expose: bool,
    /// The origin that clients are told, such as that of a tunnel: https://example.ngrok.app.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<Url>,
    /// Sources of plugins: folders with a Cargo.toml, a plugin.ts, a plugin.js, an app.py, a plugin.c, a plugin.cpp, a
    /// plugin.zig or a build.sh, modules (.ts, .js, .py, .c, .cpp, .zig), and finished .wasm files. Names that begin
    /// with `_` are left out: they hold what plugins share.
    #[arg(long, default_value = "plugins", value_name = "DIR")]
    pub plugins: PathBuf,
    /// A coinslot.toml whose [limits], [health], [plugin.NAME] and [discover] hold here too; the rest of it is not read.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Seconds between blocks of the chain; without it each transaction has its block at once.
    #[arg(long, value_name = "SECONDS")]
    pub block_time: Option<f64>,
    /// Serve the dashboard on this address of this machine; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// Serve the chain's JSON-RPC on this address; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub rpc_listen: SocketAddr,
    /// Derive the accounts of the chain from this text; by default from one that is made once for each state folder.
    /// Nothing on this chain is money: use none of its keys elsewhere.
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
    /// Keep the ledger, compiled plugins and dev.json here. What a `serve` keeps there is not touched.
    #[arg(long, default_value = ".coinslot", value_name = "DIR")]
    pub state: PathBuf,
}

/// Serves until interrupted.
pub async fn run(args: DevArgs) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let block_time = block_time(&args)?;
    let taken = TakenConfig::read(&args)?;
    let bound = BoundListeners::bind(&args).await?;
    let _lock = lock(&args.state)?;
    let dev_json = args.state.join("dev.json");
    // The file of an earlier run that was killed would send scripts to a host that is gone.
    let _ = std::fs::remove_file(&dev_json);
    let _note = DevNote::write(&dev_json);
    let builder = PluginBuilder::open(&args.plugins, &args.state.join("plugins"))?;
    let seed = chain::seed(args.seed.clone(), &args.state)?;
    let chain = Arc::new(chain::start(args.rpc_listen, block_time, &seed).await?);

    // A folder of its own: `serve` keeps the ledger and the history of a real business beside it, by the same names.
    let mut config = chain.config(bound.address, &args.state.join("dev"), builder.output());
    bound.enter(&mut config, args.public_url.as_ref())?;
    if let Some(taken) = taken {
        taken.apply(&mut config);
    }
    let address = reachable(bound.address);
    let (events, received) = mpsc::unbounded_channel();
    let (observer, requests) = requests::observe();
    let progress = builder.progress();
    let folders = [args.state.clone(), args.plugins.clone(), builder.output().to_owned()];
    let addresses = DevAddresses::of(&config, address);
    let mut announcer = Announcer::new(addresses, folders, Arc::clone(&chain), progress.clone(), received);
    let mut tasks = JoinSet::new();
    tasks.spawn(rebuild::follow(builder, events.clone()));
    tasks.spawn(requests.follow(progress));
    let options = HostOptions {
        address: Some(address),
        admin: Some(bound.admin),
        observer: Some(observer),
        test_wallet: chain.test_wallet(),
        ..HostOptions::default()
    };
    let host = tokio::select! {
        host = first_host(config, options, &args.state, &mut announcer, events) => host?,
        () = shutdown.wait() => return Ok(()),
    };
    announcer.host_is_up(&host).await?;
    tasks.spawn(announcer.follow());
    let ended = shutdown.run(|stop| host.serve(bound.listener, stop)).await;
    tasks.shutdown().await;
    let _ = std::fs::remove_file(&dev_json);
    if let Ok(chain) = Arc::try_unwrap(chain) {
        chain.stop().await;
    }
    ended
}

/// The parts of the named configuration that hold here, too.
struct TakenConfig {
    plugins: PluginsConfig,
    discover: DiscoverConfig,
}

impl TakenConfig {
    /// Reads them from the configuration that the arguments name.
    fn read(args: &DevArgs) -> Result<Option<Self>, Failure> {
        if args.config.is_none() && Path::new(DEFAULT_CONFIG).is_file() {
            logging::say(&format!(
                "{DEFAULT_CONFIG} of this folder is not read: add --config {DEFAULT_CONFIG}, and its [limits], [health], \
                 [plugin.NAME] and [discover] hold here, too"
            ));
        }
        let Some(file) = args.config.as_deref() else { return Ok(None) };
        Ok(Some(Self { plugins: Config::read_plugins(file)?, discover: Config::read_discover(file)? }))
    }

    /// Takes over what holds for builds that change all the time: no digest of one, and no terms of payment.
    fn apply(self, config: &mut Config) {
        let PluginsConfig { limits, by_name, .. } = self.plugins;
        (config.plugins.limits, config.plugins.by_name) = (limits, by_name);
        // What is built here is another build each time.
        for plugin in config.plugins.by_name.values_mut() {
            plugin.pins.sha256.clear();
            plugin.overrides = std::mem::take(&mut plugin.overrides).without_terms();
        }
        // Nothing here is for search engines, and a proof is one of another address.
        let DiscoverConfig { name, robots, .. } = std::mem::take(&mut config.discover);
        let own = self.discover;
        config.discover =
            DiscoverConfig { name: own.name.clone().or(name), robots, ownership_proofs: Vec::new(), ..own };
    }
}

/// Waits for a plugin, or for the end of the first builds, and builds the host.
async fn first_host(
    config: Config,
    options: HostOptions,
    state: &Path,
    announcer: &mut Announcer,
    events: mpsc::UnboundedSender<DevEvent>,
) -> Result<Host, Failure> {
    announcer.first_plugin().await?;
    // The chain begins anew, so the ledger of the last chain says nothing about it.
    let file = state.join("dev-ledger.db");
    let ledger = SqliteLedger::create(&file).map_err(|error| Failure::new(error.to_string()))?;
    let options = HostOptions {
        chains: Chains::Devnet,
        compiler: super::own_executable(),
        priority: CompilePriority::Normal,
        functions: super::compiled_cache(),
        ledger: Some(Arc::new(ledger)),
        checks_answers: true,
        has_whole_files: true,
        on_change: Some(Box::new(move |report| {
            let _ = events.send(DevEvent::Changed(report.clone()));
        })),
        ..options
    };
    let mut building = Box::pin(Host::build(config, options));
    let built = match tokio::time::timeout(compiled_files::SILENCE, &mut building).await {
        Ok(built) => built,
        Err(_) => {
            announcer.compiling();
            building.await
        }
    };
    Ok(built?)
}

fn block_time(args: &DevArgs) -> Result<Option<Duration>, Failure> {
    let Some(seconds) = args.block_time else { return Ok(None) };
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    time.map(Some).ok_or_else(|| Failure::usage("--block-time is a number of seconds above zero"))
}

/// Holds the state folder for this process. A second `coinslot dev` would take the first one's plugins and keys away.
fn lock(state: &Path) -> Result<File, Failure> {
    let path = state.join(dev_hosts::LOCK);
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    state::open(state)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
            "another `coinslot dev` runs in {}: end it, or give this one another --state",
            state.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_has_one_development_host() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = lock(dir.path()).expect("free");
        assert!(lock(dir.path()).expect_err("taken").message.contains("another `coinslot dev`"));
        drop(first);
        lock(dir.path()).expect("free again");
    }
}
