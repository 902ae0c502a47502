//! Rules for the handling of errors in Go.

use super::rule::Rule;
use crate::review::code::Code;
use crate::review::lex::Kind;
use crate::review::types::Severity::{Info, Warning};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "go/ignored-error",
        severity: Warning,
        message: "The last result, usually the error, is assigned to `_`.",
        suggestion: "Handle the error, or say in a comment why it cannot matter.",
        find: |s| {
            s.tokens(|c, i| {
                c.text(i) == "_"
                    && c.is(i + 1, &["=", ":="])
                    && calls(c, i + 2)
                    && !c.in_test(i)
                    && (c.before(i) == "," || c.tokens[i].first)
            })
        },
    },
    Rule {
        id: "go/unchecked-error",
        severity: Warning,
        message: "The error of `{}` is not looked at.",
        suggestion: "Write `if err := ..; err != nil { return .. }`.",
        find: |s| s.places(unchecked),
    },
    Rule {
        id: "go/error-text",
        severity: Warning,
        message: "An error is told by its text, which may change.",
        suggestion: "Use `errors.Is` or `errors.As`.",
        find: |s| {
            s.tokens(|c, i| {
                let text = c.reads(i, &[".", "Error", "(", ")"]);
                text && (c.is(i + 4, &["==", "!="]) || (i >= 4 && c.reads(i - 4, &[".", "Contains", "("])))
            })
        },
    },
    Rule {
        id: "go/error-comparison",
        severity: Info,
        message: "A wrapped error does not equal `{}`.",
        suggestion: "Use `errors.Is(err, ..)`.",
        find: |s| {
            s.places(|c, i| {
                (c.text(i) == "err"
                    && c.is(i + 1, &["==", "!="])
                    && c.reads(i + 2, &["_", ".", "_"])
                    && (c.text(i + 4).starts_with("Err") || c.text(i + 4) == "EOF"))
                    .then_some(i + 4)
            })
        },
    },
    Rule {
        id: "go/error-not-wrapped",
        severity: Info,
        message: "The cause is formatted into text and lost for `errors.Is`.",
        suggestion: "Use `%w`.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["Errorf", "(", "\""])
                    && c.string(i + 2).is_some_and(|text| !text.contains("%w"))
                    && c.inside(i + 1).any(|at| c.text(at) == "err" && c.before(at) == "," && c.is(at + 1, &[")", ","]))
            })
        },
    },
    Rule {
        id: "go/empty-error-branch",
        severity: Warning,
        message: "The error is tested and thrown away.",
        suggestion: "Return or log it.",
        find: |s| s.tokens(|c, i| c.reads(i, &["err", "!=", "nil", "{", "}"])),
    },
    Rule {
        id: "go/nil-for-error",
        severity: Warning,
        message: "An error happened, and nil is returned for it.",
        suggestion: "Return `err`, or wrap it.",
        find: |s| {
            s.places(|c, i| {
                (c.reads(i, &["err", "!=", "nil", "{", "return", "nil"])
                    && (c.reads(i + 6, &["}"]) || c.reads(i + 6, &[",", "nil", "}"])))
                .then_some(i + 4)
            })
        },
    },
];

fn calls(c: &Code<'_>, at: usize) -> bool {
    let line = c.tokens.get(at).map(|token| token.line);
    (at..c.len())
        .take(60)
        .take_while(|at| Some(c.tokens[*at].line) == line)
        .any(|at| c.text(at) == "(" && c.kind(at.wrapping_sub(1)) == Some(Kind::Word))
}

/// The name of a call that stands alone on its line though it returns an error.
fn unchecked(c: &Code<'_>, at: usize) -> Option<usize> {
    let known = [
        "Unmarshal",
        "Decode",
        "Encode",
        "Remove",
        "RemoveAll",
        "Mkdir",
        "MkdirAll",
        "Rename",
        "WriteFile",
        "Setenv",
        "Chdir",
        "Chmod",
        "ListenAndServe",
        "ListenAndServeTLS",
        "Serve",
        "Exec",
        "ExecContext",
        "Commit",
        "Flush",
        "Sync",
        "Shutdown",
        "Scan",
        "Execute",
    ];
    if !c.tokens[at].first || c.kind(at) != Some(Kind::Word) || c.text(at + 1) != "." {
        return None;
    }
    let (mut index, mut name) = (at + 1, at);
    loop {
        match c.text(index) {
            "." => {
                name = index + 1;
                index += 2;
            }
            "(" => {
                index = c.close(index)? + 1;
                let ends = c.tokens.get(index).is_none_or(|token| token.first) || c.text(index) == ";";
                if ends {
                    return known.contains(&c.text(name)).then_some(name);
                }
            }
            _ => return None,
        }
    }
}
