//! One source file, tokenized, with its brackets paired and its functions found: what rules look at.
//!
//! `tokens` holds no comments. An index is an index into it. Every question is total: an index past the
//! end is simply no match.

use std::ops::Range;

use super::Language;
use super::lex::{self, Kind, Token};

/// A named stretch of code.
#[derive(Debug, Clone)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// Index of the name, or of the keyword if it has none.
    pub(crate) at: usize,
    /// Token range of the parameters, between the brackets.
    pub(crate) parameters: Range<usize>,
    pub(crate) body: Range<usize>,
    pub(crate) is_async: bool,
}

#[derive(Debug)]
pub(crate) struct Code<'a> {
    pub(crate) language: Language,
    pub(crate) source: &'a str,
    pub(crate) tokens: Vec<Token<'a>>,
    pub(crate) comments: Vec<Token<'a>>,
    /// For each opening bracket the index of its closing one, and back; its own index elsewhere.
    pair: Vec<usize>,
    /// The first bracket without a partner.
    pub(crate) unbalanced: Option<usize>,
    pub(crate) functions: Vec<Function<'a>>,
    pub(crate) loops: Vec<Range<usize>>,
    tests: Vec<Range<usize>>,
    /// Whether the whole file is a test, by its name.
    test_file: bool,
}

