//! What a known error means and what to do about it.
//!
//! The knowledge base is `errors/data/*.txt`, one file per field; `entries` reads it lazily. `diagnose`
//! ranks the entries whose patterns stand in the message and fills the names it captured into the steps.
//! Invariant: a captured value enters a `check` command only if it cannot change what the command does.

mod pattern;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use pattern::{Captures, Message};

/// A message longer than this is a log, not an error. In bytes.
pub const LONGEST_ERROR: usize = 16 * 1024;

/// At most this many matches are told.
const MOST_MATCHES: usize = 5;

/// `(field, data)`. A field is what `language` selects.
const DATA: &[(&str, &str)] = &[
    ("rust", include_str!("errors/data/rust.txt")),
    ("python", include_str!("errors/data/python.txt")),
    ("node", include_str!("errors/data/node.txt")),
    ("typescript", include_str!("errors/data/typescript.txt")),
    ("go", include_str!("errors/data/go.txt")),
    ("java", include_str!("errors/data/java.txt")),
    ("c", include_str!("errors/data/c.txt")),
    ("docker", include_str!("errors/data/docker.txt")),
    ("git", include_str!("errors/data/git.txt")),
    ("database", include_str!("errors/data/database.txt")),
    ("http", include_str!("errors/data/http.txt")),
    ("tls", include_str!("errors/data/tls.txt")),
    ("linux", include_str!("errors/data/linux.txt")),
    ("kubernetes", include_str!("errors/data/kubernetes.txt")),
    ("payments", include_str!("errors/data/payments.txt")),
];

/// What a caller sends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The error as it was printed; the whole trace is welcome. At most 16 KiB.
    pub error: String,
    /// Where it came from, for example `rust`, `python`, `node`, `docker`, `postgres`. Ranks, never filters.
    #[serde(default)]
    pub language: Option<String>,
    /// What was being done, for example the command. Only breaks ties. At most 16 KiB.
    #[serde(default)]
    pub context: Option<String>,
}

/// What is sold.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// The field of the best match.
    pub field: String,
    /// Best first, at most five, at least one.
    pub matches: Vec<Match>,
}

/// One known error that the message shows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Match {
    pub id: String,
    pub field: String,
    pub title: String,
    /// From 0 to 1: how specific the text that matched is. Above 0.8 the message names this very error.
    pub score: f64,
    pub causes: Vec<String>,
    /// In the order to try them.
    pub steps: Vec<String>,
    /// A command that shows whether this is it, without changing anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// What the message named, for example `{"port": "3000"}`.
    pub captured: std::collections::BTreeMap<String, String>,
}

/// Why a question is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    Empty,
    TooLong,
    /// Nothing in the knowledge base stands in the message. Carries what it looks like, if anything.
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

/// What anyone may try, told for nothing.
fn hint(kind: Option<&'static str>) -> &'static str {
    match kind {
        Some("rust") => "It looks like Rust: send the line with `error[E....]`; `rustc --explain` knows every code.",
        Some("python") => "It looks like a Python traceback: send its last line, which names the exception.",
        Some("node" | "typescript") => {
            "It looks like JavaScript: send the line with the error's name and message, above the `at ...` lines."
        }
        Some("go") => {
            "It looks like Go: send the line that follows `panic:` or the compiler's `file.go:line:` message."
        }
        Some("java") => "It looks like a JVM trace: send the last `Caused by:` line.",
        _ => "Send the error's own words as they were printed, with any code such as E0382, ENOENT or 23505.",
    }
}

/// One block of a data file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) field: &'static str,
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    body: &'static str,
}

impl Entry {
    fn lines(&self, sign: char) -> impl Iterator<Item = &'static str> {
        self.body.lines().filter_map(move |line| line.strip_prefix(sign)).map(str::trim)
    }

    /// What names this error and nothing else.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &'static str> {
        self.lines('=')
    }

    /// What many errors say: half the worth.
    pub(crate) fn weak_patterns(&self) -> impl Iterator<Item = &'static str> {
        self.lines('~')
    }

    pub(crate) fn causes(&self) -> impl Iterator<Item = &'static str> {
        self.lines('?')
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = &'static str> {
        self.lines('>')
    }

    pub(crate) fn check(&self) -> Option<&'static str> {
        self.lines('$').next()
    }
}

/// The knowledge base. A block is `@ id Title`, then lines that begin with `=` (pattern), `~` (weak
/// pattern), `?` (cause), `>` (step) or `$` (check).
pub(crate) fn entries() -> impl Iterator<Item = Entry> {
    DATA.iter().flat_map(|(field, data)| {
        data.strip_prefix("@ ").unwrap_or(data).split("\n@ ").filter_map(|block| {
            let (heading, body) = block.split_once('\n')?;
            let (id, title) = heading.trim().split_once(' ')?;
            Some(Entry { field, id, title, body })
        })
    })
}

