//! Bounds how deeply a parser calls itself for a source, before the source is parsed.
//!
//! A parser and everything that walks its tree take some stack for each level, and the end of the stack is the end of the
//! process. A level is more than a bracket: `!!!!a`, `a => a => a`, `if (a) if (a)` and types like `A<A<A>>` are as deep
//! as they are long, and `a + a + a` or `a()()` make a tree as deep as they are long. So this counts, for each bracket
//! that is open, the operators and words since the last `;` or `,` behind which an expression begins anew.
//!
//! The count is an upper bound that knows no grammar: what stands in texts and comments counts, too. Sources that people
//! write and tools make stay far below the limits.

/// The most levels for which a parser calls itself: brackets, types, and what stands before its operand. The JavaScript that
/// is made of them is indented by as many tabs on as many lines, which is 128 MB.
const MAX_NESTED: usize = 16_000;
/// The most levels of a tree that grow from left to right, for which a parser does not call itself: operators between two
/// operands, calls and members. A text in base64, which has two such characters in 64, may have 8 MB.
const MAX_CHAINED: usize = 250_000;

/// Words that stand before an operand or a statement.
const BEFORE: [&[u8]; 24] = [
    b"new",
    b"typeof",
    b"void",
    b"delete",
    b"await",
    b"yield",
    b"async",
    b"if",
    b"else",
    b"for",
    b"while",
    b"do",
    b"with",
    b"extends",
    b"keyof",
    b"unique",
    b"readonly",
    b"infer",
    b"asserts",
    b"is",
    b"abstract",
    b"case",
    b"return",
    b"throw",
];
/// Words before a name whose dots count as levels, because a parser nests them: `namespace a.b.c` is `c` within `b`
/// within `a`.
const BEFORE_DOTTED: [&[u8]; 2] = [b"namespace", b"module"];
/// Words between two operands.
const BETWEEN: [&[u8]; 5] = [b"in", b"of", b"instanceof", b"as", b"satisfies"];

/// The syntax of a source, as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Script,
    /// A script with elements, whose tags nest like brackets.
    Jsx,
}

/// Levels of one kind in a source, and whether there are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Levels {
    nested: usize,
    chained: usize,
}

/// The levels of one bracket since its last `;` or `,`.
#[derive(Debug, Default)]
struct Part {
    since: Levels,
    /// The levels before the last `;`: an `else` continues them.
    before: Levels,
    /// Types and elements that are open.
    angles: usize,
}