impl<'a> Code<'a> {
    pub(crate) fn new(source: &'a str, language: Language, filename: &str) -> Self {
        let (comments, tokens): (Vec<_>, Vec<_>) =
            lex::tokens(source, language).into_iter().partition(|token| token.kind == Kind::Comment);
        let (pair, unbalanced) = pairs(&tokens);
        let mut code = Self {
            language,
            source,
            tokens,
            comments,
            pair,
            unbalanced,
            functions: Vec::new(),
            loops: Vec::new(),
            tests: Vec::new(),
            test_file: is_test_file(filename),
        };
        code.functions = code.find_functions();
        code.loops = code.find_loops();
        code.tests = code.find_tests();
        code
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Empty past the end and for text, so a string never equals a word.
    pub(crate) fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).filter(|token| token.kind != Kind::Text).map_or("", |token| token.text)
    }

    pub(crate) fn is(&self, at: usize, any: &[&str]) -> bool {
        let text = self.text(at);
        !text.is_empty() && any.contains(&text)
    }

    /// Whether the tokens from `at` read so. `_` stands for any word, `"` for any text.
    pub(crate) fn reads(&self, at: usize, wanted: &[&str]) -> bool {
        wanted.iter().enumerate().all(|(offset, wanted)| match *wanted {
            "_" => self.kind(at + offset) == Some(Kind::Word),
            "\"" => self.kind(at + offset) == Some(Kind::Text),
            wanted => self.text(at + offset) == wanted,
        })
    }

    pub(crate) fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// The text token at `at`, with its quotes.
    pub(crate) fn string(&self, at: usize) -> Option<&'a str> {
        self.tokens.get(at).filter(|token| token.kind == Kind::Text).map(|token| token.text)
    }

    pub(crate) fn before(&self, at: usize) -> &'a str {
        at.checked_sub(1).map_or("", |at| self.text(at))
    }

    /// The partner of a bracket.
    pub(crate) fn close(&self, at: usize) -> Option<usize> {
        self.pair.get(at).copied().filter(|other| *other != at)
    }

    /// What stands between the bracket at `at` and its partner, or what follows a lost one, within reason.
    pub(crate) fn inside(&self, at: usize) -> Range<usize> {
        at + 1..self.close(at).unwrap_or(self.len().min(at + 2000)).max(at + 1)
    }

    /// Whether the call's brackets at `open` hold these tokens somewhere.
    pub(crate) fn holds(&self, range: Range<usize>, wanted: &[&str]) -> bool {
        range.into_iter().any(|at| self.reads(at, wanted))
    }

    /// The innermost function around `at`.
    pub(crate) fn function_at(&self, at: usize) -> Option<&Function<'a>> {
        self.functions.iter().filter(|function| function.body.contains(&at)).min_by_key(|function| function.body.len())
    }

    /// Whether `at` is in a loop of its own function.
    pub(crate) fn in_loop(&self, at: usize) -> bool {
        let function = self.function_at(at).map_or(0..self.len(), |function| function.body.clone());
        self.loops.iter().any(|body| body.contains(&at) && body.start >= function.start && body.end <= function.end)
    }

    pub(crate) fn in_test(&self, at: usize) -> bool {
        self.test_file || self.tests.iter().any(|range| range.contains(&at))
    }

    /// The end of the block that encloses `at`: the index of its closing brace, or the end, or where the
    /// search gives up.
    pub(crate) fn block_end(&self, at: usize) -> usize {
        let mut index = at;
        while index < self.len().min(at + 4000) {
            match self.text(index) {
                "(" | "[" | "{" => index = self.close(index).unwrap_or(self.len()),
                "}" => return index,
                _ => {}
            }
            index += 1;
        }
        self.len()
    }

    /// Whether a statement can begin at `at`: after `;`, a brace, or on a line of its own after a finished one.
    pub(crate) fn begins_statement(&self, at: usize) -> bool {
        let Some(token) = self.tokens.get(at) else {
            return false;
        };
        match self.before(at) {
            "" if at == 0 => true,
            ";" | "{" | "}" => true,
            ")" | "]" => token.first,
            "" => token.first,
            before => token.first && at > 0 && self.kind(at - 1) != Some(Kind::Sign) && !is_continuing(before),
        }
    }

    fn find_functions(&self) -> Vec<Function<'a>> {
        let mut found = Vec::new();
        for at in 0..self.len() {
            let function = match self.language {
                Language::Rust if self.reads(at, &["fn", "_"]) => self.braced(at + 1, at + 2),
                Language::Go if self.text(at) == "func" => self.go_function(at),
                Language::Python
                    if self.reads(at, &["def", "_"]) && (self.tokens[at].first || self.before(at) == "async") =>
                {
                    self.python_function(at)
                }
                Language::Javascript | Language::Typescript => self.script_function(at),
                _ => None,
            };
            found.extend(function);
        }
        // Rules walk every body, so nesting beyond reason would make them quadratic.
        let mut budget = 40 * self.len();
        found.retain(|function| {
            let kept = budget >= function.body.len();
            budget = budget.saturating_sub(function.body.len());
            kept
        });
        found.truncate(5000);
        found
    }

    fn braced(&self, name: usize, from: usize) -> Option<Function<'a>> {
        // Generics may stand before the parameters, and a return type or where clause behind them.
        let open = (from..(from + 200).min(self.len())).find(|at| self.is(*at, &["(", "{", ";"]))?;
        if self.text(open) != "(" {
            return None;
        }
        let mut at = self.close(open)? + 1;
        while at < self.len() {
            match self.text(at) {
                "{" => break,
                ";" | "}" | ")" => return None,
                "(" | "[" => at = self.close(at)?,
                _ => {}
            }
            at += 1;
        }
        let start = name.saturating_sub(4);
        Some(Function {
            name: self.text(name),
            at: name,
            parameters: self.inside(open),
            body: self.inside(at),
            is_async: (start..name)
                .any(|at| self.text(at) == "async" && !(at + 1..name).any(|at| self.is(at, &["}", ";", "{"]))),
        })
    }

    fn go_function(&self, at: usize) -> Option<Function<'a>> {
        let mut name = at + 1;
        // A receiver: `func (s *S) name(`; a literal: `func(x int) {`.
        if self.text(name) == "(" {
            let after = self.close(name)? + 1;
            if self.reads(after, &["_", "("]) {
                name = after;
            }
        }
        let named = self.kind(name) == Some(Kind::Word);
        let open = (name..(name + 60).min(self.len())).find(|at| self.text(*at) == "(")?;
        let mut body = self.close(open)? + 1;
        while body < self.len() {
            match self.text(body) {
                "interface" | "struct" if self.text(body + 1) == "{" => body = self.close(body + 1)?,
                "{" => break,
                "(" | "[" => body = self.close(body)?,
                ";" | "}" | ")" | "," | "=" | ":=" => return None,
                _ if self.tokens[body].first => return None,
                _ => {}
            }
            body += 1;
        }
        if body >= self.len() {
            return None;
        }
        let name = if named { name } else { at };
        Some(Function {
            name: self.text(name),
            at: name,
            parameters: self.inside(open),
            body: self.inside(body),
            is_async: false,
        })
    }

    fn python_function(&self, at: usize) -> Option<Function<'a>> {
        let open = (at + 2..(at + 60).min(self.len())).find(|at| self.text(*at) == "(")?;
        let colon = (self.close(open)?..self.len()).find(|at| self.text(*at) == ":")?;
        Some(Function {
            name: self.text(at + 1),
            at: at + 1,
            parameters: self.inside(open),
            body: self.indented(at, colon),
            is_async: self.before(at) == "async",
        })
    }

    /// Python: the block of the statement whose keyword stands at `at`, after its `colon`.
    pub(crate) fn indented(&self, at: usize, colon: usize) -> Range<usize> {
        let line = self.tokens[at].line;
        let head = self.tokens[..=at]
            .iter()
            .rev()
            .take(64)
            .take_while(|token| token.line == line)
            .last()
            .map_or(1, |token| token.column);
        let mut index = colon + 1;
        let one_line = self.tokens.get(index).is_some_and(|token| !token.first);
        while index < self.len() {
            let token = &self.tokens[index];
            if token.first && (one_line || token.column <= head) {
                break;
            }
            index = match token.text {
                "(" | "[" | "{" if token.kind == Kind::Sign => self.close(index).unwrap_or(self.len()) + 1,
                _ => index + 1,
            };
        }
        colon + 1..index.min(self.len()).max(colon + 1)
    }

    fn script_function(&self, at: usize) -> Option<Function<'a>> {
        if self.text(at) == "function" {
            let name = if self.kind(at + 1) == Some(Kind::Word) { at + 1 } else { at };
            return self.braced(name, at + 1);
        }
        if self.text(at) == "=>" && self.text(at + 1) == "{" {
            let open = if self.before(at) == ")" { self.close(at - 1)? } else { at.checked_sub(1)? };
            let is_async = self.before(open) == "async";
            let head = open - usize::from(is_async);
            let name = if self.before(head) == "=" && head >= 2 { head - 2 } else { at };
            let parameters = if self.before(at) == ")" { self.inside(open) } else { open..open + 1 };
            return Some(Function { name: self.text(name), at: name, parameters, body: self.inside(at + 1), is_async });
        }
        // A method: `name(..) {` where no keyword takes a bracket.
        let keyword = [
            "if", "for", "while", "switch", "catch", "with", "function", "return", "await", "super", "of", "in", "new",
        ];
        let word = self.kind(at) == Some(Kind::Word) && !keyword.contains(&self.text(at)) && self.text(at + 1) == "(";
        if word && !matches!(self.before(at), "function" | "." | "?." | "new" | "=" | "=>" | "(" | "return") {
            return self.braced(at, at + 1).filter(|function| {
                let close = function.parameters.end;
                self.text(close + 1) == "{" || (self.text(close + 1) == ":" && self.before(at) != "?")
            });
        }
        None
    }

    fn find_loops(&self) -> Vec<Range<usize>> {
        (0..self.len())
            .filter_map(|at| {
                if !self.is(at, &["for", "while", "loop"])
                    || self.kind(at) != Some(Kind::Word)
                    || self.before(at) == "."
                {
                    return None;
                }
                if self.language == Language::Python {
                    let colon = self.next_outside(at + 1, &[":"])?;
                    return self.tokens[at].first.then(|| self.indented(at, colon));
                }
                // `impl T for X {` is no loop.
                let statement =
                    matches!(self.before(at), "" | ";" | "{" | "}" | ":" | ")" | "=>") || self.tokens[at].first;
                if self.language == Language::Rust
                    && self.text(at) == "for"
                    && !self.holds(at..(at + 40).min(self.len()), &["in"])
                {
                    return None;
                }
                let open = self.next_outside(at + 1, &["{", ";"])?;
                (statement && self.text(open) == "{").then(|| self.inside(open))
            })
            .collect()
    }

    /// The first of `wanted` from `at` on that is in no bracket.
    pub(crate) fn next_outside(&self, mut at: usize, wanted: &[&str]) -> Option<usize> {
        let go_for = self.language == Language::Go;
        // A head longer than this is no head: hostile input must not make the search quadratic.
        let end = self.len().min(at + 2000);
        while at < end {
            if self.is(at, wanted) && !(go_for && self.text(at) == ";") {
                return Some(at);
            }
            match self.text(at) {
                "(" | "[" | "{" => at = self.close(at)?,
                ")" | "]" | "}" => return None,
                _ => {}
            }
            at += 1;
        }
        None
    }

    fn find_tests(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for at in 0..self.len() {
            match self.language {
                // `#[test]`, `#[tokio::test]`, `#[cfg(test)]`: the item that follows.
                Language::Rust if self.reads(at, &["#", "["]) => {
                    let inside = self.inside(at + 1);
                    let not = self.holds(inside.clone(), &["not"]);
                    if !not && (self.holds(inside.clone(), &["test"]) || self.holds(inside.clone(), &["bench"])) {
                        let open = self.next_outside(inside.end + 1, &["{", ";"]);
                        found.extend(open.filter(|open| self.text(*open) == "{").map(|open| at..self.inside(open).end));
                    }
                }
                Language::Python if self.reads(at, &["def", "_"]) && self.text(at + 1).starts_with("test_") => {
                    found.extend(
                        self.functions
                            .iter()
                            .find(|function| function.at == at + 1)
                            .map(|function| function.body.clone()),
                    );
                }
                _ => {}
            }
        }
        found
    }
}

