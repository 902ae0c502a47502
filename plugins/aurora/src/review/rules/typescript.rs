//! Rules for TypeScript only.

use super::rule::Rule;
use crate::review::lex::Kind;
use crate::review::types::Severity::{Info, Warning};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "ts/any",
        severity: Warning,
        message: "`any` switches type checking off for all that touches it.",
        suggestion: "Use `unknown` and narrow it, or write the type.",
        find: |s| {
            s.tokens(|c, i| {
                c.text(i) == "any"
                    && matches!(c.before(i), ":" | "as" | "<" | "|" | "&" | ",")
                    && (c.before(i) != "," || c.is(i + 1, &[">"]))
                    && !c.is(i + 1, &["(", ":"])
            })
        },
    },
    Rule {
        id: "ts/suppressed",
        severity: Warning,
        message: "The compiler is told to look away.",
        suggestion: "Correct the type, or use `@ts-expect-error` with a reason: it reports when it is no longer needed.",
        find: |s| {
            s.comments(|text| ["@ts-ignore", "@ts-nocheck"].iter().any(|word| text.contains(word)).then(String::new))
        },
    },
    Rule {
        id: "ts/non-null",
        severity: Info,
        message: "`!` claims that a value is there without checking.",
        suggestion: "Check it, and return or throw if it is absent.",
        find: |s| {
            s.tokens(|c, i| {
                c.text(i) == "!"
                    && i > 0
                    && (c.kind(i - 1) == Some(Kind::Word) || c.is(i - 1, &[")", "]"]))
                    && !c.tokens[i].first
                    && !c.is(i - 1, &["return", "typeof", "in", "of", "if", "while", "case", "await"])
                    && c.is(i + 1, &[".", ";", ")", ",", "[", "]"])
            })
        },
    },
    Rule {
        id: "ts/double-assertion",
        severity: Warning,
        message: "A type is forced through `unknown`.",
        suggestion: "Parse or narrow the value so that the compiler can follow.",
        find: |s| s.tokens(|c, i| c.reads(i, &["as", "unknown", "as"]) || c.reads(i, &["as", "any", "as"])),
    },
    Rule {
        id: "ts/wrapper-type",
        severity: Warning,
        message: "`{}` is too wide as a type.",
        suggestion: "Use the primitive (`string`, `number`, `boolean`), or the exact object or function type.",
        find: |s| {
            s.tokens(|c, i| {
                c.is(i, &["String", "Number", "Boolean", "Object", "Function"])
                    && c.before(i) == ":"
                    && c.is(i + 1, &[",", ")", ";", "=", "|", "{"])
                    && !c.is(i.wrapping_sub(2), &["default"])
            })
        },
    },
    Rule {
        id: "ts/require",
        severity: Info,
        message: "`require` gives no types.",
        suggestion: "Use `import`.",
        find: |s| s.tokens(|c, i| c.reads(i, &["=", "require", "(", "\""])),
    },
];
