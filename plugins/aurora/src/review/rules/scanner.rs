//! Walks over a file and collects the places where a rule is broken.

use crate::review::code::{Code, Function};
use crate::review::lex::{Kind, Token};

/// A place where a rule is broken.
#[derive(Debug)]
pub(in super::super) struct Hit {
    pub(in super::super) line: u32,
    pub(in super::super) column: u32,
    /// The word that the rule's message names; may be empty.
    pub(in super::super) detail: String,
}

/// One rule's walk over a file.
#[derive(Debug)]
pub(in super::super) struct Scanner<'c, 'a> {
    pub(super) code: &'c Code<'a>,
    pub(in super::super) hits: Vec<Hit>,
}

impl<'c, 'a> Scanner<'c, 'a> {
    pub(super) fn new(code: &'c Code<'a>) -> Self {
        Self { code, hits: Vec::new() }
    }

    /// Reports every token for which `is_hit` holds.
    pub(super) fn tokens(&mut self, is_hit: impl Fn(&Code<'a>, usize) -> bool) {
        self.places(|code, at| is_hit(code, at).then_some(at));
    }

    /// Asks `hit` about every token, and reports the token that it returns.
    pub(super) fn places(&mut self, hit: impl Fn(&Code<'a>, usize) -> Option<usize>) {
        for at in 0..self.code.len() {
            if let Some(place) = hit(self.code, at) {
                self.report(place);
            }
        }
    }

    /// As [`Self::places`], for the tokens between the brackets of parameter lists.
    pub(super) fn parameters(&mut self, hit: impl Fn(&Code<'a>, usize) -> Option<usize>) {
        let code = self.code;
        for at in code.functions.iter().flat_map(|function| function.parameters.clone()) {
            if let Some(place) = hit(code, at) {
                self.report(place);
            }
        }
    }

    /// Reports the name of every function for which `is_hit` holds.
    pub(super) fn functions(&mut self, is_hit: impl Fn(&Code<'a>, &Function<'a>) -> bool) {
        let code = self.code;
        for function in code.functions.iter().filter(|function| is_hit(code, function)) {
            self.report_token(&code.tokens[function.at], function.name.to_owned());
        }
    }

    /// Reports every comment for whose text `detail` returns one.
    pub(super) fn comments(&mut self, detail: impl Fn(&str) -> Option<String>) {
        let code = self.code;
        for comment in &code.comments {
            if let Some(detail) = detail(comment.text) {
                self.report_token(comment, detail);
            }
        }
    }

    /// Reports the token at an index, with its text as the detail, unless it is a string. An index past the end is
    /// ignored.
    pub(super) fn report(&mut self, at: usize) {
        if let Some(token) = self.code.tokens.get(at) {
            self.report_token(token, if token.kind == Kind::Text { String::new() } else { token.text.to_owned() });
        }
    }

    fn report_token(&mut self, token: &Token<'_>, detail: String) {
        self.hits.push(Hit { line: token.line, column: token.column, detail });
    }
}
