//! What a rule is, and the rules that hold for every language.
//!
//! A rule only says where; its texts are data. Rules never look at text inside strings or comments unless
//! that is what they are about.

pub(super) mod go;
pub(super) mod python;
pub(super) mod rust;
pub(super) mod script;

use super::Severity::{self, Error, Info, Warning};
use super::code::Code;
use super::lex::{Kind, Token};

/// One rule. In `message`, `{}` stands for the detail of the hit.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) severity: Severity,
    pub(super) message: &'static str,
    pub(super) suggestion: &'static str,
    pub(super) find: fn(&Code<'_>, &mut Hits),
}

/// Where a rule was broken.
#[derive(Debug, Default)]
pub(super) struct Hits(pub(super) Vec<Hit>);

#[derive(Debug)]
pub(super) struct Hit {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) detail: String,
}

impl Hits {
    /// At every token that the question is true for.
    pub(super) fn each(&mut self, code: &Code<'_>, is: impl Fn(&Code<'_>, usize) -> bool) {
        for at in 0..code.len() {
            if is(code, at) {
                self.at(code, at);
            }
        }
    }

    pub(super) fn at(&mut self, code: &Code<'_>, at: usize) {
        if let Some(token) = code.tokens.get(at) {
            self.token(token, if token.kind == Kind::Text { String::new() } else { token.text.to_owned() });
        }
    }

    pub(super) fn token(&mut self, token: &Token<'_>, detail: String) {
        self.0.push(Hit { line: token.line, column: token.column, detail });
    }
}

const LONGEST_FUNCTION: u32 = 80;
const DEEPEST_NESTING: usize = 5;
const MOST_PARAMETERS: usize = 7;
const MOST_BRANCHES: usize = 20;

pub(super) const COMMON: &[Rule] = &[
    Rule {
        id: "common/secret",
        severity: Error,
        message: "A credential is written into the source.",
        suggestion: "Revoke it, read it from the environment or a secret store, and take it out of the history.",
        find: |c, hits| {
            hits.each(c, |c, i| c.string(i).is_some_and(|text| is_known_secret(text) || is_named_secret(c, i, text)))
        },
    },
    Rule {
        id: "common/todo",
        severity: Info,
        message: "A marker of unfinished work: {}.",
        suggestion: "Finish it, or refer to an issue that says who decides what and when.",
        find: |c, hits| {
            for comment in &c.comments {
                let marker = ["TODO", "FIXME", "XXX", "HACK"].into_iter().find(|marker| has_word(comment.text, marker));
                if let Some(marker) = marker {
                    hits.token(comment, marker.to_owned());
                }
            }
        },
    },
    Rule {
        id: "common/conflict-marker",
        severity: Error,
        message: "A merge conflict was left in the file.",
        suggestion: "Decide between the two sides, and remove the markers.",
        find: |c, hits| {
            let long =
                c.tokens.iter().chain(&c.comments).filter(|token| matches!(token.kind, Kind::Text | Kind::Comment));
            let inner: std::collections::BTreeSet<u32> =
                long.flat_map(|token| token.line + 1..=token.last_line()).collect();
            for (at, line) in c.source.lines().enumerate() {
                let number = at as u32 + 1;
                if (line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ")) && !inner.contains(&number) {
                    hits.0.push(Hit { line: number, column: 1, detail: String::new() });
                }
            }
        },
    },
    Rule {
        id: "common/unbalanced",
        severity: Warning,
        message: "The bracket `{}` has no partner, so the file does not parse and this review is less sure.",
        suggestion: "Send the whole file, or close the bracket.",
        find: |c, hits| {
            if let Some(at) = c.unbalanced {
                hits.at(c, at);
            }
        },
    },
    Rule {
        id: "common/long-function",
        severity: Warning,
        message: "`{}` is longer than 80 lines.",
        suggestion: "Give its steps names by moving them into functions of their own.",
        find: |c, hits| {
            for function in &c.functions {
                if lines_of(c, &function.body) > LONGEST_FUNCTION {
                    hits.token(&c.tokens[function.at], function.name.to_owned());
                }
            }
        },
    },
    Rule {
        id: "common/deep-nesting",
        severity: Warning,
        message: "Blocks are nested more than 5 deep in `{}`.",
        suggestion: "Return early, turn conditions around, or move the inner part into a function.",
        find: |c, hits| {
            for function in &c.functions {
                if nesting(c, &function.body) > DEEPEST_NESTING {
                    hits.token(&c.tokens[function.at], function.name.to_owned());
                }
            }
        },
    },
    Rule {
        id: "common/many-parameters",
        severity: Info,
        message: "`{}` takes more than 7 parameters.",
        suggestion: "Group those that belong together into a type.",
        find: |c, hits| {
            for function in &c.functions {
                if parts(c, function.parameters.clone()) > MOST_PARAMETERS {
                    hits.token(&c.tokens[function.at], function.name.to_owned());
                }
            }
        },
    },
    Rule {
        id: "common/complex-function",
        severity: Warning,
        message: "`{}` has more than 20 branches, so no test set will cover its paths.",
        suggestion: "Split it by decision, or replace the branches by a table.",
        find: |c, hits| {
            for function in &c.functions {
                if branches(c, &function.body) > MOST_BRANCHES {
                    hits.token(&c.tokens[function.at], function.name.to_owned());
                }
            }
        },
    },
    Rule {
        id: "common/plain-http",
        severity: Info,
        message: "An address without TLS is written into the source.",
        suggestion: "Use https, or say in a comment why the network is trusted.",
        find: |c, hits| hits.each(c, |c, i| c.string(i).is_some_and(is_plain_http) && !c.in_test(i)),
    },
];

