//! Declares a check, its verdict, and the words of a report about it.

use coinslot_base::text::excerpt;
use serde_json::{Value, json};

/// The most characters of a detail: a server under examination chooses some of them.
const MOST_DETAIL: usize = 500;

/// The judgement of one check, with what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok(String),
    /// Some clients, directories or proxies have trouble with it.
    Warning(String),
    /// Payers are turned away, lose money, or get what they have not paid for.
    Failed(String),
    /// It could not be judged, or is not about this endpoint.
    Skipped(String),
}

/// The kind of a verdict, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Skipped,
    Ok,
    Warning,
    Failed,
}

/// A check of what `T` records.
#[derive(Debug)]
pub(super) struct Check<T: 'static> {
    /// The name, which stays the same over versions.
    pub(super) name: &'static str,
    /// Why it matters, in a sentence.
    pub(super) why: &'static str,
    /// The advice if it finds something.
    pub(super) advice: &'static str,
    pub(super) judge: fn(&T) -> Verdict,
}

/// The result of one check at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: &'static str,
    pub outcome: Outcome,
    /// The finding, in one line without characters that drive a terminal.
    pub detail: String,
    pub why: &'static str,
    pub advice: &'static str,
}

impl Verdict {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self::Ok(text.into())
    }

    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self::Warning(text.into())
    }

    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    pub(super) fn skipped(text: impl Into<String>) -> Self {
        Self::Skipped(text.into())
    }

    /// The worst of the problems, all of which it names; `good` if there is none.
    pub(super) fn of(failures: Vec<String>, warnings: Vec<String>, good: impl Into<String>) -> Self {
        let all = || failures.iter().chain(&warnings).cloned().collect::<Vec<_>>().join("; ");
        match (failures.is_empty(), warnings.is_empty()) {
            (false, _) => Self::Failed(all()),
            (true, false) => Self::Warning(all()),
            (true, true) => Self::Ok(good.into()),
        }
    }

    fn parts(&self) -> (Outcome, &str) {
        match self {
            Self::Ok(text) => (Outcome::Ok, text),
            Self::Warning(text) => (Outcome::Warning, text),
            Self::Failed(text) => (Outcome::Failed, text),
            Self::Skipped(text) => (Outcome::Skipped, text),
        }
    }
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl<T> Check<T> {
    pub(super) fn run(&self, record: &T) -> Finding {
        self.finding(&(self.judge)(record))
    }

    pub(super) fn finding(&self, verdict: &Verdict) -> Finding {
        let Self { name, why, advice, .. } = *self;
        let (outcome, detail) = verdict.parts();
        Finding { check: name, outcome, detail: excerpt(detail, MOST_DETAIL), why, advice }
    }
}

impl Finding {
    /// True if somebody has to do something about it.
    pub fn is_problem(&self) -> bool {
        self.outcome >= Outcome::Warning
    }

    pub(super) fn json(&self) -> Value {
        let Self { check, outcome, detail, why, advice } = self;
        let mut object = json!({ "check": check, "outcome": outcome.word(), "detail": detail, "why": why });
        if self.is_problem() {
            object["advice"] = (*advice).into();
        }
        object
    }
}
