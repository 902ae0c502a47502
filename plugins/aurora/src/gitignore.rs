//! Makes a `.gitignore` for any union of known stacks.
//!
//! The data is `gitignore/stacks.txt`: a line `== id | Title | kind | aliases` opens a stack, and the
//! lines below it are its patterns. Only the headings and the wanted stacks are parsed.
//! Invariant: the file has no pattern twice, and every `!pattern` is still effective in it.

mod glob;

use std::fmt::Write as _;

const DATA: &str = include_str!("gitignore/stacks.txt");

/// Most stacks of one request.
pub const MOST_STACKS: usize = 24;

/// One stack of the data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack {
    pub id: &'static str,
    pub title: &'static str,
    /// `language`, `framework`, `editor`, `os` or `tool`.
    pub kind: &'static str,
    aliases: &'static str,
    body: &'static str,
}

/// A reason for which a list of stacks is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No name was given.
    Missing,
    /// More than [`MOST_STACKS`] names.
    TooMany(usize),
    /// A name that is neither a stack nor an alias, with the nearest ones that are.
    Unknown { name: String, nearest: Vec<&'static str> },
}

impl Problem {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing_stack",
            Self::TooMany(_) => "too_many_stacks",
            Self::Unknown { .. } => "unknown_stack",
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => {
                let names: Vec<_> = stacks().map(|stack| stack.id).collect();
                write!(f, "Name one or more stacks, as in ?stack=rust,node,macos. Known: {}.", names.join(", "))
            }
            Self::TooMany(count) => {
                write!(f, "{count} stacks were named; at most {MOST_STACKS} fit in one request.")
            }
            Self::Unknown { name, nearest } if nearest.is_empty() => write!(
                f,
                "Unknown stack `{name}`, and nothing known is near it. Ask with an empty ?stack= for the whole list."
            ),
            Self::Unknown { name, nearest } => {
                write!(f, "Unknown stack `{name}`. Nearest known: {}.", nearest.join(", "))
            }
        }
    }
}

/// Every stack, in the order of the data file.
pub fn stacks() -> impl Iterator<Item = Stack> {
    let start = DATA.strip_prefix("== ").unwrap_or(DATA);
    start.split("\n== ").filter_map(|block| {
        let (heading, body) = block.split_once('\n')?;
        let mut fields = heading.splitn(4, '|').map(str::trim);
        Some(Stack {
            id: fields.next()?,
            title: fields.next()?,
            kind: fields.next()?,
            aliases: fields.next().unwrap_or(""),
            body,
        })
    })
}

impl Stack {
    /// Other names of this stack.
    pub fn aliases(&self) -> impl Iterator<Item = &'static str> {
        self.aliases.split_whitespace()
    }

    /// Its patterns, negations included, in order.
    pub fn patterns(&self) -> impl Iterator<Item = &'static str> {
        self.body.lines().map(str::trim_end).filter(|line| !line.is_empty())
    }

    fn answers_to(&self, name: &str) -> bool {
        self.id == name || self.aliases().any(|alias| alias == name)
    }
}

/// Reads `rust,node+macos` into stacks, each once, in the order asked.
///
/// Names are separated by commas, plus signs or spaces (a form decoder turns `+` into a space), in any
/// letter case. `c++` is understood, unless the form decoder has replaced its signs.
pub fn parse(list: &str) -> Result<Vec<Stack>, Problem> {
    // Bounded before any work: the list comes from outside.
    let list: String = list.chars().take(1024).collect::<String>().to_ascii_lowercase().replace("c++", "cpp");
    let names: Vec<&str> =
        list.split(|c: char| c == ',' || c == '+' || c.is_whitespace()).filter(|name| !name.is_empty()).collect();
    match names.len() {
        0 => return Err(Problem::Missing),
        count if count > MOST_STACKS => return Err(Problem::TooMany(count)),
        _ => {}
    }
    let mut wanted: Vec<Stack> = Vec::new();
    for name in names {
        let Some(stack) = stacks().find(|stack| stack.answers_to(name)) else {
            let name: String = name.chars().take(60).collect();
            let nearest = nearest(&name);
            return Err(Problem::Unknown { name, nearest });
        };
        if !wanted.iter().any(|other| other.id == stack.id) {
            wanted.push(stack);
        }
    }
    Ok(wanted)
}

/// Writes the file: one section with a heading per stack, no pattern twice, negations effective.
pub fn render(wanted: &[Stack]) -> String {
    let titles: Vec<_> = wanted.iter().map(|stack| stack.title).collect();
    let mut out = format!("# .gitignore for {}\n", titles.join(", "));
    let mut written: Vec<&str> = Vec::new();
    for stack in wanted {
        let fresh: Vec<_> = stack.patterns().filter(|pattern| !written.contains(pattern)).collect();
        let _ = write!(out, "\n# === {} ===\n", stack.title);
        if fresh.is_empty() {
            out.push_str("# (all of its patterns are above)\n");
        }
        for pattern in fresh {
            out.push_str(pattern);
            out.push('\n');
            written.push(pattern);
        }
    }
    let undone = undone(&written);
    if !undone.is_empty() {
        out.push_str("\n# === Kept on purpose (a later section would ignore these) ===\n");
        for negation in undone {
            out.push_str(negation);
            out.push('\n');
        }
    }
    out
}

/// The negations that a later pattern undoes.
fn undone<'a>(written: &[&'a str]) -> Vec<&'a str> {
    let mut undone = Vec::new();
    for (at, line) in written.iter().enumerate() {
        let Some(kept) = line.strip_prefix('!') else {
            continue;
        };
        let (path, is_dir) = example(kept);
        let covered = |later: &&str| {
            !later.starts_with('!') && (glob::matches(later, &path, is_dir) || glob::matches(later, &path, true))
        };
        if written[at + 1..].iter().any(covered) {
            undone.push(*line);
        }
    }
    undone
}

/// A path that the pattern of a negation matches.
fn example(pattern: &str) -> (String, bool) {
    let is_dir = pattern.ends_with('/');
    let path = pattern.trim_matches('/').replace("**", "any").replace('*', "any");
    (path, is_dir)
}

/// The ids of up to four stacks with a name or alias near `name`, nearest first.
fn nearest(name: &str) -> Vec<&'static str> {
    let mut scored: Vec<(usize, &'static str)> = stacks()
        .filter_map(|stack| {
            let best = std::iter::once(stack.id).chain(stack.aliases()).map(|known| distance(name, known)).min()?;
            Some((best, stack.id))
        })
        .filter(|(far, _)| *far <= (name.chars().count() / 3).max(2))
        .collect();
    scored.sort();
    scored.into_iter().take(4).map(|(_, id)| id).collect()
}

/// The edit distance. It is one if one of the names, with three letters or more, is the start of the other.
fn distance(a: &str, b: &str) -> usize {
    let short = a.len().min(b.len());
    if short >= 3 && a != b && (a.starts_with(b) || b.starts_with(a)) {
        return 1;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