/// How many lines the tokens of a range span.
pub(super) fn lines_of(c: &Code<'_>, range: &std::ops::Range<usize>) -> u32 {
    match (c.tokens.get(range.start), c.tokens.get(range.end.saturating_sub(1))) {
        (Some(first), Some(last)) if !range.is_empty() => last.last_line().saturating_sub(first.line) + 1,
        _ => 0,
    }
}

/// The deepest nesting of blocks within a body; 0 for straight code.
pub(super) fn nesting(c: &Code<'_>, body: &std::ops::Range<usize>) -> usize {
    if c.language == super::Language::Python {
        let mut indents: Vec<u32> = Vec::new();
        let mut deepest = 0;
        let mut bracket = 0_i32;
        for at in body.clone() {
            let token = &c.tokens[at];
            if token.first && bracket == 0 {
                while indents.last().is_some_and(|top| *top >= token.column) {
                    indents.pop();
                }
                indents.push(token.column);
                deepest = deepest.max(indents.len());
            }
            bracket += i32::from(c.is(at, &["(", "[", "{"])) - i32::from(c.is(at, &[")", "]", "}"]));
        }
        return deepest.saturating_sub(1);
    }
    // Braces of blocks only: behind a keyword, a bracket of a head, or an arrow; not of literals.
    let (mut open, mut deepest): (Vec<bool>, usize) = (Vec::new(), 0);
    for at in body.clone() {
        match c.text(at) {
            "{" => {
                open.push(opens_block(c, at, body.start));
                deepest = deepest.max(open.iter().filter(|block| **block).count());
            }
            "}" => {
                open.pop();
            }
            _ => {}
        }
    }
    deepest
}

fn opens_block(c: &Code<'_>, at: usize, from: usize) -> bool {
    let heads =
        ["if", "else", "for", "while", "loop", "match", "switch", "try", "catch", "finally", "select", "unsafe", "do"];
    let mut back = at;
    for _ in 0..40 {
        if back <= from {
            return false;
        }
        back -= 1;
        match c.text(back) {
            ")" | "]" => back = c.close(back).unwrap_or(back),
            "{" | "}" if back + 1 == at => return c.text(back) == "{",
            ";" | "{" | "}" | "," | "=" | ":=" => return false,
            word if heads.contains(&word) => return true,
            _ => {}
        }
    }
    false
}

