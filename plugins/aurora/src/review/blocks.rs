//! Finds loops and tests.

use std::ops::Range;

use super::functions::Function;
use super::lex::Kind;
use super::syntax::Syntax;
use super::types::Language;

/// Finds the bodies of loops.
pub(super) fn loops(syntax: &Syntax<'_>) -> Vec<Range<usize>> {
    (0..syntax.len())
        .filter_map(|at| {
            if !syntax.is(at, &["for", "while", "loop"])
                || syntax.kind(at) != Some(Kind::Word)
                || syntax.before(at) == "."
            {
                return None;
            }
            if syntax.language == Language::Python {
                let colon = syntax.next_outside(at + 1, &[":"])?;
                return syntax.tokens[at].first.then(|| syntax.indented(at, colon));
            }
            // `impl T for X {` is no loop.
            let statement =
                matches!(syntax.before(at), "" | ";" | "{" | "}" | ":" | ")" | "=>") || syntax.tokens[at].first;
            if syntax.language == Language::Rust
                && syntax.text(at) == "for"
                && !syntax.holds(at..(at + 40).min(syntax.len()), &["in"])
            {
                return None;
            }
            let open = syntax.next_outside(at + 1, &["{", ";"])?;
            (statement && syntax.text(open) == "{").then(|| syntax.inside(open))
        })
        .collect()
}

/// Finds the bodies of tests.
pub(super) fn tests(syntax: &Syntax<'_>, functions: &[Function<'_>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for at in 0..syntax.len() {
        match syntax.language {
            // `#[test]`, `#[tokio::test]`, `#[cfg(test)]`: the item that follows.
            Language::Rust if syntax.reads(at, &["#", "["]) => {
                let inside = syntax.inside(at + 1);
                let not = syntax.holds(inside.clone(), &["not"]);
                if !not && (syntax.holds(inside.clone(), &["test"]) || syntax.holds(inside.clone(), &["bench"])) {
                    let open = syntax.next_outside(inside.end + 1, &["{", ";"]);
                    found.extend(open.filter(|open| syntax.text(*open) == "{").map(|open| at..syntax.inside(open).end));
                }
            }
            Language::Python if syntax.reads(at, &["def", "_"]) && syntax.text(at + 1).starts_with("test_") => {
                found.extend(
                    functions.iter().find(|function| function.at == at + 1).map(|function| function.body.clone()),
                );
            }
            _ => {}
        }
    }
    found
}
