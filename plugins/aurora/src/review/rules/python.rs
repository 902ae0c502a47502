//! Rules for Python, except for those about security.

use super::rule::Rule;
use crate::review::code::Code;
use crate::review::lex::Kind;
use crate::review::measure;
use crate::review::types::Severity::{Error, Info, Warning};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "python/mutable-default",
        severity: Warning,
        message: "A mutable default is made once and shared by all calls.",
        suggestion: "Use `None` as default and create the object inside.",
        find: |s| {
            s.parameters(|c, i| {
                let made = c.is(i + 1, &["[", "{"]) || (c.is(i + 1, &["list", "dict", "set"]) && c.text(i + 2) == "(");
                (c.text(i) == "=" && made).then_some(i + 1)
            })
        },
    },
    Rule {
        id: "python/bare-except",
        severity: Warning,
        message: "A bare `except` also catches KeyboardInterrupt and SystemExit.",
        suggestion: "Name the exceptions that you expect; at most `except Exception`.",
        find: |s| s.tokens(|c, i| c.reads(i, &["except", ":"])),
    },
    Rule {
        id: "python/swallowed-exception",
        severity: Warning,
        message: "An exception is caught and thrown away.",
        suggestion: "Handle or log it; `contextlib.suppress` says that silence is meant.",
        find: |s| {
            s.tokens(|c, i| {
                let colon = if c.text(i) == "except" { c.next_outside(i + 1, &[":"]) } else { None };
                colon.is_some_and(|colon| {
                    let body = c.indented(i, colon);
                    body.len() == 1 && (c.text(body.start) == "pass" || c.text(body.start) == "...")
                })
            })
        },
    },
    Rule {
        id: "python/none-comparison",
        severity: Warning,
        message: "`None` is compared with `{}`, which a class may redefine.",
        suggestion: "Write `is None` or `is not None`.",
        find: |s| s.tokens(|c, i| c.is(i, &["==", "!="]) && (c.text(i + 1) == "None" || c.before(i) == "None")),
    },
    Rule {
        id: "python/bool-comparison",
        severity: Info,
        message: "A comparison with a boolean literal.",
        suggestion: "Use the condition itself, or `not condition`; `is True` if only the object itself is meant.",
        find: |s| s.tokens(|c, i| c.is(i, &["==", "!="]) && c.is(i + 1, &["True", "False"])),
    },
    Rule {
        id: "python/is-literal",
        severity: Error,
        message: "`is` compares identity; with a literal the result is chance.",
        suggestion: "Use `==` or `!=`.",
        find: |s| {
            s.tokens(|c, i| {
                let right = i + 1 + usize::from(c.text(i + 1) == "not");
                c.text(i) == "is" && matches!(c.kind(right), Some(Kind::Text | Kind::Number))
            })
        },
    },
    Rule {
        id: "python/request-without-timeout",
        severity: Warning,
        message: "`requests` waits for ever without a `timeout`.",
        suggestion: "Add `timeout=(connect, read)` in seconds.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["requests", ".", "_", "("])
                    && c.is(i + 2, &["get", "post", "put", "patch", "delete", "head", "request"])
                    && !c.inside(i + 3).any(|at| c.is(at, &["timeout", "**"]))
            })
        },
    },
    Rule {
        id: "python/star-import",
        severity: Warning,
        message: "A star import hides where names come from and may replace your own.",
        suggestion: "Import the names that you use.",
        find: |s| s.tokens(|c, i| c.reads(i, &["import", "*"])),
    },
    Rule {
        id: "python/debugger",
        severity: Error,
        message: "A debugger's stop was left in.",
        suggestion: "Remove it.",
        find: |s| {
            s.tokens(|c, i| {
                (c.reads(i, &["breakpoint", "("]) && !matches!(c.before(i), "." | "def"))
                    || c.reads(i, &["pdb", ".", "set_trace"])
            })
        },
    },
    Rule {
        id: "python/blocking-in-async",
        severity: Error,
        message: "A blocking call in a coroutine stops the whole event loop.",
        suggestion: "Use `asyncio.sleep`, an async client, or `asyncio.to_thread`.",
        find: |s| {
            s.tokens(|c, i| {
                let blocking = c.reads(i, &["time", ".", "sleep", "("])
                    || (c.reads(i, &["requests", ".", "_", "("]))
                    || (c.reads(i, &["subprocess", ".", "run", "("]));
                blocking && c.function_at(i).is_some_and(|function| function.is_async)
            })
        },
    },
    Rule {
        id: "python/assert-tuple",
        severity: Error,
        message: "An assert on a tuple is always true.",
        suggestion: "Drop the brackets: `assert condition, \"message\"`.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["assert", "("])
                    && measure::parts(c, c.inside(i + 1)) > 1
                    && c.close(i + 1).is_some_and(|close| c.tokens.get(close + 1).is_none_or(|token| token.first))
            })
        },
    },
    Rule {
        id: "python/open-without-with",
        severity: Warning,
        message: "A file is opened without `with`, so an exception leaves it open.",
        suggestion: "Write `with open(..) as f:`, or use `Path.read_text`.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["=", "open", "("])
                    || (c.reads(i, &["open", "("])
                        && !matches!(c.before(i), "." | "def")
                        && c.close(i + 1).is_some_and(|close| {
                            c.text(close + 1) == "." && c.is(close + 2, &["read", "write", "readlines"])
                        }))
            })
        },
    },
    Rule {
        id: "python/return-in-finally",
        severity: Warning,
        message: "A `return` in `finally` swallows the exception in flight.",
        suggestion: "Return after the `try` statement.",
        find: |s| {
            for i in (0..s.code.len()).filter(|i| s.code.reads(*i, &["finally", ":"])) {
                for at in s.code.indented(i, i + 1).filter(|at| s.code.text(*at) == "return") {
                    s.report(at);
                }
            }
        },
    },
    Rule {
        id: "python/type-comparison",
        severity: Info,
        message: "Types are compared for equality, so subclasses fail.",
        suggestion: "Use `isinstance`.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["type", "("])
                    && c.before(i) != "."
                    && c.close(i + 1).is_some_and(|close| c.is(close + 1, &["==", "!="]))
            })
        },
    },
    Rule {
        id: "python/naive-time",
        severity: Info,
        message: "`{}` gives a time without a zone.",
        suggestion: "Use `datetime.now(timezone.utc)`.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["utcnow", "("])
                    || (c.reads(i, &["now", "(", ")"]) && c.before(i) == "." && i >= 2 && c.text(i - 2) == "datetime")
            })
        },
    },
    Rule {
        id: "python/shadowed-builtin",
        severity: Info,
        message: "The name `{}` hides a built-in.",
        suggestion: "Choose another name, for example with a trailing underscore.",
        find: |s| {
            s.tokens(|c, i| {
                assigned_first(c, i)
                    && c.is(
                        i,
                        &[
                            "list", "dict", "set", "str", "int", "id", "type", "input", "file", "sum", "max", "min",
                            "filter", "map", "next", "object", "all", "any",
                        ],
                    )
            })
        },
    },
];

/// A name that begins a statement and is assigned.
fn assigned_first(c: &Code<'_>, at: usize) -> bool {
    c.tokens.get(at).is_some_and(|token| token.first)
        && c.text(at + 1) == "="
        && !matches!(c.before(at), "(" | "," | "[" | "{")
}
