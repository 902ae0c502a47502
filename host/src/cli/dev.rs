//! `coinslot dev`: the whole story on one machine. Builds the plugins, starts the embedded chain with
//! funded accounts, serves, and rebuilds what is edited.

mod build;
mod chain;
mod sample;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify_debouncer_full::DebounceEventResult;
use notify_debouncer_full::notify::RecursiveMode;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::Failure;
use super::assemble::{self, Assembled, Chains};
use super::signals::Interrupt;
use crate::config::Config;
use crate::endpoint::Access;
use crate::server::ServerSettings;
use build::{Outcome, Workshop};
use coinslot_ledger::{Embedded, Ledger};

/// Build the plugins, start a chain for development, serve, and rebuild what you edit.
///
/// Needs rustup and a C compiler; plugins in other languages are skipped by name when their toolchain
/// is missing. Nothing paid here is money. For scripts, .coinslot/dev.json says where everything is.
#[derive(clap::Args, Clone, Debug)]
pub struct DevArgs {
    /// Where to serve; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:8402", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Sources of plugins, a folder each (with a Cargo.toml, or a build.sh), and finished .wasm files.
    #[arg(long, default_value = "plugins", value_name = "DIR")]
    pub plugins: PathBuf,
    /// A coinslot.toml whose [limits] and [plugin.NAME] hold here too; the rest of it is not read.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Seconds between blocks of the chain; without it each transaction has its block at once.
    #[arg(long, value_name = "SECONDS")]
    pub block_time: Option<f64>,
    /// Where the chain's JSON-RPC listens; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub rpc_listen: SocketAddr,
    /// Where the ledger, compiled plugins and dev.json are kept.
    #[arg(long, default_value = ".coinslot", value_name = "DIR")]
    pub state: PathBuf,
}

/// Serves until interrupted.
pub async fn run(args: DevArgs) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen()?;
    let block_time = match args.block_time {
        None => None,
        Some(seconds) => Some(
            Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|time| !time.is_zero())
                .ok_or_else(|| Failure::usage("--block-time is a number of seconds above zero"))?,
        ),
    };
    if !args.listen.ip().is_loopback() {
        return Err(Failure::usage(
            "coinslot dev listens on loopback only: its keys are written to a file; use `coinslot serve` for others",
        ));
    }
    let terms = args.config.as_deref().map(Config::read_terms).transpose();
    let terms = terms.map_err(|problems| Failure::usage(problems.to_string()))?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::new(format!("cannot listen on {}: {error}; choose another with --listen", args.listen))
    })?;
    let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    let url = format!("http://{address}");
    // That of an earlier run that was killed would send scripts to a host that is gone.
    let _ = std::fs::remove_file(args.state.join("dev.json"));

    let workshop = Workshop::open(&args.plugins, &args.state.join("plugins"))?;
    let first = tokio::task::spawn_blocking({
        let workshop = workshop.clone();
        move || workshop.build_all()
    });
    let outcomes = tokio::select! {
        outcomes = first => outcomes.map_err(|error| Failure::new(error.to_string()))??,
        () = interrupt.heard() => return Ok(()),
    };
    for (name, outcome) in &outcomes {
        match outcome {
            Outcome::Fresh | Outcome::Built => {}
            Outcome::Skipped(why) => println!("skipped {name}: {why}"),
            Outcome::Failed(why) => println!("{name} does not build:\n{why}"),
        }
    }

    let chain = chain::start(args.rpc_listen, block_time).await?;
    let mut config = chain.config(args.listen, &args.state, workshop.output());
    if let Some((limits, plugin)) = terms {
        (config.limits, config.plugin) = (limits, plugin);
    }
    let shelf = super::plugins::shelf(&config.state);
    let assembled = tokio::select! {
        assembled = assemble::assemble(&config, &url, Chains::Devnet, Some(&shelf)) => assembled?,
        () = interrupt.heard() => return Ok(()),
    };
    for (file, reason) in &assembled.report.failed {
        println!("{file} is not served: {reason}");
    }
    for line in assemble::unknown_plugins(&assembled.folder) {
        println!("warning: {line}");
    }
    // The chain begins anew, so the books of the last chain say nothing about it.
    let ledger =
        Embedded::create(&args.state.join("dev-ledger.db")).map_err(|error| Failure::new(error.to_string()))?;
    let ledger: Arc<dyn Ledger> = Arc::new(ledger);
    let (payments, handler) = assembled.open(&config, ledger)?;
    write_json(&args.state, &url, &chain, &assembled)?;
    announce(&url, &args.state, &chain, &assembled).await;

    let recovery = tokio::spawn(crate::payment::recover(payments));
    let rewrite = (args.state.clone(), url.clone(), chain.facts(), assembled.live.clone());
    let (_orders, none) = mpsc::channel(1);
    let watch = tokio::spawn(crate::catalog::watch(assembled.folder, none, move |report| {
        for name in &report.loaded {
            println!("{name} is active");
        }
        for name in &report.removed {
            println!("{name} is no longer active");
        }
        for (name, reason) in &report.failed {
            println!("{name} is not active, what served before still does: {reason}");
        }
        let (state, url, facts, live) = &rewrite;
        if let Err(failure) = chain::write(state, url, facts, &live.load()) {
            tracing::warn!(error = %failure, "dev.json could not be written");
        }
    }));
    let rebuild = tokio::spawn(rebuild(workshop));
    let ended = interrupt.govern(|stop| crate::server::run(listener, handler, ServerSettings::default(), stop)).await;
    rebuild.abort();
    watch.abort();
    recovery.abort();
    let _ = std::fs::remove_file(args.state.join("dev.json"));
    ended?;
    chain.stop().await;
    Ok(())
}

