//! `coinslot check`: does everything that `serve` does before it listens, except opening the ledger.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coinslot_base::file::read_regular;
use coinslot_evm::Ether;
use coinslot_plugin::{Capability, inspect};
use coinslot_x402::price::Challenge;
use comfy_table::Table;

use super::inspect::ungranted;
use super::routes::{changes, routes};
use super::{DEFAULT_CONFIG, Failure, LARGEST_WASM, dev_hosts, print};
use crate::allowance::{Allowance, AllowancePolicy};
use crate::catalog::{Installed, off_without_effect};
use crate::config::Config;
use crate::doctor::{ChallengeFacts, Finding, examine_challenge};
use crate::endpoint::{Access, Endpoint};
use crate::host::{Host, HostCheck, HostOptions, LocalCheck, unknown_plugin, warnings};
use crate::operate::time;
use crate::payment::challenge::{PAYMENT_REQUIRED, new_secret};

/// Check a configuration: parse it, ask its chains and facilitators, load every plugin; bind nothing,
/// and leave the ledger to the host that may be running on it.
///
/// Ends with 0 if `serve` would serve and sell everything, 1 if a plugin, a chain or a facilitator is not usable (such as
/// one with an empty gas wallet), 2 for wrong usage or a wrong configuration.
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    pub config: PathBuf,
}

/// The age of the newest block from which on a chain that is not known is doubted.
const OLD_BLOCK: Duration = Duration::from_secs(600);

/// The findings about a configuration whose text is right.
pub(super) struct Findings {
    /// The routes that would be served.
    routes: Table,
    /// Actions and warnings of a host with this configuration, a line each.
    pub(super) notes: Vec<String>,
    /// The reasons why it would not serve or sell everything: of the plugins first, and then of the host.
    pub(super) problems: Vec<String>,
    /// True if one of them is that the configuration is wrong.
    is_wrong: bool,
}

/// Prints the routes, and then every problem.
pub async fn run(args: CheckArgs) -> Result<(), Failure> {
    let Findings { routes, notes, problems, is_wrong } = examine(&args.config).await?;
    print::line(routes)?;
    for note in notes.into_iter().chain(dev_hosts::beside(&args.config)) {
        print::line(note)?;
    }
    match (problems.is_empty(), is_wrong) {
        (true, _) => print::line(format_args!("{} is good", args.config.display())),
        (false, true) => Err(Failure::usage(problems.join("\n"))),
        (false, false) => Err(Failure::new(problems.join("\n"))),
    }
}

/// Does what a host does before it listens.
pub(super) async fn examine(file: &Path) -> Result<Findings, Failure> {
    let config = dev_hosts::configuration(file)?;
    let options = HostOptions { compiler: super::own_executable(), ..HostOptions::default() };
    let check = Host::check(&config, &options).await?;
    let signs = check.receipts.map(|address| format!("receipts are signed by {address}"));
    let warnings = warnings_of(&config, &check).into_iter().map(|warning| format!("warning: {warning}"));
    let changed = check.catalog.installed().iter().flat_map(|installed| {
        let name = &*installed.plugin.info().name;
        installed.changes.iter().map(move |change| (name, change))
    });
    let changes = changes(changed).map(|table| format!("\n{table}\n"));
    let free = allowed(&config, &check);
    let notes = changes
        .into_iter()
        .chain(passes(&check))
        .chain(free)
        .chain(signs)
        .chain(check.refunds.iter().cloned())
        .chain(check.locals.iter().map(settles))
        .chain(warnings)
        .collect();
    let refused = check.failed.iter().map(|(file, reason)| format!("{file}: {reason}"));
    let unready = check
        .locals
        .iter()
        .filter_map(|local| Some(format!("facilitator.{}: {}", local.name, local.unready.as_ref()?)));
    let of_plugins: Vec<String> = refused.chain(unready).collect();
    let (wrong, unusable): (Vec<_>, Vec<_>) =
        check.problems.into_iter().map(Failure::from).partition(|failure| failure.code == 2);
    let is_wrong = !wrong.is_empty();
    let of_host = wrong.into_iter().chain(unusable).map(|failure| failure.message);
    let problems = of_plugins.into_iter().chain(of_host).collect();
    Ok(Findings { routes: routes(&check.catalog), notes, problems, is_wrong })
}

/// The passes that payments buy, a line for each endpoint.
fn passes(check: &HostCheck) -> Vec<String> {
    let endpoints = check.catalog.installed().iter().flat_map(|installed| &installed.endpoints);
    let with_pass = endpoints.filter_map(|endpoint| Some((&endpoint.label, endpoint.pass()?)));
    with_pass.map(|(label, pass)| format!("{label}: a payment buys a pass, {pass}")).collect()
}