/// Returns whether a parser on a large stack survives the source.
pub(super) fn is_bounded(source: &str, syntax: Syntax) -> bool {
    let mut depth =
        Depth { syntax, sum: Levels::default(), outer: Vec::new(), part: Part::default(), is_dotted: false };
    let (bytes, mut at, mut is_after_operand, mut comment) = (source.as_bytes(), 0, false, None);
    while let Some(&byte) = bytes.get(at) {
        let begun = at;
        at += 1;
        comment = comment_at(bytes, begun, comment);
        if is_of_word(byte) {
            while bytes.get(at).is_some_and(|byte| is_of_word(*byte)) {
                at += 1;
            }
            let word = &bytes[begun..at];
            depth.forget(comment.is_some() || word == b"else");
            is_after_operand = depth.word(word);
        } else if !byte.is_ascii_whitespace() {
            let next = bytes.get(at).copied().unwrap_or_default();
            let last = begun.checked_sub(1).map_or(0, |last| bytes[last]);
            depth.forget(comment.is_some());
            // A character of a name may be written as `\u0061` and `\u{61}`.
            let is_of_name = matches!(byte, b'.' | b'\\' | b'}') || byte == b'{' && last == b'u';
            depth.is_dotted &= comment.is_some() || is_of_name;
            depth.sign(byte, last, next, is_after_operand);
            is_after_operand = matches!(byte, b')' | b']' | b'}' | b'"' | b'\'' | b'`');
        }
        if !depth.is_bounded() {
            return false;
        }
    }
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comment {
    Line,
    Block,
}

/// The comment that a byte is in. What looks like one may be a part of a text.
fn comment_at(bytes: &[u8], at: usize, comment: Option<Comment>) -> Option<Comment> {
    let is_at = |begin: usize, mark: &[u8]| bytes[begin..].starts_with(mark);
    match comment {
        Some(Comment::Line) if bytes[at] == b'\n' => None,
        Some(Comment::Block) if at.checked_sub(2).is_some_and(|end| is_at(end, b"*/")) => comment_at(bytes, at, None),
        None if is_at(at, b"//") => Some(Comment::Line),
        None if is_at(at, b"/*") => Some(Comment::Block),
        comment => comment,
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

struct Depth {
    syntax: Syntax,
    /// The levels of all brackets that are open.
    sum: Levels,
    outer: Vec<Part>,
    part: Part,
    /// True while only a name has come since a word of [`BEFORE_DOTTED`].
    is_dotted: bool,
}

impl Depth {
    fn is_bounded(&self) -> bool {
        self.sum.nested <= MAX_NESTED && self.sum.chained <= MAX_CHAINED
    }

    /// Forgets what stood before the last `;`, unless an `else` may still continue it: behind comments.
    fn forget(&mut self, is_kept: bool) {
        if !is_kept {
            self.part.before = Levels::default();
        }
    }

    /// Counts a word. Returns whether it is an operand.
    fn word(&mut self, word: &[u8]) -> bool {
        self.is_dotted |= BEFORE_DOTTED.contains(&word);
        if word == b"else" {
            let before = std::mem::take(&mut self.part.before);
            self.add(before);
        }
        if BEFORE.contains(&word) {
            self.nest();
        } else if BETWEEN.contains(&word) {
            self.chain();
        } else {
            return true;
        }
        false
    }

    fn sign(&mut self, sign: u8, last: u8, next: u8, is_after_operand: bool) {
        match sign {
            b'.' if self.is_dotted => self.nest(),
            b'(' | b'[' | b'{' => {
                self.chain();
                self.outer.push(std::mem::take(&mut self.part));
                self.sum.nested += 1;
            }
            b')' | b']' | b'}' => self.close(),
            b';' => {
                let ended = self.end();
                self.sum.nested -= std::mem::take(&mut self.part.angles);
                self.part.before = ended;
            }
            b',' => drop(self.end()),
            b'<' if self.syntax == Syntax::Jsx && next == b'/' => self.close_angle(),
            b'<' => {
                self.part.angles += 1;
                self.sum.nested += 1;
                self.chain();
            }
            b'>' if last == b'=' => {}
            b'>' if self.syntax == Syntax::Script || last == b'/' => self.close_angle(),
            b'=' | b'?' | b':' => self.nest(),
            b'!' | b'~' | b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' if !is_after_operand => self.nest(),
            b'!' | b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'.' | b'`' | b'>' => self.chain(),
            _ => {}
        }
    }

    fn nest(&mut self) {
        self.add(Levels { nested: 1, chained: 0 });
    }

    fn chain(&mut self) {
        self.add(Levels { nested: 0, chained: 1 });
    }

    fn add(&mut self, levels: Levels) {
        for counted in [&mut self.part.since, &mut self.sum] {
            counted.nested += levels.nested;
            counted.chained += levels.chained;
        }
    }

    /// Ends an expression or a statement.
    fn end(&mut self) -> Levels {
        let ended = std::mem::take(&mut self.part.since);
        self.sum.nested -= ended.nested;
        self.sum.chained -= ended.chained;
        ended
    }

    fn close(&mut self) {
        // A bracket too many is an error of the parser's.
        let Some(outer) = self.outer.pop() else { return };
        self.end();
        self.sum.nested -= self.part.angles + 1;
        self.part = outer;
    }

    fn close_angle(&mut self) {
        if let Some(fewer) = self.part.angles.checked_sub(1) {
            self.part.angles = fewer;
            self.sum.nested -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each ended the process, which a build and a `dev` share with it.
    #[test]
    fn what_is_as_deep_as_it_is_long_is_bounded() {
        for (begin, level, syntax) in [
            ("a = ", "[", Syntax::Script),
            ("a = ", "!", Syntax::Script),
            ("a = ", "- ", Syntax::Script),
            ("a = ", "typeof\n", Syntax::Script),
            ("a = ", "a=>", Syntax::Script),
            ("a = ", "async a=>", Syntax::Script),
            ("a = ", "a?b:", Syntax::Script),
            ("a = ", "b\n=", Syntax::Script),
            ("a = b", "**b", Syntax::Script),
            ("a = ", "`${", Syntax::Script),
            ("", "if(a)", Syntax::Script),
            ("if (a) b", ";else if(a)b", Syntax::Script),
            ("if (a) b", "; /* if */ else if(a)b", Syntax::Script),
            ("if (a) b", "{}else if(a)", Syntax::Script),
            ("", "for(;;)", Syntax::Script),
            ("", "do ", Syntax::Script),
            ("", "a:", Syntax::Script),
            ("let a: ", "A<", Syntax::Script),
            ("let a: ", "A<B,", Syntax::Script),
            ("type A = ", "keyof ", Syntax::Script),
            ("type A = ", "A extends B ? C : ", Syntax::Script),
            ("type A = ", "()=>", Syntax::Script),
            ("a = b", "()", Syntax::Script),
            ("a = b", "[0]", Syntax::Script),
            ("a = b", ".b", Syntax::Script),
            ("a = b", "`b`", Syntax::Script),
            ("a = b", "+b", Syntax::Script),
            ("a = b", " as b", Syntax::Script),
            ("a = ", "<b>", Syntax::Jsx),
            ("namespace a", ".a", Syntax::Script),
            ("declare module a", ". /* { */ a", Syntax::Script),
            ("namespace a", ".\\u0061", Syntax::Script),
            ("namespace a", ".\\u{61}", Syntax::Script),
        ] {
            assert!(is_bounded(&format!("{begin}{}", level.repeat(2_000)), syntax), "{level}");
            assert!(!is_bounded(&format!("{begin}{}", level.repeat(300_000)), syntax), "{level}");
        }
    }

    #[test]
    fn long_sources_that_are_not_deep_are_not_refused() {
        let base64 = "QUJD+eHl6MTIz/NDU2Nzg5YWJjZGVmZ2hpamtsbW5v".repeat(100_000);
        for (line, syntax) in [
            ("a.b(c => c + 1, !d);\n", Syntax::Script),
            ("if (a < b) { c() } else if (d > e) f = -1; else g = a ? b : c;\n", Syntax::Script),
            ("const a: Map<string, Array<number>> = new Map<string, Array<number>>();\n", Syntax::Script),
            ("const a = <p class=\"b\">text<br/></p>;\n", Syntax::Jsx),
        ] {
            assert!(is_bounded(&line.repeat(300_000), syntax), "{line}");
        }
        assert!(is_bounded(&format!("a = [{}];", "{ b: [1, 2, -3], c: 'd' },".repeat(300_000)), Syntax::Script));
        assert!(is_bounded(&format!("a = '{base64}';"), Syntax::Script));
    }
}