fn write_json(state: &Path, url: &str, chain: &chain::DevChain, assembled: &Assembled) -> Result<(), Failure> {
    chain::write(state, url, &chain.facts(), &assembled.live.load())
}

async fn announce(url: &str, state: &Path, chain: &chain::DevChain, assembled: &Assembled) {
    let catalog = assembled.live.load();
    println!("\n{}\n", assemble::routes(&catalog));
    println!("serving on  {url}");
    println!("chain       {} (a stand-in for Base Sepolia; nothing on it is money)", chain.rpc());
    for (role, address, balance) in chain.balances().await {
        println!("{role:<11} {address}  {balance}");
    }
    let routes = catalog.installed().iter().flat_map(|installed| &installed.endpoints);
    let paid: Vec<_> = routes.filter(|endpoint| !matches!(endpoint.access, Access::Free)).collect();
    if let Some(line) = sample::pay_line(url, &state.join("dev.json"), &paid) {
        println!("\nnow pay for one:\n\n  {} {line}\n", sample::program());
    } else if let Some(endpoint) = paid.first() {
        // What it takes is the plugin's to say.
        println!("\nnow pay for one:\n\n  {} pay -X {} {url}{}\n", sample::program(), endpoint.method, endpoint.path);
    } else {
        println!("\nno paid endpoint is served yet: put a plugin into the plugins folder\n");
    }
}

/// Rebuilds a plugin whenever its source is saved. The folder's watch does the rest.
async fn rebuild(workshop: Workshop) {
    let (wake, mut woken) = mpsc::channel::<()>(1);
    let roots = workshop.sources();
    let debouncer =
        notify_debouncer_full::new_debouncer(Duration::from_millis(150), None, move |events: DebounceEventResult| {
            // What a build writes beside the sources must not start the next build.
            let edited = events.is_ok_and(|events| {
                events.iter().any(|event| {
                    let inside = |path: &PathBuf| {
                        let relative = roots.iter().find_map(|root| path.strip_prefix(root).ok());
                        relative.is_some_and(|relative| !build::is_made(relative))
                    };
                    !event.kind.is_access() && event.paths.iter().any(inside)
                })
            });
            if edited {
                let _ = wake.try_send(());
            }
        });
    let Ok(mut debouncer) = debouncer else {
        tracing::warn!("no file events: edited plugins are not rebuilt; restart to build them");
        return;
    };
    for dir in workshop.sources() {
        if let Err(error) = debouncer.watch(&dir, RecursiveMode::Recursive) {
            tracing::warn!(%error, dir = %dir.display(), "not watched: edits here are not rebuilt");
        }
    }
    while woken.recv().await.is_some() {
        let workshop = workshop.clone();
        let Ok(Ok(outcomes)) = tokio::task::spawn_blocking(move || workshop.build_all()).await else { continue };
        for (name, outcome) in outcomes {
            if let Outcome::Failed(why) = outcome {
                println!("{name} does not build, what served before still does:\n{why}");
            }
        }
    }
}
