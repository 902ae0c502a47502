//! `coinslot plugins`: shows the active plugins, the reasons why others are not active, and rolls a plugin back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use coinslot_x402::UnixTime;
use comfy_table::{Table, presets};
use serde_json::json;

use super::{Failure, print};
use crate::catalog::{HistoryFile, KeptBuild};
use crate::config::Config;

/// The longest wait of a rollback for a running host to make the build active.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(6);

/// Show which plugins are active, what they replaced, and why one is not.
///
/// Reads what the host wrote into its state directory, beside a running host or after it.
#[derive(Args, Clone, Debug)]
pub struct PluginsArgs {
    #[command(subcommand)]
    pub command: Option<PluginsCommand>,
    /// The configuration of the host.
    #[arg(short, long, default_value = "coinslot.toml", value_name = "FILE", global = true)]
    pub config: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum PluginsCommand {
    /// Put the component that a file held before into the plugin folder again.
    ///
    /// If the file holds one that does not load, this is the build that serves; otherwise the one before it. A running
    /// host makes it active within a second. Doing it twice undoes it.
    Rollback {
        /// The file's name, with or without `.wasm`, or the name of the plugin that it serves.
        name: String,
    },
}

/// Prints the plugins, or rolls one back.
pub async fn run(args: PluginsArgs) -> Result<(), Failure> {
    let config = Config::read(&args.config).map_err(|problems| Failure::usage(problems.to_string()))?;
    let dir = config.state.history();
    let history = HistoryFile::read(&dir).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
    match &args.command {
        None => show(&history, args.json),
        Some(PluginsCommand::Rollback { name }) => {
            rollback(&history, &dir, &config.plugins.folder, name, args.json).await
        }
    }
}

fn show(history: &HistoryFile, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let text = serde_json::to_string(history).map_err(|error| Failure::new(error.to_string()))?;
        print::line(format_args!("{text}"))?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["FILE", "PLUGIN", "SHA256", "SINCE", "PREVIOUS", "STATE"]);
    let name = |build: &KeptBuild| format!("{} {}", build.plugin, build.version);
    for (file, entry) in &history.files {
        let active = entry.active.as_ref();
        table.add_row([
            file.clone(),
            active.map(&name).unwrap_or_default(),
            active.map(|build| build.sha256.chars().take(12).collect()).unwrap_or_default(),
            active.map(|build| super::ledger::time::shown(UnixTime(build.since))).unwrap_or_default(),
            entry.previous.as_ref().map(&name).unwrap_or_default(),
            match (&entry.failure, active) {
                (Some(reason), _) => format!("not loaded: {reason}"),
                (None, Some(_)) => "active".to_owned(),
                (None, None) => "removed".to_owned(),
            },
        ]);
    }
    print::line(format_args!("{table}"))?;
    Ok(())
}

async fn rollback(history: &HistoryFile, dir: &Path, folder: &Path, name: &str, as_json: bool) -> Result<(), Failure> {
    let (file, entry) = history.find(name).ok_or_else(|| {
        let known: Vec<&str> = history.files.keys().map(String::as_str).collect();
        Failure::usage(format!("no plugin is called {name}; there are: {}", known.join(", ")))
    })?;
    let Some(previous) = entry.rollback_target() else {
        return Err(Failure::new(format!("{file}: there is no previous build to go back to")));
    };
    previous.restore(dir, &folder.join(file)).map_err(|error| Failure::new(error.to_string()))?;
    let active = became_active(dir, file, previous).await;
    if as_json {
        print::line(format_args!("{}", json!({ "file": file, "sha256": previous.sha256, "inForce": active })))?;
    } else {
        let short: String = previous.sha256.chars().take(12).collect();
        let end = if active { "active" } else { "in the folder; no running host has taken it yet" };
        print::line(format_args!("{file}: {} {} ({short}) is {end}", previous.plugin, previous.version))?;
    }
    Ok(())
}

/// Waits until a running host has made this component active. False if none has in time.
async fn became_active(dir: &Path, file: &str, wanted: &KeptBuild) -> bool {
    let until = Instant::now() + ROLLBACK_TIMEOUT;
    while Instant::now() < until {
        let history = HistoryFile::read(dir).unwrap_or_default();
        let now = history.files.get(file).filter(|entry| entry.failure.is_none());
        if now.and_then(|entry| entry.active.as_ref()).is_some_and(|now| now.sha256 == wanted.sha256) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