/// How many parts a list has that commas separate, brackets and generics not counted.
pub(super) fn parts(c: &Code<'_>, range: std::ops::Range<usize>) -> usize {
    let (mut count, mut at, mut angle, mut pending) = (0, range.start, 0_i32, false);
    while at < range.end {
        match c.text(at) {
            "," if angle <= 0 => {
                count += usize::from(pending);
                pending = false;
            }
            "<" => angle += 1,
            ">" => angle -= 1,
            "(" | "[" | "{" => {
                pending = true;
                at = c.close(at).unwrap_or(range.end);
            }
            _ => pending = true,
        }
        at += 1;
    }
    count + usize::from(pending)
}

/// Decisions in a body: what cyclomatic complexity counts, less one.
pub(super) fn branches(c: &Code<'_>, body: &std::ops::Range<usize>) -> usize {
    let words = ["if", "elif", "for", "while", "case", "catch", "except", "&&", "||", "and", "or", "?", "=>"];
    let is = |at: &usize| match c.text(*at) {
        // In Rust `=>` is a match arm and `?` an early return; in scripts `=>` is a function.
        "=>" => c.language == super::Language::Rust,
        "?" => c.language.is_script(),
        "and" | "or" => c.language == super::Language::Python,
        text => words.contains(&text),
    };
    body.clone().filter(is).count()
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        edge(text[..at].chars().next_back()) && edge(text[at + word.len()..].chars().next())
    })
}

fn is_known_secret(text: &str) -> bool {
    let token_after = |prefix: &str, length: usize| {
        text.match_indices(prefix).any(|(at, _)| {
            text[at + prefix.len()..]
                .bytes()
                .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
                .count()
                >= length
        })
    };
    // The names are split so that scanners do not take this list for keys.
    token_after("AKIA", 16)
        || token_after("ghp_", 30)
        || token_after("github_pat_", 30)
        || token_after("sk_live_", 16)
        || token_after("sk-ant-", 20)
        || token_after("xoxb-", 20)
        || token_after("AIza", 30)
        || token_after("glpat-", 18)
        || (text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"))
}

/// A literal that a name such as `password` or `api_key` is given to.
fn is_named_secret(c: &Code<'_>, at: usize, text: &str) -> bool {
    if at < 2 || c.in_test(at) || !matches!(c.before(at), "=" | ":" | ":=") {
        return false;
    }
    let value = text.trim_matches(|sign| matches!(sign, '"' | '\'' | '`'));
    let lower = value.to_ascii_lowercase();
    let placeholder =
        ["example", "changeme", "placeholder", "your", "xxx", "dummy", "test", "${", "{", "<", "://", " "];
    let plausible = value.len() >= 8
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && !placeholder.iter().any(|sign| lower.contains(sign));
    let line = c.tokens[at].line;
    let names = (at.saturating_sub(7)..at - 1)
        .rev()
        .take_while(|back| c.tokens[*back].line == line && !c.is(*back, &[",", ";", "(", "{", "}"]));
    plausible && names.into_iter().any(|back| is_secret_name(c.tokens[back].text))
}

pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['_', '-', '"', '\''], "");
    ["password", "passwd", "secret", "apikey", "accesskey", "privatekey", "authtoken", "accesstoken", "bearertoken"]
        .iter()
        .any(|word| name.contains(word))
        || matches!(name.as_str(), "token" | "pwd")
}

fn is_plain_http(text: &str) -> bool {
    let Some(at) = text.find("http://") else {
        return false;
    };
    let host = &text[at + 7..];
    let local = [
        "localhost",
        "127.",
        "0.0.0.0",
        "[::1]",
        "10.",
        "192.168.",
        "{",
        "$",
        "%",
        "www.w3.org",
        "schemas.",
        "example.",
        "host.docker",
    ];
    host.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && !local.iter().any(|prefix| host.starts_with(prefix))
        && !host
            .split(['/', ':', '"'])
            .next()
            .is_some_and(|name| !name.contains('.') || name.ends_with(".local") || name.ends_with(".internal"))
}

/// Whether a string holds an SQL statement.
pub(super) fn is_sql(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().all(|word| has_word(&upper, word));
    has(&["SELECT", "FROM"]) || has(&["INSERT", "INTO"]) || has(&["UPDATE", "SET"]) || has(&["DELETE", "FROM"])
}