fn is_continuing(word: &str) -> bool {
    matches!(
        word,
        "return"
            | "await"
            | "in"
            | "of"
            | "typeof"
            | "new"
            | "throw"
            | "yield"
            | "else"
            | "as"
            | "extends"
            | "case"
            | "void"
            | "go"
            | "defer"
    )
}

fn is_test_file(name: &str) -> bool {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let parts =
        name.split(['/', '\\']).any(|part| matches!(part, "tests" | "test" | "__tests__" | "testdata" | "benches"));
    parts
        || base.starts_with("test_")
        || base.ends_with("_test.go")
        || base.ends_with("_test.py")
        || base.contains(".test.")
        || base.contains(".spec.")
}

fn pairs(tokens: &[Token<'_>]) -> (Vec<usize>, Option<usize>) {
    let mut pair: Vec<usize> = (0..tokens.len()).collect();
    let mut open: Vec<usize> = Vec::new();
    let mut stray = None;
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Sign) {
        let partner = match token.text {
            "(" | "[" | "{" => {
                open.push(at);
                continue;
            }
            ")" => "(",
            "]" => "[",
            "}" => "{",
            _ => continue,
        };
        // A lost bracket must not shift all that follow: close the nearest of its kind.
        let from = open.len().saturating_sub(64);
        match open[from..].iter().rposition(|other| tokens[*other].text == partner).map(|place| place + from) {
            Some(place) => {
                if place + 1 < open.len() {
                    stray = stray.or(open.get(place + 1).copied());
                }
                pair[at] = open[place];
                pair[open[place]] = at;
                open.truncate(place);
            }
            None => stray = stray.or(Some(at)),
        }
    }
    (pair, stray.or(open.first().copied()))
}
