//! Measures functions and files.

use std::ops::Range;

use super::code::Code;
use super::types::Language;

/// The number of lines that the tokens of a range span.
pub(super) fn lines_of(c: &Code<'_>, range: &Range<usize>) -> u32 {
    match (c.tokens.get(range.start), c.tokens.get(range.end.saturating_sub(1))) {
        (Some(first), Some(last)) if !range.is_empty() => last.last_line().saturating_sub(first.line) + 1,
        _ => 0,
    }
}

/// The deepest nesting of blocks within a body; 0 for straight code.
pub(super) fn nesting(c: &Code<'_>, body: &Range<usize>) -> usize {
    if c.language == Language::Python {
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
    // Braces of blocks count: those behind a keyword, the bracket of a head, or an arrow. Braces of literals do not.
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

/// Whether the brace at `at` opens a block, judged by the tokens before it, back to `from`.
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

/// The number of parts of a comma-separated list. Commas in brackets and generics do not count.
pub(super) fn parts(c: &Code<'_>, range: Range<usize>) -> usize {
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

/// The number of decisions in a body: its cyclomatic complexity less one.
pub(super) fn branches(c: &Code<'_>, body: &Range<usize>) -> usize {
    let words = ["if", "elif", "for", "while", "case", "catch", "except", "&&", "||", "and", "or", "?", "=>"];
    let is = |at: &usize| match c.text(*at) {
        // In Rust `=>` is a match arm and `?` an early return; in scripts `=>` is a function.
        "=>" => c.language == Language::Rust,
        "?" => c.language.is_script(),
        "and" | "or" => c.language == Language::Python,
        text => words.contains(&text),
    };
    body.clone().filter(is).count()
}
