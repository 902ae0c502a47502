//! Follows chains of calls in scripts, and finds promises that are dropped.

use crate::review::code::Code;
use crate::review::lex::Kind;

/// Follows the chain of calls and members that starts at a called name. Returns the index behind it, and the indices of
/// its names.
pub(super) fn chain(c: &Code<'_>, from: usize) -> (usize, Vec<usize>) {
    let (mut at, mut names) = (from, vec![from]);
    at += 1;
    loop {
        match c.text(at) {
            "(" | "[" => match c.close(at) {
                Some(close) => at = close + 1,
                None => return (c.len(), names),
            },
            "." | "?." => {
                names.push(at + 1);
                at += 2;
            }
            _ => return (at, names),
        }
    }
}

/// Recognises a statement that only calls an async function.
pub(super) fn floats(c: &Code<'_>, at: usize) -> bool {
    if c.kind(at) != Some(Kind::Word) || c.text(at + 1) != "(" || !c.begins_statement(at) || c.before(at) == "." {
        return false;
    }
    let name = c.text(at);
    let is_async = name == "fetch"
        || c.functions.iter().any(|function| function.is_async && function.name == name && function.at != at);
    let (end, names) = chain(c, at);
    let ends = matches!(c.text(end), "" | ";" | "}") || c.tokens.get(end).is_none_or(|token| token.first);
    is_async && ends && !names.iter().any(|name| c.is(*name, &["catch", "then"]))
}

/// Whether the statement around `at` begins with the expression itself, so that its value is dropped.
pub(super) fn is_dropped(c: &Code<'_>, at: usize) -> bool {
    let mut first = at;
    while first > 0 {
        match c.before(first) {
            ")" | "]" => first = c.close(first - 1).unwrap_or(first - 1),
            "." | "?." => first -= 1,
            _ if c.tokens[first].text == "." || c.tokens[first].text == "?." || c.is(first, &["(", "["]) => first -= 1,
            _ => break,
        }
    }
    c.begins_statement(first) && c.before(first) != "=>" && !c.is(first, &["return", "await", "const", "let", "void"])
}
