//! Finds the functions of a file.

use std::ops::Range;

use super::lex::Kind;
use super::syntax::Syntax;
use super::types::Language;

/// A function and its parts.
#[derive(Debug, Clone)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// Index of the name, or of the keyword if the function has no name.
    pub(crate) at: usize,
    /// Token range of the parameters, between the brackets.
    pub(crate) parameters: Range<usize>,
    /// Token range of the body, between the braces or after the colon.
    pub(crate) body: Range<usize>,
    pub(crate) is_async: bool,
}

/// Finds the functions of a file, in the order of their names in it.
pub(crate) fn find<'a>(syntax: &Syntax<'a>) -> Vec<Function<'a>> {
    let mut found = Vec::new();
    for at in 0..syntax.len() {
        let function = match syntax.language {
            Language::Rust if syntax.reads(at, &["fn", "_"]) => braced(syntax, at + 1, at + 2),
            Language::Go if syntax.text(at) == "func" => go_function(syntax, at),
            Language::Python
                if syntax.reads(at, &["def", "_"]) && (syntax.tokens[at].first || syntax.before(at) == "async") =>
            {
                python_function(syntax, at)
            }
            Language::Javascript | Language::Typescript => script_function(syntax, at),
            _ => None,
        };
        found.extend(function);
    }
    // Rules walk over every body. The budget of 40 times the file keeps that linear for functions nested in functions.
    let mut budget = 40 * syntax.len();
    found.retain(|function| {
        let kept = budget >= function.body.len();
        budget = budget.saturating_sub(function.body.len());
        kept
    });
    found.truncate(5000);
    found
}

/// A function whose parameters and braces follow `from`; none for a declaration without a body.
fn braced<'a>(syntax: &Syntax<'a>, name: usize, from: usize) -> Option<Function<'a>> {
    // Generics may precede the parameters, and a return type or where clause may follow them.
    let open = (from..(from + 200).min(syntax.len())).find(|at| syntax.is(*at, &["(", "{", ";"]))?;
    if syntax.text(open) != "(" {
        return None;
    }
    let mut at = syntax.close(open)? + 1;
    while at < syntax.len() {
        match syntax.text(at) {
            "{" => break,
            ";" | "}" | ")" => return None,
            "(" | "[" => at = syntax.close(at)?,
            _ => {}
        }
        at += 1;
    }
    let start = name.saturating_sub(4);
    Some(Function {
        name: syntax.text(name),
        at: name,
        parameters: syntax.inside(open),
        body: syntax.inside(at),
        is_async: (start..name)
            .any(|at| syntax.text(at) == "async" && !(at + 1..name).any(|at| syntax.is(at, &["}", ";", "{"]))),
    })
}

/// A Go function, method or literal, given its keyword.
fn go_function<'a>(syntax: &Syntax<'a>, at: usize) -> Option<Function<'a>> {
    let mut name = at + 1;
    // A receiver: `func (s *S) name(`; a literal: `func(x int) {`.
    if syntax.text(name) == "(" {
        let after = syntax.close(name)? + 1;
        if syntax.reads(after, &["_", "("]) {
            name = after;
        }
    }
    let named = syntax.kind(name) == Some(Kind::Word);
    let open = (name..(name + 60).min(syntax.len())).find(|at| syntax.text(*at) == "(")?;
    let mut body = syntax.close(open)? + 1;
    while body < syntax.len() {
        match syntax.text(body) {
            "interface" | "struct" if syntax.text(body + 1) == "{" => body = syntax.close(body + 1)?,
            "{" => break,
            "(" | "[" => body = syntax.close(body)?,
            ";" | "}" | ")" | "," | "=" | ":=" => return None,
            _ if syntax.tokens[body].first => return None,
            _ => {}
        }
        body += 1;
    }
    if body >= syntax.len() {
        return None;
    }
    let name = if named { name } else { at };
    Some(Function {
        name: syntax.text(name),
        at: name,
        parameters: syntax.inside(open),
        body: syntax.inside(body),
        is_async: false,
    })
}

/// A Python function, given its `def`.
fn python_function<'a>(syntax: &Syntax<'a>, at: usize) -> Option<Function<'a>> {
    let open = (at + 2..(at + 60).min(syntax.len())).find(|at| syntax.text(*at) == "(")?;
    let colon = (syntax.close(open)?..syntax.len()).find(|at| syntax.text(*at) == ":")?;
    Some(Function {
        name: syntax.text(at + 1),
        at: at + 1,
        parameters: syntax.inside(open),
        body: syntax.indented(at, colon),
        is_async: syntax.before(at) == "async",
    })
}

/// A function, arrow function or method of JavaScript or TypeScript, given its keyword, arrow or name.
fn script_function<'a>(syntax: &Syntax<'a>, at: usize) -> Option<Function<'a>> {
    if syntax.text(at) == "function" {
        let name = if syntax.kind(at + 1) == Some(Kind::Word) { at + 1 } else { at };
        return braced(syntax, name, at + 1);
    }
    if syntax.text(at) == "=>" && syntax.text(at + 1) == "{" {
        let open = if syntax.before(at) == ")" { syntax.close(at - 1)? } else { at.checked_sub(1)? };
        let is_async = syntax.before(open) == "async";
        let head = open - usize::from(is_async);
        let name = if syntax.before(head) == "=" && head >= 2 { head - 2 } else { at };
        let parameters = if syntax.before(at) == ")" { syntax.inside(open) } else { open..open + 1 };
        return Some(Function { name: syntax.text(name), at: name, parameters, body: syntax.inside(at + 1), is_async });
    }
    // A method is `name(..) {`, unless the name is a keyword before a bracket.
    let keyword =
        ["if", "for", "while", "switch", "catch", "with", "function", "return", "await", "super", "of", "in", "new"];
    let word = syntax.kind(at) == Some(Kind::Word) && !keyword.contains(&syntax.text(at)) && syntax.text(at + 1) == "(";
    if word && !matches!(syntax.before(at), "function" | "." | "?." | "new" | "=" | "=>" | "(" | "return") {
        return braced(syntax, at, at + 1).filter(|function| {
            let close = function.parameters.end;
            syntax.text(close + 1) == "{" || (syntax.text(close + 1) == ":" && syntax.before(at) != "?")
        });
    }
    None
}
