//! Runs `cargo test`, and reads the results of its harness.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use coinslot_build::{BuildError, rust};

use super::process;
use super::report::{CheckResult, Outcome, Report, Suite};
use super::units::LONGEST_RUN;
use crate::cli::{Failure, user_cache};

/// The exit code of cargo when it, the compiler or a test fails.
const FAILED: i32 = 101;

/// Runs the tests of a crate on this machine, and reports them.
pub(super) fn run(folder: &Path, filter: &str, report: &mut Report) -> Result<(), Failure> {
    let sdk = match rust::sdk_arguments(folder, &user_cache()?) {
        Ok(arguments) => arguments,
        Err(BuildError::Source(reason)) => {
            report.add(Suite::Unit, "cargo test", "it does not compile", Err(reason));
            return Ok(());
        }
        Err(error) => return Err(Failure::new(error.to_string())),
    };
    let mut command = Command::new("cargo");
    command.args(["test", "--no-fail-fast", "--color", "never", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    command.args(sdk).args(["--", "--color", "never"]);
    if !filter.is_empty() {
        command.arg(filter);
    }
    let mut output = HarnessOutput::default();
    let ended = process::run(command, LONGEST_RUN, |line| output.take(line, report));
    let end = ended.map_err(|error| Failure {
        code: 69,
        message: format!("cargo cannot be run ({error}): install Rust from https://rustup.rs"),
    })?;
    output.finish(report);
    if end.is_late {
        let reason = format!("cargo test did not end within {} minutes", LONGEST_RUN.as_secs() / 60);
        report.add(Suite::Unit, "cargo test", "the run", Err(reason));
    } else if end.code != Some(0) && !output.has_failed {
        // It does not compile, or the harness was ended.
        let name = if end.code == Some(FAILED) { "it does not compile" } else { "the run ended" };
        report.add(Suite::Unit, "cargo test", name, Err(errors(&end.stderr)));
    }
    Ok(())
}

/// The messages of the compiler, without its progress.
fn errors(stderr: &str) -> String {
    let is_progress = |line: &&str| {
        ["Compiling", "Checking", "Updating", "Locking", "Downloading", "Downloaded", "Blocking", "Adding"]
            .iter()
            .any(|word| line.trim_start().starts_with(word))
    };
    stderr.lines().filter(|line| !is_progress(line)).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The output of one harness after the other. The reason of a failure comes after all results of its harness.
#[derive(Debug, Default)]
struct HarnessOutput {
    results: Vec<(String, Outcome)>,
    /// The sections `---- NAME stdout ----`.
    reasons: BTreeMap<String, String>,
    section: Option<String>,
    has_failed: bool,
}

impl HarnessOutput {
    fn take(&mut self, line: &str, report: &mut Report) {
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.section = Some(name.to_owned());
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.section = None;
            if line != "failures:" {
                self.finish(report);
            }
        } else if let Some(section) = &self.section {
            let reason = self.reasons.entry(section.clone()).or_default();
            reason.push_str(line);
            reason.push('\n');
        } else if let Some((name, outcome)) = result(line) {
            self.results.push((name, outcome));
        }
    }

    /// Reports the results of a harness that has ended.
    fn finish(&mut self, report: &mut Report) {
        for (name, outcome) in std::mem::take(&mut self.results) {
            self.has_failed |= outcome == Outcome::Failed;
            let detail = match outcome {
                Outcome::Failed => self.reasons.remove(&name).unwrap_or_default().trim().to_owned(),
                Outcome::Passed | Outcome::Skipped => String::new(),
            };
            report.push(CheckResult {
                suite: Suite::Unit,
                group: "cargo test".to_owned(),
                name,
                outcome,
                detail,
                output: String::new(),
                milliseconds: None,
            });
        }
    }
}

/// The result on a line: `test tests::adds ... ok`.
fn result(line: &str) -> Option<(String, Outcome)> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let outcome = match outcome.split(',').next()? {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed,
        "ignored" => Outcome::Skipped,
        _ => return None,
    };
    Some((name.trim_end_matches(" - should panic").to_owned(), outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test tests::adds ... ok
test tests::breaks ... FAILED
test tests::later ... ignored, not yet

failures:

---- tests::breaks stdout ----
thread 'tests::breaks' panicked at src/lib.rs:9:5:
assertion failed: 1 == 2


failures:
    tests::breaks

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn a_failure_has_the_reason_that_the_harness_prints_later() {
        let (mut output, mut report) = (HarnessOutput::default(), Report::new(true));
        OUTPUT.lines().for_each(|line| output.take(line, &mut report));
        assert!(output.has_failed);
        let counts = [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(|outcome| report.count(outcome));
        assert_eq!(counts, [1, 1, 1]);
        let failed = report.results().find(|result| result.outcome == Outcome::Failed).expect("one failed");
        assert_eq!(failed.name, "tests::breaks");
        assert!(failed.detail.ends_with("assertion failed: 1 == 2"), "{}", failed.detail);
    }

    #[test]
    fn the_errors_of_the_compiler_are_left_of_its_progress() {
        let stderr = "   Compiling a v0.1.0 (/a)\nerror[E0308]: mismatched types\n  --> src/lib.rs:2:5\n";
        assert_eq!(errors(stderr), "error[E0308]: mismatched types\n  --> src/lib.rs:2:5");
    }
}
