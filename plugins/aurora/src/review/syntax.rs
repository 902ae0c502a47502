//! A source file as tokens, with its brackets paired.
//!
//! `tokens` has no comments, and an index is an index into it. Every query is total: an index past the end matches
//! nothing.

use std::ops::Range;

use super::lex::{self, Kind, Token};
use super::types::Language;

/// The tokens of a file.
#[derive(Debug)]
pub(crate) struct Syntax<'a> {
    pub(crate) language: Language,
    pub(crate) source: &'a str,
    pub(crate) tokens: Vec<Token<'a>>,
    pub(crate) comments: Vec<Token<'a>>,
    /// The index of each bracket's partner, and of each other token itself.
    pair: Vec<usize>,
    /// The first bracket without a partner.
    pub(crate) unbalanced: Option<usize>,
}

impl<'a> Syntax<'a> {
    pub(crate) fn new(source: &'a str, language: Language) -> Self {
        let (comments, tokens): (Vec<_>, Vec<_>) =
            lex::tokens(source, language).into_iter().partition(|token| token.kind == Kind::Comment);
        let (pair, unbalanced) = pairs(&tokens);
        Self { language, source, tokens, comments, pair, unbalanced }
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The text of a token; empty past the end and for strings, so that a string never equals a word.
    pub(crate) fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).filter(|token| token.kind != Kind::Text).map_or("", |token| token.text)
    }

    /// Whether the token is one of these.
    pub(crate) fn is(&self, at: usize, any: &[&str]) -> bool {
        let text = self.text(at);
        !text.is_empty() && any.contains(&text)
    }

    /// Whether the tokens from `at` on are these. `_` stands for any word, `"` for any string.
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

    /// The string at `at`, with its quotes.
    pub(crate) fn string(&self, at: usize) -> Option<&'a str> {
        self.tokens.get(at).filter(|token| token.kind == Kind::Text).map(|token| token.text)
    }

    /// The text of the token before `at`.
    pub(crate) fn before(&self, at: usize) -> &'a str {
        at.checked_sub(1).map_or("", |at| self.text(at))
    }

    /// The partner of a bracket.
    pub(crate) fn close(&self, at: usize) -> Option<usize> {
        self.pair.get(at).copied().filter(|other| *other != at)
    }

    /// The tokens between the bracket at `at` and its partner; if it has none, the 2,000 tokens behind it.
    pub(crate) fn inside(&self, at: usize) -> Range<usize> {
        at + 1..self.close(at).unwrap_or(self.len().min(at + 2000)).max(at + 1)
    }

    /// Whether the range has these tokens somewhere, one after the other.
    pub(crate) fn holds(&self, range: Range<usize>, wanted: &[&str]) -> bool {
        range.into_iter().any(|at| self.reads(at, wanted))
    }

    /// The end of the block that encloses `at`: the index of its closing brace, or of the end of the file if the brace
    /// is more than 4,000 tokens away.
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

    /// Whether a statement can begin at `at`: after `;`, after a brace, or as the first token of a line after a
    /// finished statement.
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

    /// The block of a Python statement, given its keyword and the colon before the block.
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

    /// The first of the `wanted` tokens from `at` on that is in no bracket.
    pub(crate) fn next_outside(&self, mut at: usize, wanted: &[&str]) -> Option<usize> {
        let go_for = self.language == Language::Go;
        // The limit keeps the search linear for any input; no head of a statement is that long.
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
}

/// Whether a statement goes on after this word at the end of a line.
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

/// Pairs the brackets. Returns for each token its partner, or itself, and the first bracket without a partner.
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
        // A closing bracket closes the nearest one of its kind, so that one missing bracket does not shift all pairs
        // behind it.
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