/// Ranks what is known about the message, or says why nothing can be sold.
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
    // A weak echo beside a clear match is noise.
    let best = found[0].0;
    found.retain(|(score, ..)| *score >= best - 0.4);
    found.truncate(MOST_MATCHES);
    let matches: Vec<Match> =
        found.into_iter().map(|(score, entry, captures)| tell(score, &entry, &captures)).collect();
    Ok(Diagnosis { field: matches[0].field.clone(), matches })
}

/// The worth of an entry's best pattern, and what all its matching patterns captured.
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

fn tell(score: f64, entry: &Entry, captures: &Captures) -> Match {
    let in_prose = |value: &str| Some(value.to_owned());
    let in_command = |value: &str| harmless(value).then(|| value.to_owned());
    Match {
        id: entry.id.to_owned(),
        field: entry.field.to_owned(),
        title: entry.title.to_owned(),
        score: (score * 100.0).round() / 100.0,
        causes: entry.causes().map(|line| fill(line, captures, in_prose)).collect(),
        steps: entry.steps().map(|line| fill_step(line, captures)).collect(),
        check: entry.check().map(|line| fill(line, captures, in_command)),
        captured: captures.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    }
}

/// Steps hold commands between backticks, so values there obey the rule for commands.
fn fill_step(line: &str, captures: &Captures) -> String {
    let mut out = String::new();
    for (at, piece) in line.split('`').enumerate() {
        if at > 0 {
            out.push('`');
        }
        let in_code = at % 2 == 1;
        out.push_str(&fill(piece, captures, |value| (!in_code || harmless(value)).then(|| value.to_owned())));
    }
    out
}

/// Replaces `{name}` and `{name|what to say without it}`.
fn fill(line: &str, captures: &Captures, allow: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}').map(|at| open + at) else {
            break;
        };
        let (name, otherwise) = match rest[open + 1..close].split_once('|') {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (&rest[open + 1..close], None),
        };
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        out.push_str(&rest[..open]);
        if is_name {
            let value = captures.iter().find(|(known, _)| *known == name).and_then(|(_, value)| allow(value));
            match (value, otherwise) {
                (Some(value), _) => out.push_str(&value),
                (None, Some(otherwise)) => out.push_str(otherwise),
                (None, None) => out.push_str(&format!("<{name}>")),
            }
        } else {
            out.push_str(&rest[open..=close]);
        }
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    out
}

/// Whether a shell reads the value as one plain word: no quoting, no expansion, no option.
fn harmless(value: &str) -> bool {
    !value.starts_with('-')
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b'@' | b'+'))
}

/// The field that a caller's word for a language or tool means.
fn field_of(language: &str) -> &'static str {
    match language.trim().to_ascii_lowercase().as_str() {
        "rust" | "rs" | "cargo" => "rust",
        "python" | "py" | "pip" | "django" | "flask" | "fastapi" => "python",
        "node" | "nodejs" | "javascript" | "js" | "npm" | "yarn" | "pnpm" | "react" | "next" | "nextjs" => "node",
        "typescript" | "ts" | "tsc" => "typescript",
        "go" | "golang" => "go",
        "java" | "kotlin" | "jvm" | "maven" | "gradle" => "java",
        "c" | "c++" | "cpp" | "gcc" | "clang" | "cmake" => "c",
        "docker" | "compose" | "podman" => "docker",
        "git" | "github" => "git",
        "postgres" | "postgresql" | "mysql" | "sql" | "sqlite" | "redis" | "database" | "mongodb" => "database",
        "http" | "cors" | "nginx" | "rest" | "browser" => "http",
        "tls" | "ssl" | "https" | "openssl" => "tls",
        "linux" | "os" | "unix" | "bash" | "shell" | "ssh" | "macos" => "linux",
        "kubernetes" | "k8s" | "kubectl" | "helm" => "kubernetes",
        "x402" | "evm" | "ethereum" | "solidity" | "payments" | "viem" | "ethers" | "foundry" => "payments",
        _ => "other",
    }
}

/// What the shape of the text says about its origin.
fn kind_of(lower: &str) -> Option<&'static str> {
    let any = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    if any(&["error[e0", "--> src/", "thread 'main' panicked", "cargo "]) {
        Some("rust")
    } else if any(&["traceback (most recent call last)", ".py\", line ", "pip install"]) {
        Some("python")
    } else if any(&["error ts", ".ts("]) {
        Some("typescript")
    } else if any(&["goroutine ", ".go:", "panic: "]) {
        Some("go")
    } else if any(&["exception in thread", "caused by: ", ".java:"]) {
        Some("java")
    } else if any(&["npm err", "node:internal", ".js:", "node_modules", "npm error"]) {
        Some("node")
    } else if any(&["docker", "dockerfile"]) {
        Some("docker")
    } else if any(&["fatal: ", "git "]) {
        Some("git")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
