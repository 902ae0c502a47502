//! A tokenizer for the five languages, so that text in strings and comments fools no rule.
//!
//! Total: any input gives tokens, in order, none overlapping; what is unterminated ends at its line or at
//! the end of the file. One pass, linear. Columns count characters, from 1.

use super::Language;

/// What a token is.
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
    /// Whether only blanks stand before it on its line.
    pub(crate) first: bool,
}

impl Token<'_> {
    /// The last line that the token reaches.
    pub(crate) fn last_line(&self) -> u32 {
        self.line + self.text.bytes().filter(|byte| *byte == b'\n').count() as u32
    }
}

/// Longest first.
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

struct Lexer<'a> {
    source: &'a str,
    language: Language,
    at: usize,
    line: u32,
    /// Whether only blanks were seen on this line.
    fresh: bool,
    /// `column` is that of this byte offset: counted on, so that long lines stay linear.
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

    /// `//=` divides in Python only, `<-` and `&^=` are Go's, and `>>` stays apart for generics.
    fn has_sign(&self, sign: &str) -> bool {
        match sign {
            "<-" | "&^=" => self.language == Language::Go,
            "//=" => self.language == Language::Python,
            "&&=" | "||=" | "??=" | "??" | "?." | "===" | "!==" | ">>>=" => self.language.is_script(),
            "++" | "--" => self.language.is_script() || self.language == Language::Go,
            _ => true,
        }
    }

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

    /// A slash begins a regular expression where a value may begin.
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

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn word_length(rest: &[u8]) -> usize {
    let raw = if rest.starts_with(b"r#") { 2 } else { 0 };
    raw + rest[raw.min(rest.len())..].iter().take_while(|byte| is_word(**byte)).count()
}

fn number_length(rest: &[u8]) -> usize {
    let mut at = 0;
    while at < rest.len() {
        let sign_of_exponent = matches!(rest[at], b'+' | b'-')
            && at > 0
            && matches!(rest[at - 1], b'e' | b'E')
            && !rest.starts_with(b"0x");
        let point = rest[at] == b'.' && rest.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !(is_word(rest[at]) || sign_of_exponent || point) {
            break;
        }
        at += 1;
    }
    at
}

