//! Prints what an examination found, and what it does meanwhile.

use std::io::IsTerminal;
use std::time::Duration;

use coinslot_base::text::printable;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Failure, print};
use crate::doctor::{Examined, Finding, Outcome, Report};

/// A number of warnings.
pub(super) fn warned(count: usize) -> String {
    if count == 1 { "1 warning".to_owned() } else { format!("{count} warnings") }
}

/// The progress, on a terminal alone.
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    pub(super) fn start() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    pub(super) fn say(&self, what: &str) {
        self.0.set_message(printable(what));
    }

    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}

/// The findings on stdout: by endpoint as they come, or as one JSON object at the end.
pub(super) struct ReportOutput {
    is_json: bool,
    has_colours: bool,
}

impl ReportOutput {
    #[allow(clippy::disallowed_methods, reason = "https://no-color.org")]
    pub(super) fn new(is_json: bool) -> Self {
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_json, has_colours: std::io::stdout().is_terminal() && !is_plain }
    }

    pub(super) fn endpoint(&mut self, examined: &Examined) -> Result<(), Failure> {
        if self.is_json {
            return Ok(());
        }
        print::line(&examined.endpoint)?;
        let width = examined.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        for finding in &examined.findings {
            self.finding(finding, width)?;
        }
        print::line("")
    }

    fn finding(&self, finding: &Finding, width: usize) -> Result<(), Failure> {
        let Finding { check, outcome, detail, why, advice } = finding;
        let word = format!("  {:<8}", outcome.word());
        print::marked(&word, self.colour(*outcome), format_args!("{check:<width$}  {detail}"))?;
        if finding.is_problem() {
            let space = " ".repeat(width + 12);
            print::line(format_args!("{space}why: {why}"))?;
            print::line(format_args!("{space}do:  {advice}"))?;
        }
        Ok(())
    }

    /// The colour of a word, by its number in SGR (ECMA-48).
    fn colour(&self, outcome: Outcome) -> Option<u8> {
        self.has_colours.then_some(match outcome {
            Outcome::Ok => 32,
            Outcome::Warning => 33,
            Outcome::Failed => 31,
            Outcome::Skipped => 2,
        })
    }

    pub(super) fn end(self, report: &Report) -> Result<(), Failure> {
        if self.is_json {
            return print::document(format_args!("{:#}", report.json()));
        }
        let [ok, warnings, failed, skipped] =
            [Outcome::Ok, Outcome::Warning, Outcome::Failed, Outcome::Skipped].map(|outcome| report.count(outcome));
        print::line(format_args!("{ok} ok, {}, {failed} failed, {skipped} skipped", warned(warnings)))
    }
}
