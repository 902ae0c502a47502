//! `coinslot plugins`: shows the active plugins and the reasons why others are not active; pauses, resumes and rolls
//! back a plugin.

mod logs;

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use coinslot_base::units::measured;
use coinslot_ledger::ChangeKind;
use serde_json::json;

use super::operator::client::{AdminClient, Connection};
use super::operator::{records, watch};
use super::output::{Output, OutputFormat};
use super::routes::changes;
use super::{Failure, audit, dev_hosts, print};
use crate::catalog::HistoryFile;
use crate::config::{Config, StateConfig};
use crate::host::is_running;
use crate::operate::pauses;
use crate::operate::records::{BuildRecord, PauseReport, PluginChange, PluginRecord, RollbackReport};
use crate::operate::rollback::{RollbackError, plan, roll_back};

/// The state of `coinslot dev`, unless it keeps that in another directory.
const DEV_STATE: &str = ".coinslot/dev";

/// Show which plugins are active, what they replaced, and why one is not; and which of their routes the
/// configuration changes.
///
/// Asks the admin listener of a running host. A host without one, or that does not run, is shown by what it wrote into
/// its state directory. Without a configuration that is the state of the `coinslot dev` which runs in this folder, or
/// ran there last.
///
/// Ends with 0 if it has shown them, 1 if the listener cannot be asked or the state cannot be read, 2 for wrong usage
/// or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub struct PluginsArgs {
    #[command(subcommand)]
    command: Option<PluginsCommand>,
    #[command(flatten)]
    connection: Connection,
    /// The same as `--format json`.
    #[arg(long, global = true, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum PluginsCommand {
    /// Put the component that a file held before into the plugin folder again.
    ///
    /// If the file holds one that does not load, this is the build that serves; otherwise the one before it. A running
    /// host makes it active within a second; if it refuses it, the file is put back as it was. From a file that loads,
    /// doing it twice undoes it. A warning says if the build failed again and again before and was rolled back: a mended
    /// build in the plugin folder is what helps then.
    ///
    /// Works on the folders of the configuration; with --url, the host itself does it.
    ///
    /// Ends with 0 if the build is in the folder, 1 if there is none to go back to or the host refuses it, 2 for wrong
    /// usage, a wrong configuration or an unknown name.
    Rollback(ChangeArgs),
    /// Show the last lines that a plugin of a running host has printed.
    ///
    /// Ends with 0 if they are printed, 1 if the admin listener cannot be asked, 2 for wrong usage or an unknown name.
    Logs(logs::LogsArgs),
    /// Stop asking a plugin, of a running host, until it is resumed; restarts of the host included.
    ///
    /// Its requests are answered with 503 and a Retry-After, and nothing is charged. Requests at work end. Answers that
    /// were bought before can be fetched. Answers that are owed wait.
    ///
    /// Ends with 0 if the plugin is paused, 1 if the admin listener cannot be asked or its host cannot write that down, 2
    /// for wrong usage or an unknown name.
    Pause(ChangeArgs),
    /// Ask a plugin again that is paused.
    ///
    /// Ends with 0 if the plugin is not paused, 1 if the admin listener cannot be asked or its host cannot write that
    /// down, 2 for wrong usage or an unknown name.
    Resume(ChangeArgs),
}

#[derive(Args, Clone, Debug)]
struct ChangeArgs {
    /// The file's name, with or without `.wasm`, or the name of the plugin that it serves.
    name: String,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

impl PluginsArgs {
    fn format(&self) -> OutputFormat {
        if self.json { OutputFormat::Json } else { self.connection.format() }
    }