/// From after the opening quote to behind the closing one. Without `lines` a line end closes it too.
fn quoted(rest: &[u8], mut at: usize, quote: u8, lines: bool) -> usize {
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'\n' if !lines => return at,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_end(rest: &[u8], from: usize, end: &[u8]) -> usize {
    rest[from..].windows(end.len()).position(|window| window == end).map_or(rest.len(), |at| from + at + end.len())
}

fn rust_string(rest: &[u8]) -> Option<usize> {
    let prefix = rest.iter().take(2).take_while(|byte| matches!(byte, b'b' | b'c' | b'r')).count();
    let raw = rest[..prefix].last() == Some(&b'r');
    let after = &rest[prefix..];
    if raw {
        let hashes = after.iter().take_while(|byte| **byte == b'#').count();
        if after.get(hashes) == Some(&b'"') {
            let mut end = vec![b'"'];
            end.resize(hashes + 1, b'#');
            return Some(raw_end(rest, prefix + hashes + 1, &end));
        }
        return None;
    }
    match after.first()? {
        b'"' => Some(quoted(rest, prefix + 1, b'"', true)),
        b'\'' if prefix <= 1 => {
            // `'a'` and `'\n'` are characters; `'a` is a lifetime.
            let body = &after[1..];
            if body.first() == Some(&b'\\') {
                return Some(quoted(rest, prefix + 1, b'\'', false));
            }
            let width = match body.first()? {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            (body.get(width) == Some(&b'\'')).then_some(prefix + width + 2)
        }
        _ => None,
    }
}

fn python_string(rest: &[u8]) -> Option<usize> {
    let prefix = rest
        .iter()
        .take(2)
        .take_while(|byte| matches!(byte.to_ascii_lowercase(), b'r' | b'b' | b'f' | b'u' | b't'))
        .count();
    let quote = *rest.get(prefix).filter(|byte| matches!(byte, b'"' | b'\''))?;
    let triple = [quote; 3];
    if !rest[prefix..].starts_with(&triple) {
        return Some(quoted(rest, prefix + 1, quote, false));
    }
    let mut at = prefix + 3;
    while at < rest.len() {
        if rest[at] == b'\\' {
            at += 2;
        } else if rest[at..].starts_with(&triple) {
            return Some(at + 3);
        } else {
            at += 1;
        }
    }
    Some(rest.len())
}

/// None if the line ends before the expression does: then the slash divides.
fn regex_length(rest: &[u8]) -> Option<usize> {
    let (mut at, mut in_class) = (1, false);
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            b'\n' => return None,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'/' if !in_class => {
                return Some(at + 1 + rest[at + 1..].iter().take_while(|byte| is_word(**byte)).count());
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str, language: Language) -> Vec<(Kind, &str)> {
        tokens(source, language).into_iter().map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn rust_strings_characters_lifetimes_and_nested_comments_are_told_apart() {
        use Kind::*;
        let found =
            texts("f('a', &'a \"x\\\"\", r#\"a\"b\"#, b'\\'', '\u{e9}') /* a /* b */ c */ r#type", Language::Rust);
        let kept: Vec<_> = found.into_iter().filter(|(kind, _)| *kind != Sign).collect();
        assert_eq!(
            kept,
            [
                (Word, "f"),
                (Text, "'a'"),
                (Lifetime, "'a"),
                (Text, "\"x\\\"\""),
                (Text, "r#\"a\"b\"#"),
                (Text, "b'\\''"),
                (Text, "'\u{e9}'"),
                (Comment, "/* a /* b */ c */"),
                (Word, "r#type"),
            ]
        );
    }

    #[test]
    fn python_prefixes_triple_quotes_and_comments_are_whole() {
        let found = texts("x = rb'\\'' + f\"\"\"a\n\"b\"\"\" # 'c'", Language::Python);
        assert_eq!(found[2], (Kind::Text, "rb'\\''"));
        assert_eq!(found[4], (Kind::Text, "f\"\"\"a\n\"b\"\"\""));
        assert_eq!(found[5], (Kind::Comment, "# 'c'"));
    }

    #[test]
    fn code_inside_a_template_is_code_and_the_rest_is_text() {
        let found = texts("`a ${ f({b: `c`}) } eval(x)` + 1", Language::Javascript);
        assert_eq!(found.first(), Some(&(Kind::Text, "`a ${")));
        assert!(found.contains(&(Kind::Word, "f")) && found.contains(&(Kind::Text, "`c`")));
        assert!(found.contains(&(Kind::Text, "} eval(x)`")) && found.contains(&(Kind::Number, "1")));
    }

    #[test]
    fn a_slash_is_a_division_or_a_regular_expression_by_what_stands_before() {
        let found = texts("a / b / c; x = /[/]eval(/g.test(s)", Language::Javascript);
        assert_eq!(found.iter().filter(|(_, text)| *text == "/").count(), 2);
        assert!(found.contains(&(Kind::Text, "/[/]eval(/g")));
    }

    #[test]
    fn positions_are_lines_and_characters_from_one() {
        let found = tokens("\u{e9} = 1\n  /* a\n b */ y", Language::Rust);
        let place = |at: usize| (found[at].line, found[at].column);
        assert_eq!((place(0), place(1), place(2)), ((1, 1), (1, 3), (1, 5)));
        assert_eq!((place(3), place(4)), ((2, 3), (3, 7)));
    }

    #[test]
    fn any_bytes_give_tokens_that_cover_everything_but_blanks() {
        let nasty = [
            "\"",
            "'",
            "`${",
            "r#\"",
            "/*",
            "'''",
            "\\",
            "`a${`b${`",
            "\"\\",
            "0x",
            "\u{e9}'",
            "/[",
            "'\\",
            "b'",
            "#",
            "'\u{1F600}",
        ];
        for language in Language::ALL {
            for a in nasty {
                for b in nasty {
                    let source = format!("{a} {b}\n{b}{a}");
                    let mut end = 0;
                    for token in tokens(&source, language) {
                        assert!(token.start >= end, "{source:?}");
                        assert!(source[end..token.start].trim().is_empty(), "{source:?}");
                        end = token.start + token.text.len();
                    }
                    assert!(source[end..].trim().is_empty(), "{source:?}");
                }
            }
        }
    }
}
