//! Collects the results of `coinslot test`, and prints each as soon as it is known.

use serde_json::json;

use crate::cli::{Failure, print};

/// The part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// The plugin's own tests.
    Unit,
    /// The endpoints, through a host.
    Contract,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// The result of one check or test.
#[derive(Clone, Debug)]
pub(super) struct CheckResult {
    pub(super) suite: Suite,
    /// The file of the test, or the endpoint.
    pub(super) group: String,
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// The observation, or the fault, which may have several lines.
    pub(super) detail: String,
    /// The output of the test.
    pub(super) output: String,
    pub(super) milliseconds: Option<f64>,
}

/// The results of a run.
#[derive(Debug)]
pub(super) struct Report {
    is_json: bool,
    /// Something was printed.
    has_begun: bool,
    results: Vec<CheckResult>,
}

impl Suite {
    fn word(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Contract => "contract",
        }
    }
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Report {
    pub(super) fn new(is_json: bool) -> Self {
        Self { is_json, has_begun: false, results: Vec::new() }
    }

    /// Adds the result of a check: what was seen, or what is wrong.
    pub(super) fn add(&mut self, suite: Suite, group: &str, name: &str, checked: Result<String, String>) {
        let (outcome, detail) = match checked {
            Ok(seen) => (Outcome::Passed, seen),
            Err(reason) => (Outcome::Failed, reason),
        };
        let (group, name) = (group.to_owned(), name.to_owned());
        self.push(CheckResult { suite, group, name, outcome, detail, output: String::new(), milliseconds: None });
    }

    /// Adds a check that cannot be made, with the reason.
    pub(super) fn skip(&mut self, suite: Suite, group: &str, name: &str, reason: String) {
        let (outcome, detail) = (Outcome::Skipped, reason);
        let (group, name) = (group.to_owned(), name.to_owned());
        self.push(CheckResult { suite, group, name, outcome, detail, output: String::new(), milliseconds: None });
    }

    pub(super) fn push(&mut self, result: CheckResult) {
        if !self.is_json {
            // A reader that left early wants no more lines.
            let _ = self.lines(&result).iter().try_for_each(print::line);
            self.has_begun = true;
        }
        self.results.push(result);
    }

    /// A line that belongs to no check, for people alone.
    pub(super) fn note(&mut self, text: &str) {
        if !self.is_json {
            let _ = print::line(text);
            self.has_begun = true;
        }
    }

    fn lines(&self, result: &CheckResult) -> Vec<String> {
        let mut lines = Vec::new();
        let is_same = |last: &CheckResult| last.suite == result.suite && last.group == result.group;
        if !self.results.last().is_some_and(is_same) {
            let space = if self.has_begun { "\n" } else { "" };
            lines.push(format!("{space}{:<9} {}", result.suite.word(), result.group));
        }
        let time = result.milliseconds.map(|milliseconds| format!(" ({milliseconds:.0} ms)")).unwrap_or_default();
        let name = match (result.suite, result.detail.is_empty()) {
            (Suite::Contract, false) => format!("{:<10}", result.name),
            _ => result.name.clone(),
        };
        let mut detail = result.detail.lines();
        match result.outcome {
            Outcome::Failed => {
                lines.push(format!("  FAILED  {}{time}", name.trim_end()));
                lines.extend(detail.map(|line| format!("          {line}")));
                let output = result.output.trim_end();
                if !output.is_empty() {
                    lines.push("          it printed:".to_owned());
                    lines.extend(output.lines().map(|line| format!("            {line}")));
                }
            }
            Outcome::Passed | Outcome::Skipped => {
                let word = if result.outcome == Outcome::Passed { "ok" } else { "skipped" };
                let line = format!("  {word:<7} {name} {}{time}", detail.next().unwrap_or_default());
                lines.push(line.trim_end().replace("  (", " ("));
            }
        }
        lines
    }

    pub(super) fn count(&self, outcome: Outcome) -> usize {
        self.results.iter().filter(|result| result.outcome == outcome).count()
    }

    /// The number of results.
    pub(super) fn len(&self) -> usize {
        self.results.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    #[cfg(test)]
    pub(super) fn results(&self) -> impl Iterator<Item = &CheckResult> {
        self.results.iter()
    }

    /// Prints the sums, or everything as one JSON object. Fails if a check has failed.
    pub(super) fn finish(self, seconds: f64) -> Result<(), Failure> {
        let [passed, failed, skipped] = [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(|o| self.count(o));
        if self.is_json {
            let checks: Vec<_> = self.results.iter().map(CheckResult::json).collect();
            print::document(format!(
                "{:#}",
                json!({ "passed": passed, "failed": failed, "skipped": skipped, "checks": checks })
            ))?;
        } else {
            let others = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
            print::line(format!("\n{passed} passed, {failed} failed{others}, in {seconds:.1} s"))?;
        }
        match failed {
            0 => Ok(()),
            1 => Err(Failure::new("a check has failed")),
            _ => Err(Failure::new(format!("{failed} checks have failed"))),
        }
    }
}

impl CheckResult {
    fn json(&self) -> serde_json::Value {
        json!({
            "suite": self.suite.word(),
            "group": self.group,
            "name": self.name,
            "outcome": self.outcome.word(),
            "detail": self.detail,
            "output": self.output,
            "milliseconds": self.milliseconds,
        })
    }
}