/// The allowances that are in force for each endpoint, a line each.
fn allowed(config: &Config, check: &HostCheck) -> Vec<String> {
    let policy = AllowancePolicy { allowances: config.allowances.allowances.clone(), ..AllowancePolicy::default() };
    let endpoints = check.catalog.installed().iter().flat_map(|installed| &installed.endpoints);
    let paid = endpoints.filter(|endpoint| matches!(endpoint.access, Access::Paid(_)));
    paid.flat_map(|endpoint| policy.of(endpoint).map(move |rule| format!("{}: {rule}", endpoint.label))).collect()
}

/// The warnings for allowances that no endpoint has.
fn unused_allowances(config: &Config, check: &HostCheck) -> Vec<String> {
    let endpoints = || check.catalog.installed().iter().flat_map(|installed| &installed.endpoints);
    let is_used = |rule: &Allowance| {
        endpoints().any(|endpoint| {
            rule.plugin.as_ref().is_none_or(|plugin| *plugin == endpoint.plugin.info().name)
                && rule.route.as_ref().is_none_or(|route| *route == endpoint.label)
                && matches!(endpoint.access, Access::Paid(_))
        })
    };
    let rules = config.allowances.allowances.iter().enumerate();
    rules
        .filter(|(_, rule)| !is_used(rule))
        .map(|(index, _)| format!("allow[{index}]: no active plugin has such a paid route; the table waits for one"))
        .collect()
}

fn warnings_of(config: &Config, check: &HostCheck) -> Vec<String> {
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
    let ungranted = ungranted_plugins(config, check);
    let unused = unused_allowances(config, check);
    let old = check.locals.iter().filter_map(old_block);
    let challenges = check.catalog.installed().iter().flat_map(|installed| &installed.endpoints).flat_map(|endpoint| {
        let found = of_challenge(endpoint).into_iter().filter(Finding::is_problem);
        found.map(|Finding { check, detail, advice, .. }| {
            format!("{}: challenge: {check}: {detail}: {advice}", endpoint.label)
        })
    });
    problem
        .into_iter()
        .chain(unknown)
        .chain(unused)
        .chain(old)
        .chain(warnings(config))
        .chain(unenforced)
        .chain(off)
        .chain(ungranted)
        .chain(challenges)
        .collect()
}

/// The warnings for plugins that ask for what they are not granted, and will fail where they need it.
fn ungranted_plugins(config: &Config, check: &HostCheck) -> Vec<String> {
    let warning = |installed: &Arc<Installed>| {
        let name = &installed.plugin.info().name;
        // A file that is gone by now is another matter.
        let wasm = read_regular(&config.plugins.folder.join(&installed.file), LARGEST_WASM).ok()?;
        let own = config.plugins.by_name.get(name).cloned().unwrap_or_default();
        let lacks = ungranted(&inspect(&wasm).ok()?, &own);
        let grants: Vec<&str> = lacks
            .iter()
            .map(|capability| match capability {
                Capability::OutgoingHttp => "http = [\"https://api.example.com\"]",
                Capability::KeyValue => "keyvalue = true",
                Capability::Configuration => "config = { key = \"value\" }",
            })
            .collect();
        let names: Vec<&str> = lacks.iter().map(|capability| capability.name()).collect();
        (!lacks.is_empty()).then(|| {
            format!(
                "plugin.{name}: it asks for {} and is granted none: what needs it will fail; in [plugin.{name}] write {}",
                names.join(" and "),
                grants.join(", ")
            )
        })
    };
    check.catalog.installed().iter().filter_map(warning).collect()
}

/// Judges the challenge of a paid endpoint as directories and stock clients would.
fn of_challenge(endpoint: &Endpoint) -> Vec<Finding> {
    let Access::Paid(paid) = &endpoint.access else { return Vec::new() };
    let made = || Challenge::new(&paid.offer, &endpoint.url, &endpoint.resource, PAYMENT_REQUIRED).ok();
    let Some(challenge) = paid.challenge.clone().or_else(made) else { return Vec::new() };
    let header = challenge.header(&new_secret()).map(|value| value.as_bytes().to_vec());
    examine_challenge(&ChallengeFacts::new(header.into_iter().collect(), challenge.body.clone()))
}

/// The warning for a chain whose newest block is old. Of chains that are known to make blocks the facilitator says so
/// itself, and then is not ready.
fn old_block(local: &LocalCheck) -> Option<String> {
    let age = time::now().0.saturating_sub(local.newest_block?);
    let LocalCheck { name, network, .. } = local;
    (age > OLD_BLOCK.as_secs()).then(|| {
        let age = coinslot_base::units::shown_duration(Duration::from_secs(age / 60 * 60));
        format!(
            "facilitator.{name}: the newest block of {network} is {age} old: its node is stuck or behind, unless the chain \
             makes blocks only for transactions"
        )
    })
}

/// Says where a facilitator settles, and which wallets pay for it.
fn settles(local: &LocalCheck) -> String {
    let wallets =
        local.wallets.iter().map(|wallet| format!("gas wallet {}, {}", wallet.address, Ether(wallet.balance)));
    let wallets = wallets.collect::<Vec<_>>().join("; ");
    format!("facilitator.{}: settles on {}, {wallets}", local.name, local.network)
}
