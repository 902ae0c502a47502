//! `coinslot check`: does everything that `serve` does before it listens, except opening the ledger.

use std::path::PathBuf;

use coinslot_evm::Ether;

use super::routes::{changes, routes};
use super::{Failure, print};
use crate::catalog::off_without_effect;
use crate::config::Config;
use crate::host::{Host, HostOptions, LocalCheck, unknown_plugin, warnings};

/// Check a configuration: parse it, ask its chains and facilitators, load every plugin; bind nothing,
/// and leave the ledger to the host that may be running on it.
///
/// Ends with 0 if `serve` would serve and sell everything, 1 if a plugin, a chain or a facilitator is not usable (such as
/// one with an empty gas wallet), 2 for wrong usage or a wrong configuration.
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration.
    #[arg(short, long, default_value = "coinslot.toml", value_name = "FILE")]
    pub config: PathBuf,
}

/// Prints the routes, and then every problem: of the plugins first, and then of the host.
pub async fn run(args: CheckArgs) -> Result<(), Failure> {
    let config = Config::read(&args.config)?;
    let unwanted = warnings(&config);
    let options = HostOptions { compiler: super::own_executable(), ..HostOptions::default() };
    let check = Host::check(&config, &options).await?;
    print::line(routes(&check.catalog))?;
    let changed = check.catalog.installed().iter().flat_map(|installed| {
        let name = &*installed.plugin.info().name;
        installed.changes.iter().map(move |change| (name, change))
    });
    if let Some(changes) = changes(changed) {
        print::line(format_args!("\n{changes}\n"))?;
    }
    if let Some(address) = check.receipts {
        print::line(format_args!("receipts are signed by {address}"))?;
    }
    for local in &check.locals {
        print::line(settles(local))?;
    }
    let problem = config.server.unusable_origin(config.server.listen);
    let unknown = check.unknown_plugins.iter().map(|name| unknown_plugin(name));
    let unenforced = check.catalog.installed().iter().flat_map(|installed| &installed.endpoints).flat_map(|endpoint| {
        endpoint.unenforced.iter().map(move |unenforced| format!("{}: {unenforced}", endpoint.label))
    });
    let off = check.catalog.installed().iter().filter_map(|installed| {
        let info = installed.plugin.info();
        let is_off = config.plugins.by_name.get(&info.name).is_some_and(|plugin| !plugin.validate);
        is_off.then(|| off_without_effect(&info.name, &info.endpoints))?
    });
    for warning in problem.into_iter().chain(unknown).chain(unwanted).chain(unenforced).chain(off) {
        print::line(format_args!("warning: {warning}"))?;
    }
    let refused = check.failed.iter().map(|(file, reason)| format!("{file}: {reason}"));
    let unready = check
        .locals
        .iter()
        .filter_map(|local| Some(format!("facilitator.{}: {}", local.name, local.unready.as_ref()?)));
    let (wrong, unusable): (Vec<_>, Vec<_>) =
        check.problems.into_iter().map(Failure::from).partition(|failure| failure.code == 2);
    let is_wrong = !wrong.is_empty();
    let hosts = wrong.into_iter().chain(unusable).map(|failure| failure.message);
    let problems = refused.chain(unready).chain(hosts).collect::<Vec<_>>().join("\n");
    match (problems.is_empty(), is_wrong) {
        (true, _) => print::line(format_args!("{} is good", args.config.display())),
        (false, true) => Err(Failure::usage(problems)),
        (false, false) => Err(Failure::new(problems)),
    }
}

/// Says where a facilitator settles, and which wallets pay for it.
fn settles(local: &LocalCheck) -> String {
    let wallets =
        local.wallets.iter().map(|wallet| format!("gas wallet {}, {}", wallet.address, Ether(wallet.balance)));
    let wallets = wallets.collect::<Vec<_>>().join("; ");
    format!("facilitator.{}: settles on {}, {wallets}", local.name, local.network)
}
