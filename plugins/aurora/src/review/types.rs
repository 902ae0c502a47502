//! The question and the answer of a review: the file, the findings and the measures.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest file, in bytes.
pub const LONGEST_CODE: usize = 128 * 1024;

/// Most findings that are listed. The others are only counted.
pub const MOST_FINDINGS: usize = 200;

/// A file to review.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// One source file, at most 128 KiB.
    #[schemars(extend("examples" = ["fn first(items: &[u8]) -> u8 {\n    *items.first().unwrap()\n}\n"]))]
    pub code: String,
    /// If absent, it is detected from the file name or the code.
    #[serde(default)]
    pub language: Option<Language>,
    /// Helps to detect the language, and whether the file is a test. The file itself is not read.
    #[serde(default)]
    pub filename: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Rust,
    Python,
    Javascript,
    Typescript,
    Go,
}

impl Language {
    pub const ALL: [Self; 5] = [Self::Rust, Self::Python, Self::Javascript, Self::Typescript, Self::Go];

    pub(crate) fn is_script(self) -> bool {
        matches!(self, Self::Javascript | Self::Typescript)
    }
}

/// The severity of a finding, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Wrong or unsafe as it stands.
    Error,
    /// Likely to fail.
    Warning,
    /// Worth a look.
    Info,
}

/// The review of one file.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Review {
    pub language: Language,
    /// The result in one sentence.
    pub summary: String,
    /// Sorted by severity, worst first, then by line. At most 200; `counts` counts all.
    pub findings: Vec<Finding>,
    pub counts: Counts,
    pub metrics: Metrics,
    /// The number of rules that were applied.
    pub rules_applied: usize,
}

/// A place where a rule is broken.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Finding {
    /// The stable id of the rule, for example `rust/unwrap`.
    pub rule: &'static str,
    pub severity: Severity,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    pub message: String,
    pub suggestion: &'static str,
    /// The line, shortened to 120 characters.
    pub excerpt: String,
}

/// The numbers of findings.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Counts {
    pub error: usize,
    pub warning: usize,
    pub info: usize,
    /// The number of findings of each rule that has any.
    pub rules: BTreeMap<&'static str, usize>,
}

/// Measures of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Metrics {
    pub lines: usize,
    /// Lines that hold code.
    pub code_lines: usize,
    /// Lines that hold a comment and no code.
    pub comment_lines: usize,
    pub blank_lines: usize,
    pub functions: usize,
    /// The length of the longest function's body, in lines.
    pub longest_function: u32,
    /// The name of the longest function, if it has one.
    pub longest_function_name: Option<String>,
    /// Deepest nesting of blocks in a function.
    pub deepest_nesting: usize,
    /// The number of decisions in the file.
    pub branches: usize,
}

/// A reason for which a file is not reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    Empty,
    TooLong(usize),
    UnknownLanguage,
}

impl Problem {
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty_code",
            Self::TooLong(_) => "code_too_long",
            Self::UnknownLanguage => "unknown_language",
        }
    }

    pub fn status(self) -> u16 {
        match self {
            Self::Empty => 400,
            Self::TooLong(_) => 413,
            Self::UnknownLanguage => 422,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("`code` holds nothing to review."),
            Self::TooLong(length) => write!(f, "`code` has {length} bytes; at most {LONGEST_CODE} are reviewed at once. Send one file or module."),
            Self::UnknownLanguage => f.write_str(
                "The language could not be told from the code. Set `language` to rust, python, javascript, typescript or go, or give a `filename`.",
            ),
        }
    }
}
