//! Reviews one source file by static rules.
//!
//! `lex` cuts the source into tokens, `syntax` pairs the brackets, `code` finds functions, loops and tests, and `rules`
//! find the places where a rule is broken. This file chooses the language, sorts the findings and counts. Nothing is
//! executed, and no input makes it fail. The rules are heuristics over tokens, without types.

/// Finds loops and tests.
mod blocks;

/// A file with its functions, loops and tests.
mod code;

/// Detects the language.
mod detect;

/// Finds functions.
mod functions;

/// The tokenizer.
mod lex;

/// Measures functions and files.
mod measure;

/// The rules.
mod rules;

/// Tokens with their brackets paired.
mod syntax;

/// The question and the answer.
mod types;

use code::Code;
pub use types::{
    Counts, Finding, LONGEST_CODE, Language, MOST_FINDINGS, Metrics, Problem, Review, Severity, Submission,
};

/// Checks, before payment, that the file can be reviewed, and detects its language.
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

/// Reviews a file by every rule of its language.
pub fn review(submission: &Submission) -> Result<Review, Problem> {
    let language = check(submission)?;
    let code = Code::new(&submission.code, language, submission.filename.as_deref().unwrap_or(""));
    let lines: Vec<&str> = submission.code.lines().collect();
    let mut counts = Counts::default();
    let mut findings = Vec::new();
    let mut rules_applied = 0;
    for rule in rules::of(language) {
        rules_applied += 1;
        let hits = rules::apply(rule, &code);
        if hits.is_empty() {
            continue;
        }
        counts.rules.insert(rule.id, hits.len());
        *match rule.severity {
            Severity::Error => &mut counts.error,
            Severity::Warning => &mut counts.warning,
            Severity::Info => &mut counts.info,
        } += hits.len();
        findings.extend(hits.into_iter().take(MOST_FINDINGS).map(|hit| Finding {
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
    let longest = code.functions.iter().max_by_key(|function| measure::lines_of(code, &function.body));
    Metrics {
        lines: lines.len(),
        code_lines: count(|held| held & 1 == 1),
        comment_lines: count(|held| held == 2),
        blank_lines: count(|held| held == 0),
        functions: code.functions.len(),
        longest_function: longest.map_or(0, |function| measure::lines_of(code, &function.body)),
        longest_function_name: longest
            .map(|function| function.name)
            .filter(|name| !matches!(*name, "=>" | "func" | "function"))
            .map(Into::into),
        deepest_nesting: code
            .functions
            .iter()
            .map(|function| measure::nesting(code, &function.body))
            .max()
            .unwrap_or(0),
        branches: measure::branches(code, &(0..code.len())),
    }
}

#[cfg(test)]
mod tests;
