//! A tokenizer for the five languages, so that rules can tell code from strings and comments.
//!
//! It is total: any input gives tokens, in order, none overlapping. An unterminated string or comment ends at the end
//! of its line or of the file. It is one linear pass. Columns count characters, from 1.

use super::types::Language;
use literals::{is_word, number_length, python_string, quoted, raw_end, regex_length, rust_string, word_length};

/// Lengths of literals.
mod literals;

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Names and keywords.
    Word,
    Number,
    /// Any string, character, template piece or regular expression, with its prefix and quotes.
    Text,
    Comment,
    /// A Rust lifetime or loop label.
    Lifetime,
    /// An operator or bracket.
    Sign,
}

/// A piece of the source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// Byte offset.
    pub(crate) start: usize,
    /// The first token of its line.
    pub(crate) first: bool,
}

impl Token<'_> {
    /// The line on which the token ends.
    pub(crate) fn last_line(&self) -> u32 {
        self.line + self.text.bytes().filter(|byte| *byte == b'\n').count() as u32
    }
}

/// Operators of more than one character, longest first.
const SIGNS: &[&str] = &[
    ">>>=", "===", "!==", "**=", "<<=", ">>=", "&&=", "||=", "??=", "...", "..=", "//=", "&^=", "==", "!=", "<=", ">=",
    "=>", "->", "::", ":=", "&&", "||", "??", "?.", "++", "--", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<-",
    "**", "..",
];

/// The tokens of `source`, comments included.
pub(crate) fn tokens(source: &str, language: Language) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        source,
        language,
        at: 0,
        line: 1,
        fresh: true,
        counted: 0,
        column: 1,
        out: Vec::new(),
        braces: Vec::new(),
    };
    lexer.run();
    lexer.out
}

