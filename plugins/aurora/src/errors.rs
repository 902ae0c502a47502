//! Explains known errors: their causes, and steps against them.
//!
//! The knowledge base is `errors/data/*.txt`. [`diagnose`] ranks the entries whose patterns match the message, and
//! fills the captured names into their texts.

/// Fills captured values into texts.
mod fill;

/// The knowledge base.
mod knowledge;

/// Guesses the field of an error.
mod origin;

/// Patterns with captures.
mod pattern;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use fill::{fill_command, fill_prose, fill_step};
use knowledge::{Entry, entries};
use origin::{field_of, hint, kind_of};
use pattern::{Captures, Message};

/// Largest message, in bytes. A longer text is a log.
pub const LONGEST_ERROR: usize = 16 * 1024;

/// Most matches of one answer.
const MOST_MATCHES: usize = 5;

/// An error to explain.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The error as it was printed; the whole trace is welcome. At most 16 KiB.
    #[schemars(extend("examples" = ["Error: listen EADDRINUSE: address already in use :::3000"]))]
    pub error: String,
    /// The origin of the error, for example `rust`, `python`, `node`, `docker`, `postgres`. It ranks and never filters.
    #[serde(default)]
    pub language: Option<String>,
    /// The circumstances, for example the command. They only break ties. At most 16 KiB.
    #[serde(default)]
    pub context: Option<String>,
}

/// The known errors that a message matches.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// The field of the best match.
    pub field: String,
    /// Best first, at most five, at least one.
    pub matches: Vec<Match>,
}

/// A known error that the message matches.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Match {
    pub id: String,
    pub field: String,
    pub title: String,
    /// From 0 to 1, by the length of the text that matched. Above 0.8 the message names this very error.
    pub score: f64,
    pub causes: Vec<String>,
    /// In the order to try them.
    pub steps: Vec<String>,
    /// A command that shows whether the error has this cause. It changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// The names in the message, for example `{"port": "3000"}`.
    pub captured: BTreeMap<String, String>,
}

/// A reason for which a question is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    Empty,
    TooLong,
    /// No entry of the knowledge base matches. Carries the field of the message, if it can be guessed.
    Unknown(Option<&'static str>),
}

impl Problem {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_error",
            Self::TooLong => "error_too_long",
            Self::Unknown(_) => "unknown_error",
        }
    }

    pub fn status(&self) -> u16 {
        match self {
            Self::Empty => 400,
            Self::TooLong => 413,
            Self::Unknown(_) => 422,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => {
                f.write_str("Put the error's text into `error`, as in {\"error\": \"No module named 'x'\"}.")
            }
            Self::TooLong => {
                write!(
                    f,
                    "`error` and `context` may have {LONGEST_ERROR} bytes each: send the message and the nearest lines."
                )
            }
            Self::Unknown(kind) => {
                f.write_str("This error is not in the knowledge base, so nothing is charged. ")?;
                f.write_str(hint(*kind))
            }
        }
    }
}

/// Finds the entries that match a message, best first.
pub fn diagnose(question: &Question) -> Result<Diagnosis, Problem> {
    let text = question.error.trim();
    let context = question.context.as_deref().unwrap_or("");
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    if text.len() > LONGEST_ERROR || context.len() > LONGEST_ERROR {
        return Err(Problem::TooLong);
    }
    let message = Message::new(text);
    let wanted = question.language.as_deref().map(field_of);
    let seems = kind_of(message.lower());
    let context = context.to_ascii_lowercase();
    let mut found: Vec<(f64, Entry, Captures)> = entries()
        .filter_map(|entry| {
            let (mut score, captures) = score(&entry, &message)?;
            if wanted == Some(entry.field) {
                score += 0.15;
            } else if wanted.is_none() && seems == Some(entry.field) {
                score += 0.08;
            }
            if context.contains(entry.field) {
                score += 0.02;
            }
            Some((score.min(1.0), entry, captures))
        })
        .collect();
    if found.is_empty() {
        return Err(Problem::Unknown(seems.or(wanted)));
    }
    found.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    // Beside a clear match, a weak one is noise.
    let best = found[0].0;
    found.retain(|(score, ..)| *score >= best - 0.4);
    found.truncate(MOST_MATCHES);
    let matches: Vec<Match> =
        found.into_iter().map(|(score, entry, captures)| filled(score, &entry, &captures)).collect();
    Ok(Diagnosis { field: matches[0].field.clone(), matches })
}

/// The score of an entry's best matching pattern, and the captures of all of them; none if no pattern matches.
fn score(entry: &Entry, message: &Message<'_>) -> Option<(f64, Captures)> {
    let mut best = 0.0_f64;
    let mut captures = Captures::new();
    let strong = entry.patterns().map(|pattern| (pattern, 0.55));
    let weak = entry.weak_patterns().map(|pattern| (pattern, 0.25));
    for (pattern, base) in strong.chain(weak) {
        let Some(found) = pattern::find(pattern, message) else {
            continue;
        };
        let specific = (pattern::weight(pattern).min(40) as f64) / 40.0;
        best = best.max(base + 0.3 * specific);
        for (name, value) in found {
            if !captures.iter().any(|(known, _)| *known == name) {
                captures.push((name, value));
            }
        }
    }
    (best > 0.0).then_some((best, captures))
}

/// Fills an entry's texts.
fn filled(score: f64, entry: &Entry, captures: &Captures) -> Match {
    Match {
        id: entry.id.to_owned(),
        field: entry.field.to_owned(),
        title: entry.title.to_owned(),
        score: (score * 100.0).round() / 100.0,
        causes: entry.causes().map(|line| fill_prose(line, captures)).collect(),
        steps: entry.steps().map(|line| fill_step(line, captures)).collect(),
        check: entry.check().map(|line| fill_command(line, captures)),
        captured: captures.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    }
}

#[cfg(test)]
mod tests;
