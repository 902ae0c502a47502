//! Runs a plugin's own tests with the means of its language.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coinslot_build::testing::{TestOutcome, TestReport, TestResult};
use coinslot_build::{BuildError, javascript, python};

use super::cargo;
use super::process;
use super::report::{CheckResult, Outcome, Report, Suite};
use crate::cli::build::plugin_source::{PluginSource, SourceKind};
use crate::cli::{Failure, user_cache};

/// The longest time of a whole run by Python or cargo, which also compiles.
pub(super) const LONGEST_RUN: Duration = Duration::from_secs(20 * 60);
/// The exit codes of the SDK's `run_tests.py`.
const WRONG_SOURCE: i32 = 65;
const NO_TOOLCHAIN: i32 = 69;

/// Runs the tests whose name contains `filter`. Returns what is missing if there are none. Blocks the thread.
pub(super) fn run(
    source: &PluginSource,
    filter: &str,
    timeout: Duration,
    report: &mut Report,
) -> Result<Option<&'static str>, Failure> {
    let before = report.len();
    let missing = match source.kind {
        SourceKind::JavaScript => {
            javascript_tests(&source.path, filter, timeout, report)?;
            "a test is in a file like plugin.test.ts beside the plugin, and imports 'coinslot/test'"
        }
        SourceKind::Python => {
            python_tests(&source.path, filter, report)?;
            "a test is in a file like test_app.py beside the plugin, and imports coinslot.testing"
        }
        SourceKind::Cargo => {
            cargo::run(&source.path, filter, report)?;
            "a test is a function with #[test], and calls coinslot_sdk::testing"
        }
        SourceKind::Script => "a plugin with a build.sh is tested by the tools of its language",
        SourceKind::C => "a plugin in C, C++ or Zig is tested by the tools of its language",
        SourceKind::Module | SourceKind::Finished => "the tests of a component stay with its sources",
    };
    Ok((report.len() == before).then_some(missing))
}

fn javascript_tests(plugin: &Path, filter: &str, timeout: Duration, report: &mut Report) -> Result<(), Failure> {
    let cache = user_cache().ok();
    for file in javascript::test_files(plugin) {
        let group = relative(&file, plugin);
        let mut began = false;
        let ran = javascript::run_tests(&file, plugin, filter, timeout, cache.as_deref(), |event| {
            began = true;
            if let TestReport::Test(result) = event {
                report.push(of_test(&group, result));
            }
        });
        match ran {
            Ok(()) => {}
            Err(BuildError::Source(reason)) => {
                let name = if began { "the run ended" } else { "it cannot be loaded" };
                report.add(Suite::Unit, &group, name, Err(reason));
            }
            Err(BuildError::Toolchain(advice)) => return Err(Failure { code: 69, message: advice }),
            Err(error @ (BuildError::File { .. } | BuildError::Cache(_) | BuildError::Engine(_))) => {
                report.add(Suite::Unit, &group, "the run ended", Err(error.to_string()));
            }
        }
    }
    Ok(())
}

fn python_tests(plugin: &Path, filter: &str, report: &mut Report) -> Result<(), Failure> {
    if python::test_files(plugin).is_empty() {
        return Ok(());
    }
    let command =
        python::test_command(plugin, filter, &user_cache()?).map_err(|error| Failure::new(error.to_string()))?;
    let mut running = None;
    let ended = process::run(command, LONGEST_RUN, |line| match serde_json::from_str(line) {
        Ok(TestReport::Begin { name, .. }) => running = Some(name),
        Ok(TestReport::Test(result)) => {
            running = None;
            report.push(of_test(&python_group(&result), result));
        }
        Ok(TestReport::Start { .. } | TestReport::End { .. }) | Err(_) => {}
    });
    let end = ended.map_err(|error| Failure { code: 69, message: python::not_there(&error) })?;
    match (end.code, end.is_late) {
        // A test that ends the process with status 0 hides every test after it.
        (Some(0), _) if running.is_none() => Ok(()),
        (Some(NO_TOOLCHAIN), _) => Err(Failure { code: 69, message: end.stderr.trim().to_owned() }),
        (Some(WRONG_SOURCE), _) => Err(Failure { code: 65, message: end.stderr.trim().to_owned() }),
        (_, is_late) => {
            let name = running.unwrap_or_else(|| "the run".to_owned());
            let reason = match is_late {
                true => format!("it did not end within {} minutes", LONGEST_RUN.as_secs() / 60),
                false => format!("it ended Python\n{}", end.stderr.trim()),
            };
            report.add(Suite::Unit, "python", &name, Err(reason));
            Ok(())
        }
    }
}

/// The file of a test by its place.
fn python_group(result: &TestResult) -> String {
    let place = result.at.as_deref().unwrap_or(&result.name);
    place.split("::").next().and_then(|place| place.split(':').next()).unwrap_or(place).to_owned()
}

/// A path as it is shown: relative to the plugin's folder.
fn relative(file: &Path, plugin: &Path) -> String {
    let folder = if plugin.is_dir() { Some(plugin) } else { plugin.parent() };
    let inside: Option<PathBuf> = folder.and_then(|folder| Some(file.strip_prefix(folder).ok()?.to_owned()));
    inside.unwrap_or_else(|| file.to_owned()).display().to_string()
}

fn of_test(group: &str, result: TestResult) -> CheckResult {
    let error = result.error.unwrap_or_default();
    let mut lines: Vec<String> = error.message.lines().map(str::to_owned).collect();
    lines.extend(error.frames);
    if let (true, Some(at)) = (lines.len() == 1, result.at) {
        lines.push(format!("at {at}"));
    }
    CheckResult {
        suite: Suite::Unit,
        group: group.to_owned(),
        name: result.name,
        outcome: match result.outcome {
            TestOutcome::Passed => Outcome::Passed,
            TestOutcome::Failed => Outcome::Failed,
            TestOutcome::Skipped => Outcome::Skipped,
        },
        detail: lines.join("\n"),
        output: result.output,
        milliseconds: result.milliseconds,
    }
}
