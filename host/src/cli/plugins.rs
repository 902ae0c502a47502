//! `coinslot plugins`: shows the active plugins, the reasons why others are not active, and rolls a plugin back.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use coinslot_x402::UnixTime;
use comfy_table::{Table, presets};
use serde_json::json;

use super::routes::changes;
use super::{DEFAULT_CONFIG, Failure, dev_hosts, print};
use crate::catalog::{HistoryEntry, HistoryFile, KeptBuild};
use crate::config::{Config, StateConfig};
use crate::host::is_running;
use crate::operate::rollback::{RollbackError, RolledBack, roll_back};

/// The state of `coinslot dev`, unless it keeps that in another directory.
const DEV_STATE: &str = ".coinslot/dev";

/// Show which plugins are active, what they replaced, and why one is not; and which of their routes the
/// configuration changes.
///
/// Reads what the host wrote into its state directory, beside a running host or after it. Without a configuration it
/// reads that of the `coinslot dev` which runs in this folder, or ran there last.
///
/// Ends with 0 if it has shown them, 1 if the state cannot be read, 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub struct PluginsArgs {
    #[command(subcommand)]
    pub command: Option<PluginsCommand>,
    /// The configuration of the host.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE", global = true)]
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
    /// host makes it active within a second; if it refuses it, the file is put back as it was. From a file that loads,
    /// doing it twice undoes it.
    ///
    /// Ends with 0 if the build is in the folder, 1 if there is none to go back to or the host refuses it, 2 for wrong
    /// usage, a wrong configuration or an unknown name.
    Rollback {
        /// The file's name, with or without `.wasm`, or the name of the plugin that it serves.
        name: String,
    },
}

/// Prints the plugins, or rolls one back.
pub async fn run(args: PluginsArgs) -> Result<(), Failure> {
    let Some(PluginsCommand::Rollback { name }) = &args.command else { return list(&args) };
    if !args.config.exists() && dev_hosts::is_running_here() {
        return Err(Failure::usage(
            "`coinslot dev` runs in this folder, and builds its plugins from their sources: change those instead. A host \
             with a configuration rolls back",
        ));
    }
    let config = Config::read(&args.config).map_err(|problems| Failure::usage(problems.to_string()))?;
    rollback(&config, name, args.json).await
}

/// Prints the plugins of the host, or of `coinslot dev` in this folder.
fn list(args: &PluginsArgs) -> Result<(), Failure> {
    let dev = StateConfig { folder: DEV_STATE.into(), ..StateConfig::default() }.history();
    if dev_hosts::is_meant(&args.config, &dev, StateConfig::history) {
        show(&read(&dev)?, args.json)?;
        if args.json || dev_hosts::is_running_here() {
            return Ok(());
        }
        return print::line("no `coinslot dev` is running: this is what the last one wrote");
    }
    let state = Config::read_state(&args.config).map_err(|problems| Failure::usage(problems.to_string()))?;
    show(&read(&state.history())?, args.json)?;
    if args.json || is_running(&state) {
        return Ok(());
    }
    print::line("no host is running: this is what the last one wrote")
}

fn read(dir: &Path) -> Result<HistoryFile, Failure> {
    HistoryFile::read(dir).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))
}

fn show(history: &HistoryFile, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let files: serde_json::Map<_, _> =
            history.files.iter().map(|(file, entry)| (file.clone(), document(entry))).collect();
        return print::document(json!({ "files": files }));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["FILE", "PLUGIN", "SHA256", "SINCE", "PREVIOUS", "STATE"]);
    for (file, entry) in &history.files {
        let (serving, previous) = (entry.serving(), previous(entry));
        table.add_row([
            file.clone(),
            serving.map(name_of).unwrap_or_default(),
            serving.map(|build| build.sha256.chars().take(12).collect()).unwrap_or_default(),
            serving.map(|build| crate::operate::time::shown(UnixTime(build.since))).unwrap_or_default(),
            previous.map(name_of).unwrap_or_default(),
            state(entry),
        ]);
    }
    print::line(table)?;
    let serving = history.files.values().filter_map(HistoryEntry::serving);
    let changed = serving.flat_map(|build| build.changes.iter().map(|change| (&*build.plugin, change)));
    changes(changed).map_or(Ok(()), |changes| print::line(format_args!("\n{changes}")))
}

/// A file as programs read it.
fn document(entry: &HistoryEntry) -> serde_json::Value {
    let HistoryEntry { failure, gone_since, .. } = entry;
    json!({ "active": entry.serving(), "previous": previous(entry), "failure": failure, "goneSince": gone_since })
}

/// The build before the one that serves. Of a file that does not serve it is the one to which a rollback leads.
fn previous(entry: &HistoryEntry) -> Option<&KeptBuild> {
    if entry.serving().is_some() { entry.previous.as_ref() } else { entry.rollback_target() }
}

/// The plugin and its version.
fn name_of(build: &KeptBuild) -> String {
    format!("{} {}", build.plugin, build.version)
}

/// Says whether a build of a file serves, and why the file's present content does not.
fn state(entry: &HistoryEntry) -> String {
    if let Some((build, reason)) = entry.refused_configuration() {
        return format!("{} serves with its former `config`; with the present one: {reason}", build.version);
    }
    match (&entry.failure, entry.serving()) {
        (Some(reason), Some(build)) => format!("{} serves; the file is not loaded: {reason}", build.version),
        (Some(reason), None) => format!("nothing serves; the file is not loaded: {reason}"),
        (None, Some(_)) => "active".to_owned(),
        (None, None) => "removed".to_owned(),
    }
}

async fn rollback(config: &Config, name: &str, as_json: bool) -> Result<(), Failure> {
    let RolledBack { file, build, is_active } = roll_back(config, name).await.map_err(|error| match error {
        RollbackError::Unknown { .. } => Failure::usage(error.to_string()),
        error => Failure::new(error.to_string()),
    })?;
    if as_json {
        return print::document(json!({ "file": file, "sha256": build.sha256, "active": is_active }));
    }
    let short: String = build.sha256.chars().take(12).collect();
    let end = if is_active { "active" } else { "in the folder; no running host has taken it yet" };
    print::line(format_args!("{file}: {} {} ({short}) is {end}", build.plugin, build.version))
}
