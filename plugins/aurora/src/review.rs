//! A review of one source file by static rules.
//!
//! `lex` cuts the source into tokens, `code` pairs brackets and finds functions, `rules` say where they are
//! broken; this file chooses the language, orders the findings and counts. Nothing is executed, and any
//! bytes are survived. The rules are heuristics over tokens, without types: they say so in their ids' texts.

mod code;
mod detect;
mod lex;
mod rules;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use code::Code;
use rules::Rule;

/// A longer file should be reviewed in parts. In bytes.
pub const LONGEST_CODE: usize = 128 * 1024;

/// More findings than this are counted but not listed.
pub const MOST_FINDINGS: usize = 200;

/// What a caller sends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// One source file, at most 128 KiB.
    pub code: String,
    /// Told from the file name or the code itself if absent.
    #[serde(default)]
    pub language: Option<Language>,
    /// Helps to tell the language, and whether it is a test. Its content is not read.
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

    fn is_script(self) -> bool {
        matches!(self, Self::Javascript | Self::Typescript)
    }

    fn rules(self) -> impl Iterator<Item = &'static Rule> {
        let (own, typed): (&[Rule], &[Rule]) = match self {
            Self::Rust => (rules::rust::RULES, &[]),
            Self::Python => (rules::python::RULES, &[]),
            Self::Javascript => (rules::script::RULES, &[]),
            Self::Typescript => (rules::script::RULES, rules::script::TYPED),
            Self::Go => (rules::go::RULES, &[]),
        };
        rules::COMMON.iter().chain(own).chain(typed)
    }
}

/// How much a finding matters; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Wrong or unsafe as it stands.
    Error,
    /// Likely to hurt.
    Warning,
    /// Worth a look.
    Info,
}

/// What is sold.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Review {
    pub language: Language,
    /// One sentence for a reader in a hurry.
    pub summary: String,
    /// The worst first, then by line. At most 200; `counts` counts all.
    pub findings: Vec<Finding>,
    pub counts: Counts,
    pub metrics: Metrics,
    /// How many rules were applied: without findings this is what was found clean.
    pub rules_applied: usize,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Finding {
    /// Stable, for example `rust/unwrap`.
    pub rule: &'static str,
    pub severity: Severity,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    pub message: String,
    pub suggestion: &'static str,
    /// The line itself, shortened.
    pub excerpt: String,
}

#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Counts {
    pub error: usize,
    pub warning: usize,
    pub info: usize,
    /// By rule.
    pub rules: BTreeMap<&'static str, usize>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Metrics {
    pub lines: usize,
    /// Lines that hold code.
    pub code_lines: usize,
    /// Lines that hold a comment and no code.
    pub comment_lines: usize,
    pub blank_lines: usize,
    pub functions: usize,
    /// In lines of its body.
    pub longest_function: u32,
    /// Name of the longest function, if there is one with a name.
    pub longest_function_name: Option<String>,
    /// Deepest nesting of blocks in a function.
    pub deepest_nesting: usize,
    /// Decisions in the whole file.
    pub branches: usize,
}

/// Why a submission is not reviewed.
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

/// What can be said before anyone pays: whether there will be a review, and in which language.
pub fn check(submission: &Submission) -> Result<Language, Problem> {
    let length = submission.code.len();
    if submission.code.trim().is_empty() {
        return Err(Problem::Empty);
    }
    if length > LONGEST_CODE {
        return Err(Problem::TooLong(length));
    }
    submission
        .language
        .or_else(|| detect::by_name(submission.filename.as_deref().unwrap_or("")))
        .or_else(|| detect::by_text(&submission.code))
        .ok_or(Problem::UnknownLanguage)
}

/// Applies every rule of the language.
pub fn review(submission: &Submission) -> Result<Review, Problem> {
    let language = check(submission)?;
    let code = Code::new(&submission.code, language, submission.filename.as_deref().unwrap_or(""));
    let lines: Vec<&str> = submission.code.lines().collect();
    let mut counts = Counts::default();
    let mut findings = Vec::new();
    let mut rules_applied = 0;
    for rule in language.rules() {
        rules_applied += 1;
        let mut hits = rules::Hits::default();
        (rule.find)(&code, &mut hits);
        if hits.0.is_empty() {
            continue;
        }
        counts.rules.insert(rule.id, hits.0.len());
        *match rule.severity {
            Severity::Error => &mut counts.error,
            Severity::Warning => &mut counts.warning,
            Severity::Info => &mut counts.info,
        } += hits.0.len();
        findings.extend(hits.0.into_iter().take(MOST_FINDINGS).map(|hit| Finding {
            rule: rule.id,
            severity: rule.severity,
            line: hit.line,
            column: hit.column,
            message: rule.message.replace("{}", &hit.detail),
            suggestion: rule.suggestion,
            excerpt: excerpt(lines.get(hit.line as usize - 1).copied().unwrap_or("")),
        }));
    }
    findings.sort_by_key(|finding| (finding.severity, finding.line, finding.column, finding.rule));
    findings.truncate(MOST_FINDINGS);
    let metrics = metrics(&code, &lines);
    Ok(Review {
        language,
        summary: summary(&counts, &metrics, findings.first()),
        findings,
        counts,
        metrics,
        rules_applied,
    })
}

fn excerpt(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(120) {
        Some((cut, _)) => format!("{}...", &line[..cut]),
        None => line.to_owned(),
    }
}

fn summary(counts: &Counts, metrics: &Metrics, worst: Option<&Finding>) -> String {
    let plural = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let size = format!(
        "{} in {}",
        plural(metrics.code_lines, "line of code", "lines of code"),
        plural(metrics.functions, "function", "functions")
    );
    match worst {
        None => format!("No rule was broken in {size}."),
        Some(worst) => format!(
            "{}, {} and {} in {size}. Look first at line {}: {}",
            plural(counts.error, "error", "errors"),
            plural(counts.warning, "warning", "warnings"),
            plural(counts.info, "remark", "remarks"),
            worst.line,
            worst.message
        ),
    }
}

fn metrics(code: &Code<'_>, lines: &[&str]) -> Metrics {
    let mut holds = vec![0_u8; lines.len() + 2];
    let mut mark = |token: &lex::Token<'_>, bit: u8| {
        for line in token.line..=token.last_line() {
            if let Some(held) = holds.get_mut(line as usize) {
                *held |= bit;
            }
        }
    };
    code.tokens.iter().for_each(|token| mark(token, 1));
    code.comments.iter().for_each(|token| mark(token, 2));
    let count = |is: fn(u8) -> bool| (1..=lines.len()).filter(|line| is(holds[*line])).count();
    let longest = code.functions.iter().max_by_key(|function| rules::lines_of(code, &function.body));
    Metrics {
        lines: lines.len(),
        code_lines: count(|held| held & 1 == 1),
        comment_lines: count(|held| held == 2),
        blank_lines: count(|held| held == 0),
        functions: code.functions.len(),
        longest_function: longest.map_or(0, |function| rules::lines_of(code, &function.body)),
        longest_function_name: longest
            .map(|function| function.name)
            .filter(|name| !matches!(*name, "=>" | "func" | "function"))
            .map(Into::into),
        deepest_nesting: code.functions.iter().map(|function| rules::nesting(code, &function.body)).max().unwrap_or(0),
        branches: rules::branches(code, &(0..code.len())),
    }
}

#[cfg(test)]
mod tests;
