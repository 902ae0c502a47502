//! `coinslot test`: runs a plugin's own tests, and checks its contract through a real host.

mod buyer;
mod cargo;
mod contract;
mod endpoint;
mod process;
mod report;
mod units;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::contract::ContractOptions;
use self::report::Report;
use super::Failure;
use super::build::compile::{self, BuildResult};
use super::build::plugin_source::{PluginSource, SourceKind};
use crate::config::Config;

pub use self::report::Suite;

/// Test a plugin: its own tests, and what its endpoints promise.
///
/// The tests are those of the language: `*.test.ts` and `*.test.js` run in the engine that serves the plugin,
/// `test_*.py` by pytest or unittest, a crate by `cargo test`.
///
/// The contract is checked through a real host with a chain in this process: each endpoint is called with an example
/// made from its input schema. Unpaid, it asks for the declared price. A forbidden input is refused, and not charged.
/// Paid, it answers with the declared media type, and the output schema holds. The same payment gets the same answer
/// again, and is charged once.
///
/// Ends with 0 if everything passed, 1 if something failed, 2 for wrong usage, 65 if the plugin cannot be built, 69 if a
/// tool is missing, 70 if a tool failed, and 74 if a file cannot be read or written.
#[derive(clap::Args, Clone, Debug)]
pub struct TestArgs {
    /// A module, a folder with a plugin as `coinslot build` takes it, or a component.
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    pub source: PathBuf,
    /// Run one part alone.
    #[arg(long, value_name = "PART")]
    pub only: Option<Suite>,
    /// Run the tests whose name contains this, and check the endpoints whose `METHOD /path` does.
    #[arg(short = 't', long, value_name = "TEXT", default_value = "")]
    pub filter: String,
    /// A coinslot.toml whose [limits] and [plugin.NAME] hold: outgoing HTTP, secrets, configuration, key-value stores.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The longest time of one test in TypeScript or JavaScript, and of one request, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub timeout: f64,
    /// One JSON object on stdout when everything has run.
    #[arg(long)]
    pub json: bool,
}

/// Runs the tests, and prints what passed and what failed.
pub async fn run(args: TestArgs) -> Result<(), Failure> {
    let begun = Instant::now();
    let shown = args.source.display();
    let path = args.source.canonicalize().map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    let source = PluginSource::named(&path, &shown)?;
    let timeout = Duration::try_from_secs_f64(args.timeout).ok().filter(|timeout| !timeout.is_zero());
    let timeout = timeout.ok_or_else(|| Failure::usage("--timeout is a number of seconds above zero"))?;
    let policies = args.config.as_deref().map(Config::read_plugins).transpose()?;
    let mut report = Report::new(args.json);
    if args.only != Some(Suite::Contract) {
        report = own_tests(&args, &source, timeout, report).await?;
    }
    if args.only != Some(Suite::Unit) {
        let work = tempfile::tempdir().map_err(|error| Failure::new(format!("a temporary folder: {error}")))?;
        build(&source, work.path()).await?;
        let options = ContractOptions { policies, timeout, filter: args.filter.clone() };
        contract::check(work.path(), options, &mut report).await?;
    }
    if report.is_empty() {
        return Err(Failure::new(format!("nothing was tested: no name contains `{}`", args.filter)));
    }
    report.finish(begun.elapsed().as_secs_f64())
}

/// Runs the tests of the language. That there are none is a failure only where nothing else was asked for.
async fn own_tests(
    args: &TestArgs,
    source: &PluginSource,
    timeout: Duration,
    mut report: Report,
) -> Result<Report, Failure> {
    let (source, filter) = (source.clone(), args.filter.clone());
    let ran = tokio::task::spawn_blocking(move || {
        let missing = units::run(&source, &filter, timeout, &mut report);
        (report, missing)
    });
    let (mut report, missing) = ran.await.map_err(|error| Failure::new(format!("the tests ended: {error}")))?;
    let why = match (missing?, args.filter.is_empty()) {
        (None, _) => return Ok(report),
        (Some(missing), true) => format!("no tests of its own: {missing}"),
        (Some(_), false) => format!("no test of its own has `{}` in its name", args.filter),
    };
    if args.only == Some(Suite::Unit) {
        return Err(Failure::new(why));
    }
    report.note(&why);
    Ok(report)
}

/// Builds the component into the folder `plugins` of the working folder.
async fn build(source: &PluginSource, work: &Path) -> Result<(), Failure> {
    let plugins = work.join("plugins");
    std::fs::create_dir(&plugins).map_err(|error| Failure::new(format!("{}: {error}", plugins.display())))?;
    // A host does not look at files whose names begin with a dot.
    let name = Some(source.name.trim_start_matches('.')).filter(|name| !name.is_empty()).unwrap_or("plugin");
    let (source, out) = (source.clone(), plugins.join(format!("{name}.wasm")));
    let built = tokio::task::spawn_blocking(move || match source.kind {
        SourceKind::Finished => compile::place(&source.path, &out),
        _ => compile::build(&source, &out).0,
    });
    match built.await.map_err(|error| Failure::new(format!("the build ended: {error}")))? {
        BuildResult::Fresh | BuildResult::Built => Ok(()),
        BuildResult::Skipped(message) => Err(Failure { code: 69, message }),
        BuildResult::Failed(message) => Err(Failure { code: 65, message }),
        BuildResult::Broken(failure) => Err(failure),
    }
}