    /// True if a change is reported as a document: only where that is asked for.
    fn wants_document(&self) -> bool {
        self.json || self.connection.wants_document()
    }
}

/// Prints the plugins, or changes one.
pub async fn run(args: PluginsArgs) -> Result<(), Failure> {
    match &args.command {
        None => list(&args).await,
        Some(PluginsCommand::Rollback(change)) => rollback(&args, change).await,
        Some(PluginsCommand::Logs(logs)) => logs::show(&args, logs).await,
        Some(PluginsCommand::Pause(change)) => set_paused(&args, change, "pause").await,
        Some(PluginsCommand::Resume(change)) => set_paused(&args, change, "resume").await,
    }
}

/// Prints the plugins of the host, or of `coinslot dev` in this folder.
async fn list(args: &PluginsArgs) -> Result<(), Failure> {
    let format = args.format();
    let Some(client) = listener(args)? else { return watch(&args.connection, async |out| show_state(args, out)).await };
    watch(&args.connection, async |out| {
        let found: Vec<PluginRecord> = client.get("/api/v1/plugins", &[]).await?;
        show(out, format, &found)
    })
    .await
}

/// The listener to ask: the one that is named, or that of the configuration if its host runs.
fn listener(args: &PluginsArgs) -> Result<Option<AdminClient>, Failure> {
    let connection = &args.connection;
    if connection.url.is_none() {
        let dev = StateConfig { folder: DEV_STATE.into(), ..StateConfig::default() }.history();
        if dev_hosts::is_meant(&connection.config, &dev, StateConfig::history) {
            return Ok(None);
        }
        // A configuration with a mistake elsewhere names its listener and its state all the same.
        let (admin, state) = (Config::read_admin(&connection.config), Config::read_state(&connection.config));
        let (Ok(admin), Ok(state)) = (admin, state) else { return Ok(None) };
        // Of port 0 nobody knows which one it became.
        let has_listener = admin.is_some_and(|admin| admin.listen.port() != 0);
        if !has_listener || !is_running(&state) {
            return Ok(None);
        }
    }
    AdminClient::of(connection).map(Some)
}

/// Prints what the host, or `coinslot dev` in this folder, wrote last.
fn show_state(args: &PluginsArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let (format, config) = (args.format(), &args.connection.config);
    let dev = StateConfig { folder: DEV_STATE.into(), ..StateConfig::default() };
    if dev_hosts::is_meant(config, &dev.history(), StateConfig::history) {
        show(out, format, &read(&dev)?)?;
        if dev_hosts::is_running_here() {
            return Ok(());
        }
        return out.note(format, "no `coinslot dev` is running: this is what the last one wrote");
    }
    let state = Config::read_state(config).map_err(|problems| Failure::usage(problems.to_string()))?;
    show(out, format, &read(&state)?)?;
    if is_running(&state) {
        return Ok(());
    }
    out.note(format, "no host is running: this is what the last one wrote")
}

/// The plugins as a host has written them down.
fn read(state: &StateConfig) -> Result<Vec<PluginRecord>, Failure> {
    let failed = |path: &Path, error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    let history = HistoryFile::read(&state.history()).map_err(|error| failed(&state.history(), error))?;
    let paused = pauses::read(&state.paused()).map_err(|error| failed(&state.paused(), error))?;
    let records = history.files.iter().map(|(file, entry)| {
        let mut record = PluginRecord::kept(file, entry);
        record.note_pause(|plugin| paused.contains(plugin));
        record
    });
    Ok(records.collect())
}

fn show(out: &mut Output<'_>, format: OutputFormat, found: &[PluginRecord]) -> Result<(), Failure> {
    records::write(out, format, found, "no plugins")?;
    if format != OutputFormat::Table {
        return Ok(());
    }
    // A cell has the beginning of a reason.
    for (file, reason) in found.iter().filter_map(|record| Some((&record.file, record.failure.as_ref()?))) {
        out.line(&format!("\n{file}: {reason}"))?;
    }
    let active = found.iter().filter_map(|record| Some((record, record.active.as_ref()?)));
    let changed = active.flat_map(|(record, build)| record.changes.iter().map(|change| (&*build.name, change)));
    changes(changed).map_or(Ok(()), |changes| out.line(&format!("\n{changes}")))?;
    out.flush()
}

impl records::Table for PluginRecord {
    const HEADINGS: &'static [&'static str] = &["FILE", "PLUGIN", "SHA256", "SINCE", "PREVIOUS", "CPU", "STATE"];

    fn cells(&self) -> Vec<String> {
        let name_of = |build: &BuildRecord| format!("{} {}", build.name, build.version);
        let active = self.active.as_ref();
        vec![
            self.file.clone(),
            active.map(name_of).unwrap_or_default(),
            active.map(|build| build.sha256.chars().take(12).collect()).unwrap_or_default(),
            active.and_then(|build| build.since.clone()).unwrap_or_default(),
            self.previous.as_ref().map(name_of).unwrap_or_default(),
            self.usage.as_ref().map(|used| measured(Duration::from_micros(used.cpu_microseconds))).unwrap_or_default(),
            state(self),
        ]
    }
}

