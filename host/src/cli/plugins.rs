//! `coinslot plugins`: what is active and why something is not, and the way back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use serde_json::json;

use super::Failure;
use crate::catalog::{HistoryFile, KeptBuild};
use crate::config::Config;
use coinslot_x402::UnixTime;

/// How long a rollback waits for a host to notice it.
const PATIENCE: Duration = Duration::from_secs(6);

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
    /// A running host makes it active within a second. Doing it twice undoes it.
    Rollback {
        /// The file's name, with or without `.wasm`, or the plugin's name.
        name: String,
    },
}

/// Prints, or rolls back.
pub async fn run(args: PluginsArgs) -> Result<(), Failure> {
    let config = Config::read(&args.config).map_err(|problems| Failure::usage(problems.to_string()))?;
    let dir = config.state.history();
    let book = HistoryFile::read(&dir).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
    match &args.command {
        None => show(&book, args.json),
        Some(PluginsCommand::Rollback { name }) => rollback(&book, &dir, &config.plugins.folder, name, args.json).await,
    }
}

fn show(book: &HistoryFile, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let text = serde_json::to_string(book).map_err(|error| Failure::new(error.to_string()))?;
        println!("{text}");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["FILE", "PLUGIN", "SHA256", "SINCE", "BEFORE IT", "STATE"]);
    let name = |build: &KeptBuild| format!("{} {}", build.plugin, build.version);
    for (file, entry) in &book.files {
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
    println!("{table}");
    Ok(())
}

async fn rollback(book: &HistoryFile, dir: &Path, folder: &Path, name: &str, as_json: bool) -> Result<(), Failure> {
    let (file, entry) = book.find(name).ok_or_else(|| {
        let known: Vec<&str> = book.files.keys().map(String::as_str).collect();
        Failure::usage(format!("no plugin is called {name}; there are: {}", known.join(", ")))
    })?;
    let Some(previous) = &entry.previous else {
        return Err(Failure::new(format!("{file}: nothing served before what serves now")));
    };
    previous.restore(dir, &folder.join(file)).map_err(|error| Failure::new(error.to_string()))?;
    let noticed = noticed(dir, file, previous).await;
    if as_json {
        println!("{}", json!({ "file": file, "sha256": previous.sha256, "inForce": noticed }));
    } else {
        let short: String = previous.sha256.chars().take(12).collect();
        let end = if noticed { "active" } else { "in the folder; no running host has taken it yet" };
        println!("{file}: {} {} ({short}) is {end}", previous.plugin, previous.version);
    }
    Ok(())
}

/// Whether a host says that it serves this component now.
async fn noticed(dir: &Path, file: &str, wanted: &KeptBuild) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let book = HistoryFile::read(dir).unwrap_or_default();
        let now = book.files.get(file).and_then(|entry| entry.active.as_ref());
        if now.is_some_and(|now| now.sha256 == wanted.sha256) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