/// The state of the tokenizer.
struct Lexer<'a> {
    source: &'a str,
    language: Language,
    at: usize,
    line: u32,
    /// No token of this line has been read.
    fresh: bool,
    /// The byte offset of `column`. Counting goes on from it, so that long lines cost linear time.
    counted: usize,
    column: u32,
    out: Vec<Token<'a>>,
    /// JavaScript: for each open brace, whether it is the `${` of a template.
    braces: Vec<bool>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.source.as_bytes()[self.at..]
    }

    fn run(&mut self) {
        while self.at < self.source.len() {
            let byte = self.rest()[0];
            if byte == b'\n' {
                self.at += 1;
                self.line += 1;
                self.fresh = true;
                (self.counted, self.column) = (self.at, 1);
            } else if byte.is_ascii_whitespace() {
                self.at += 1;
            } else {
                let (kind, length) = self.next(byte);
                self.push(kind, length.max(1));
            }
        }
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let mut end = (self.at + length).min(self.source.len());
        while !self.source.is_char_boundary(end) {
            end += 1;
        }
        self.column += self.source[self.counted..self.at].chars().count() as u32;
        self.counted = self.at;
        let token = Token {
            kind,
            text: &self.source[self.at..end],
            line: self.line,
            column: self.column,
            start: self.at,
            first: self.fresh,
        };
        if let Some(newline) = token.text.rfind('\n') {
            self.line = token.last_line();
            (self.counted, self.column) = (self.at + newline + 1, 1);
        }
        self.fresh = false;
        self.out.push(token);
        self.at = end;
    }

    fn next(&mut self, byte: u8) -> (Kind, usize) {
        let rest = self.rest();
        if let Some(length) = self.comment(rest) {
            return (Kind::Comment, length);
        }
        if let Some(length) = self.string(rest) {
            return (Kind::Text, length);
        }
        if self.language == Language::Rust && byte == b'\'' {
            return (Kind::Lifetime, 1 + word_length(&rest[1..]));
        }
        if byte.is_ascii_digit() {
            return (Kind::Number, number_length(rest));
        }
        if is_word(byte) {
            return (Kind::Word, word_length(rest));
        }
        if self.language.is_script() {
            if let Some(length) = self.template(rest) {
                return (Kind::Text, length);
            }
            match byte {
                b'/' if self.regex_may_follow() => {
                    if let Some(length) = regex_length(rest) {
                        return (Kind::Text, length);
                    }
                }
                b'{' => self.braces.push(false),
                b'}' => {
                    self.braces.pop();
                }
                _ => {}
            }
        }
        let sign = SIGNS.iter().find(|sign| rest.starts_with(sign.as_bytes()) && self.has_sign(sign));
        (Kind::Sign, sign.map_or(1, |sign| sign.len()))
    }

    /// Whether the language has this operator. `>>` is no operator here, so that `>>` of generics stays two tokens.
    fn has_sign(&self, sign: &str) -> bool {
        match sign {
            "<-" | "&^=" => self.language == Language::Go,
            "//=" => self.language == Language::Python,
            "&&=" | "||=" | "??=" | "??" | "?." | "===" | "!==" | ">>>=" => self.language.is_script(),
            "++" | "--" => self.language.is_script() || self.language == Language::Go,
            _ => true,
        }
    }

    /// The length of a comment at the start of `rest`.
    fn comment(&self, rest: &[u8]) -> Option<usize> {
        let line = || rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        if self.language == Language::Python {
            return (rest[0] == b'#').then(line);
        }
        if self.language.is_script() && rest.starts_with(b"#!") && self.at == 0 {
            return Some(line());
        }
        if rest.starts_with(b"//") {
            return Some(line());
        }
        if !rest.starts_with(b"/*") {
            return None;
        }
        let nests = self.language == Language::Rust;
        let (mut depth, mut at) = (1, 2);
        while at < rest.len() {
            if rest[at..].starts_with(b"*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            } else if nests && rest[at..].starts_with(b"/*") {
                depth += 1;
                at += 2;
            } else {
                at += 1;
            }
        }
        Some(rest.len())
    }

    /// The length of a string at the start of `rest`.
    fn string(&self, rest: &[u8]) -> Option<usize> {
        match self.language {
            Language::Rust => rust_string(rest),
            Language::Python => python_string(rest),
            Language::Go => match rest[0] {
                b'`' => Some(raw_end(rest, 1, b"`")),
                quote @ (b'"' | b'\'') => Some(quoted(rest, 1, quote, false)),
                _ => None,
            },
            Language::Javascript | Language::Typescript => match rest[0] {
                quote @ (b'"' | b'\'') => Some(quoted(rest, 1, quote, false)),
                _ => None,
            },
        }
    }

    /// A piece of a template literal: from a backtick or the closing brace of `${..}` to the next `${`
    /// or the backtick that ends it.
    fn template(&mut self, rest: &[u8]) -> Option<usize> {
        match rest[0] {
            b'`' => {}
            b'}' if self.braces.last() == Some(&true) => {
                self.braces.pop();
            }
            _ => return None,
        }
        let mut at = 1;
        while at < rest.len() {
            match rest[at] {
                b'\\' => at += 2,
                b'`' => return Some(at + 1),
                b'$' if rest.get(at + 1) == Some(&b'{') => {
                    self.braces.push(true);
                    return Some(at + 2);
                }
                _ => at += 1,
            }
        }
        Some(rest.len())
    }

    /// Whether a slash begins a regular expression here: it does where a value may begin.
    fn regex_may_follow(&self) -> bool {
        let Some(last) = self.out.iter().rev().find(|token| token.kind != Kind::Comment) else {
            return true;
        };
        match last.kind {
            Kind::Word => matches!(
                last.text,
                "return"
                    | "typeof"
                    | "case"
                    | "in"
                    | "of"
                    | "delete"
                    | "void"
                    | "throw"
                    | "new"
                    | "else"
                    | "await"
                    | "yield"
            ),
            Kind::Sign => !matches!(last.text, ")" | "]" | "}" | "++" | "--"),
            Kind::Text => last.text.ends_with("${"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