/// Says whether a build of a file serves, and why the file's present content does not.
fn state(record: &PluginRecord) -> String {
    let serves = match (&record.failure, &record.active) {
        (Some(reason), Some(build)) => match record.refused_configuration() {
            Some(reason) => {
                format!("{} serves with its former `config`; with the present one: {reason}", build.version)
            }
            None => format!("{} serves; the file is not loaded: {reason}", build.version),
        },
        (Some(reason), None) => format!("nothing serves; the file is not loaded: {reason}"),
        (None, Some(_)) => record.health().to_owned(),
        (None, None) => "removed".to_owned(),
    };
    if record.paused && record.failure.is_some() { format!("paused; {serves}") } else { serves }
}

async fn rollback(args: &PluginsArgs, change: &ChangeArgs) -> Result<(), Failure> {
    let report = match args.connection.url {
        Some(_) => change_by_listener(&args.connection, change, "rollback").await?,
        None => roll_back_here(&args.connection.config, change).await?,
    };
    if args.wants_document() {
        return print::document(json!(report));
    }
    let RollbackReport { file, plugin, version, sha256, active, has_failed, applied } = report;
    let short: String = sha256.chars().take(12).collect();
    let end = match (applied, active) {
        (false, _) => "would be put into the folder: nothing is changed",
        (true, true) => "is active",
        (true, false) => "is in the folder; no running host has taken it yet",
    };
    print::line(format_args!("{file}: {plugin} {version} ({short}) {end}"))?;
    if has_failed {
        crate::logging::say(&format!(
            "warning: {plugin} {version} ({short}) failed again and again and was rolled back before: replace the file with \
             a mended build instead"
        ));
    }
    Ok(())
}

/// Rolls back in the folders of a configuration.
async fn roll_back_here(config: &Path, change: &ChangeArgs) -> Result<RollbackReport, Failure> {
    if !config.exists() && dev_hosts::is_running_here() {
        return Err(Failure::usage(
            "`coinslot dev` runs in this folder, and builds its plugins from their sources: change those instead. A host \
             with a configuration rolls back",
        ));
    }
    let config = Config::read(config).map_err(|problems| Failure::usage(problems.to_string()))?;
    let failed = |error: RollbackError| match error {
        RollbackError::Unknown { .. } => Failure::usage(error.to_string()),
        error => Failure::new(error.to_string()),
    };
    let plan = plan(&config, &change.name).map_err(failed)?;
    if change.dry_run {
        return Ok(RollbackReport::new(plan.rehearsed(), false));
    }
    let done = roll_back(&config, plan).await.map_err(failed)?;
    let after = format!("{} {}, SHA-256 {}", done.build.plugin, done.build.version, done.build.sha256);
    audit::record(&config.state.ledger(), ChangeKind::PluginRolledBack, done.file.clone(), Some(after));
    Ok(RollbackReport::new(done, true))
}

async fn set_paused(args: &PluginsArgs, change: &ChangeArgs, verb: &str) -> Result<(), Failure> {
    let report: PauseReport = change_by_listener(&args.connection, change, verb).await?;
    if args.wants_document() {
        return print::document(json!(report));
    }
    let PauseReport { plugin, paused, changed, applied } = report;
    print::line(match (applied, changed) {
        (true, true) if paused => format!("{plugin} is paused: its requests are answered with 503, and cost nothing"),
        (true, true) => format!("{plugin} is asked again"),
        (false, true) if paused => format!("{plugin} would be paused: nothing is changed"),
        (false, true) => format!("{plugin} would be asked again: nothing is changed"),
        (_, false) if paused => format!("{plugin} is paused already"),
        (_, false) => format!("{plugin} is not paused"),
    })
}

async fn change_by_listener<T: serde::de::DeserializeOwned>(
    connection: &Connection,
    change: &ChangeArgs,
    verb: &str,
) -> Result<T, Failure> {
    let asked = PluginChange { plugin: change.name.clone(), dry_run: change.dry_run };
    AdminClient::of(connection)?.change(&format!("/api/v1/plugins/{verb}"), &asked).await
}
