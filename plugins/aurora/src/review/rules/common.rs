//! Rules for every language.

use std::collections::BTreeSet;

use super::rule::Rule;
use super::scanner::Hit;
use super::text::{has_word, is_known_secret, is_plain_http, is_secret_name};
use crate::review::code::Code;
use crate::review::lex::Kind;
use crate::review::measure::{branches, lines_of, nesting, parts};
use crate::review::types::Severity::{Error, Info, Warning};

const LONGEST_FUNCTION: u32 = 80;
const DEEPEST_NESTING: usize = 5;
const MOST_PARAMETERS: usize = 7;
const MOST_BRANCHES: usize = 20;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "common/secret",
        severity: Error,
        message: "A credential is written into the source.",
        suggestion: "Revoke it, read it from the environment or a secret store, and take it out of the history.",
        find: |s| s.tokens(|c, i| c.string(i).is_some_and(|text| is_known_secret(text) || is_named_secret(c, i, text))),
    },
    Rule {
        id: "common/todo",
        severity: Info,
        message: "A marker of unfinished work: {}.",
        suggestion: "Finish it, or refer to an issue that says who decides what and when.",
        find: |s| {
            s.comments(|text| {
                let marker = ["TODO", "FIXME", "XXX", "HACK"].into_iter().find(|marker| has_word(text, marker))?;
                Some(marker.to_owned())
            })
        },
    },
    Rule {
        id: "common/conflict-marker",
        severity: Error,
        message: "A merge conflict was left in the file.",
        suggestion: "Decide between the two sides, and remove the markers.",
        find: |s| {
            let c = s.code;
            // Lines inside strings and comments are no conflict markers.
            let long =
                c.tokens.iter().chain(&c.comments).filter(|token| matches!(token.kind, Kind::Text | Kind::Comment));
            let inner: BTreeSet<u32> = long.flat_map(|token| token.line + 1..=token.last_line()).collect();
            for (at, line) in c.source.lines().enumerate() {
                let number = at as u32 + 1;
                if (line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ")) && !inner.contains(&number) {
                    s.hits.push(Hit { line: number, column: 1, detail: String::new() });
                }
            }
        },
    },
    Rule {
        id: "common/unbalanced",
        severity: Warning,
        message: "The bracket `{}` has no partner, so the file does not parse and this review is less sure.",
        suggestion: "Send the whole file, or close the bracket.",
        find: |s| {
            if let Some(at) = s.code.unbalanced {
                s.report(at);
            }
        },
    },
    Rule {
        id: "common/long-function",
        severity: Warning,
        message: "`{}` is longer than 80 lines.",
        suggestion: "Give its steps names by moving them into functions of their own.",
        find: |s| s.functions(|c, function| lines_of(c, &function.body) > LONGEST_FUNCTION),
    },
    Rule {
        id: "common/deep-nesting",
        severity: Warning,
        message: "Blocks are nested more than 5 deep in `{}`.",
        suggestion: "Return early, turn conditions around, or move the inner part into a function.",
        find: |s| s.functions(|c, function| nesting(c, &function.body) > DEEPEST_NESTING),
    },
    Rule {
        id: "common/many-parameters",
        severity: Info,
        message: "`{}` takes more than 7 parameters.",
        suggestion: "Group those that belong together into a type.",
        find: |s| s.functions(|c, function| parts(c, function.parameters.clone()) > MOST_PARAMETERS),
    },
    Rule {
        id: "common/complex-function",
        severity: Warning,
        message: "`{}` has more than 20 branches, so no test set will cover its paths.",
        suggestion: "Split it by decision, or replace the branches by a table.",
        find: |s| s.functions(|c, function| branches(c, &function.body) > MOST_BRANCHES),
    },
    Rule {
        id: "common/plain-http",
        severity: Info,
        message: "An address without TLS is written into the source.",
        suggestion: "Use https, or say in a comment why the network is trusted.",
        find: |s| s.tokens(|c, i| c.string(i).is_some_and(is_plain_http) && !c.in_test(i)),
    },
];

/// Recognises a literal that is assigned to a name such as `password` or `api_key`.
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
