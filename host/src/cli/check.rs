//! `coinslot check`: everything that `serve` does before it listens, except opening the ledger.

use std::path::PathBuf;

use super::Failure;
use super::assemble::{self, Chains};
use crate::config::Config;

/// Check a configuration: parse it, ask its chains and facilitators, load every plugin; bind nothing,
/// and leave the ledger to the host that may be running on it.
///
/// Ends with 0 if `serve` would serve everything, 1 if a plugin, a chain or a facilitator is not
/// usable, 2 if the configuration is wrong.
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration.
    #[arg(short, long, default_value = "coinslot.toml", value_name = "FILE")]
    pub config: PathBuf,
}

/// Prints the routes, or what is wrong.
pub async fn run(args: CheckArgs) -> Result<(), Failure> {
    let config = Config::read(&args.config).map_err(|problems| Failure::usage(problems.to_string()))?;
    let public_url = config.origin(config.listen);
    assemble::tls(&config)?;
    let receipts = assemble::receipts_key(&config)?;
    let assembled = assemble::assemble(&config, &public_url, Chains::Real, None).await?;
    println!("{}", assemble::routes(&assembled.live.load()));
    if let Some(key) = receipts {
        println!("receipts are signed by {}", key.address());
    }
    for line in assemble::unknown_plugins(&assembled.folder) {
        println!("warning: {line}");
    }
    if assembled.report.failed.is_empty() {
        println!("{} is good", args.config.display());
        return Ok(());
    }
    let lines = assembled.report.failed.iter().map(|(file, reason)| format!("{file}: {reason}"));
    Err(Failure::new(lines.collect::<Vec<_>>().join("\n")))
}
