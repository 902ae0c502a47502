//! Rules for Rust.

use super::rule::Rule;
use super::text::is_sql;
use crate::review::code::Code;
use crate::review::lex::Kind;
use crate::review::types::Severity::{Error, Info, Warning};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "rust/unwrap",
        severity: Warning,
        message: "`unwrap` panics when the value is absent or an error.",
        suggestion: "Return the error with `?`, or treat the case with `let .. else`, `unwrap_or` or `match`.",
        find: |s| s.tokens(|c, i| method(c, i, "unwrap") && c.text(i + 2) == ")" && !c.in_test(i)),
    },
    Rule {
        id: "rust/expect",
        severity: Info,
        message: "`expect` panics; it is right only where failure is a bug of this program.",
        suggestion: "Keep it if its text says why it cannot fail; otherwise return the error with `?`.",
        find: |s| s.tokens(|c, i| method(c, i, "expect") && c.kind(i + 2) == Some(Kind::Text) && !c.in_test(i)),
    },
    Rule {
        id: "rust/panic",
        severity: Warning,
        message: "`{}!` ends the thread; a caller cannot handle it.",
        suggestion: "Return an error, or make the state impossible by a type.",
        find: |s| s.tokens(|c, i| c.is(i, &["panic", "unreachable"]) && c.reads(i + 1, &["!", "("]) && !c.in_test(i)),
    },
    Rule {
        id: "rust/todo-macro",
        severity: Error,
        message: "`{}!` panics when it is reached.",
        suggestion: "Write the missing part, or return an error that says it is not supported.",
        find: |s| {
            s.tokens(|c, i| c.is(i, &["todo", "unimplemented"]) && c.text(i + 1) == "!" && c.is(i + 2, &["(", "["]))
        },
    },
    Rule {
        id: "rust/dbg-macro",
        severity: Warning,
        message: "`dbg!` was left in.",
        suggestion: "Remove it, or log through `tracing` or `log`.",
        find: |s| s.tokens(|c, i| c.reads(i, &["dbg", "!", "("])),
    },
    Rule {
        id: "rust/unsafe-without-reason",
        severity: Warning,
        message: "An `unsafe` block without a `SAFETY:` comment.",
        suggestion: "Say above it which conditions the code relies on and why they hold, or use a safe counterpart.",
        find: |s| {
            s.tokens(|c, i| {
                let Some(line) = c.tokens.get(i).map(|token| token.line) else {
                    return false;
                };
                let explained = |reach: u32| {
                    c.comments.iter().any(|comment| {
                        comment.last_line() + reach >= line
                            && comment.line <= line + 1
                            && comment.text.to_ascii_lowercase().contains("safety")
                    })
                };
                c.reads(i, &["unsafe", "{"]) && !explained(3)
            })
        },
    },
    Rule {
        id: "rust/blocking-in-async",
        severity: Error,
        message: "A blocking call in an async function stops every task on its thread.",
        suggestion: "Use the runtime's own function (`tokio::time::sleep`, `tokio::fs`), or `spawn_blocking`.",
        find: |s| {
            s.tokens(|c, i| {
                let blocking = c.reads(i, &["thread", "::", "sleep"])
                    || c.reads(i, &["std", "::", "fs", "::"])
                    || c.reads(i, &["reqwest", "::", "blocking"]);
                blocking
                    && c.function_at(i).is_some_and(|function| {
                        function.is_async && !c.holds(function.body.start..i, &["spawn_blocking"])
                    })
            })
        },
    },
    Rule {
        id: "rust/lock-across-await",
        severity: Error,
        message: "The lock guard `{}` is held across an `.await`: other tasks wait, or deadlock.",
        suggestion: "End its scope before the await with a block, or use an async mutex on purpose.",
        find: |s| s.places(guard_held),
    },
    Rule {
        id: "rust/len-cast",
        severity: Info,
        message: "A length is cut to `{}` without a check.",
        suggestion: "Use `u32::try_from(x.len())` and treat the failure.",
        find: |s| {
            s.places(|c, i| {
                (c.reads(i, &[".", "len", "(", ")", "as"]) && c.is(i + 5, &["u8", "u16", "u32", "i8", "i16", "i32"]))
                    .then_some(i + 5)
            })
        },
    },
    Rule {
        id: "rust/len-underflow",
        severity: Warning,
        message: "`len() - 1` underflows when it is empty.",
        suggestion: "Use `checked_sub`, `last()`, or test for empty first.",
        find: |s| {
            s.tokens(|c, i| method(c, i, "len") && c.reads(i + 2, &[")", "-"]) && c.kind(i + 4) == Some(Kind::Number))
        },
    },
    Rule {
        id: "rust/transmute",
        severity: Warning,
        message: "`transmute` switches the compiler's checks off.",
        suggestion: "Use `from_ne_bytes`, `as` casts, `bytemuck` or a pointer cast, whichever says what is meant.",
        find: |s| s.tokens(|c, i| c.text(i) == "transmute" && c.is(i + 1, &["(", "::"])),
    },
    Rule {
        id: "rust/static-mut",
        severity: Error,
        message: "`static mut` is a data race waiting for a second thread.",
        suggestion: "Use an atomic, a `Mutex`, `OnceLock` or `LazyLock`.",
        find: |s| s.tokens(|c, i| c.reads(i, &["static", "mut", "_"])),
    },
    Rule {
        id: "rust/owned-reference",
        severity: Info,
        message: "A parameter `&{}` demands more than it needs.",
        suggestion: "Take `&[T]`, `&str` or `&Path`: callers with anything else need no copy.",
        find: |s| {
            s.parameters(|c, i| {
                let owned = c.reads(i, &["&", "Vec", "<"]) || (c.text(i) == "&" && c.is(i + 1, &["String", "PathBuf"]));
                (owned && c.before(i) == ":").then_some(i + 1)
            })
        },
    },
    Rule {
        id: "rust/dropped-result",
        severity: Info,
        message: "`let _ =` drops a result, and with it an error.",
        suggestion: "Handle or log it; if it may fail in silence, say why in a comment.",
        find: |s| {
            s.tokens(|c, i| {
                let end = if c.reads(i, &["let", "_", "="]) && c.text(i + 1) == "_" {
                    c.next_outside(i + 3, &[";"])
                } else {
                    None
                };
                end.is_some_and(|end| {
                    c.text(end - 1) == ")" && !c.holds(i..end, &["write", "!"]) && !c.holds(i..end, &["writeln", "!"])
                }) && !c.in_test(i)
            })
        },
    },
    Rule {
        id: "rust/swallowed-error",
        severity: Warning,
        message: "An error is matched and thrown away.",
        suggestion: "Return it, log it, or say in a comment why it does not matter.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["Err", "(", "_", ")", "=>"])
                    && c.text(i + 2) == "_"
                    && (c.reads(i + 5, &["{", "}"]) || c.reads(i + 5, &["(", ")"]))
            })
        },
    },
    Rule {
        id: "rust/sql-format",
        severity: Error,
        message: "SQL is built with `format!`: an injection when any part comes from outside.",
        suggestion: "Bind values as parameters (`$1`, `?`).",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["format", "!", "(", "\""])
                    && c.string(i + 3).is_some_and(|text| is_sql(text) && text.contains('{'))
            })
        },
    },
    Rule {
        id: "rust/shell",
        severity: Warning,
        message: "A shell interprets the command line: an injection when any part comes from outside.",
        suggestion: "Start the program itself with `Command::new(program).arg(..)`.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["Command", "::", "new", "(", "\""])
                    && c.string(i + 4)
                        .is_some_and(|text| matches!(text.trim_matches('"'), "sh" | "bash" | "cmd" | "/bin/sh"))
                    && (i + 5..i + 14)
                        .any(|at| c.string(at).is_some_and(|text| matches!(text, "\"-c\"" | "\"/C\"" | "\"/c\"")))
            })
        },
    },
    Rule {
        id: "rust/tls-off",
        severity: Error,
        message: "Certificates are not verified, so anyone between can read and change the traffic.",
        suggestion: "Add the authority to the trust store instead.",
        find: |s| {
            s.tokens(|c, i| {
                c.is(i, &["danger_accept_invalid_certs", "danger_accept_invalid_hostnames"])
                    && c.reads(i + 1, &["(", "true"])
            })
        },
    },
    Rule {
        id: "rust/float-equality",
        severity: Warning,
        message: "Floating-point numbers are compared with `{}`.",
        suggestion: "Compare the difference with a tolerance, or use integers for amounts.",
        find: |s| {
            s.tokens(|c, i| {
                let float = |at: usize| c.kind(at) == Some(Kind::Number) && c.text(at).contains('.');
                c.is(i, &["==", "!="]) && (float(i + 1) || (i > 0 && float(i - 1)))
            })
        },
    },
    Rule {
        id: "rust/bool-comparison",
        severity: Info,
        message: "A comparison with a boolean literal.",
        suggestion: "Use the condition itself, or `!condition`.",
        find: |s| s.tokens(|c, i| c.is(i, &["==", "!="]) && c.is(i + 1, &["true", "false"])),
    },
    Rule {
        id: "rust/allow-warnings",
        severity: Warning,
        message: "Warnings are switched off for the whole file.",
        suggestion: "Allow the one lint at the one item, with a reason.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["#", "!", "[", "allow", "("])
                    && (c.text(i + 5) == "warnings"
                        || c.reads(i + 5, &["clippy", "::", "all"])
                        || c.text(i + 5) == "unused")
            })
        },
    },
    Rule {
        id: "rust/forget",
        severity: Warning,
        message: "`mem::forget` leaks: the destructor never runs.",
        suggestion: "Use `ManuallyDrop` where ownership really moves away, else let it drop.",
        find: |s| s.tokens(|c, i| c.reads(i, &["mem", "::", "forget", "("])),
    },
];

fn method(c: &Code<'_>, at: usize, name: &str) -> bool {
    c.text(at) == name && c.before(at) == "." && c.text(at + 1) == "("
}

/// The index of the guard's name, if `at` begins `let g = x.lock().unwrap();` and an await follows.
fn guard_held(c: &Code<'_>, at: usize) -> Option<usize> {
    if c.text(at) != "let" {
        return None;
    }
    let name = at + 1 + usize::from(c.text(at + 1) == "mut");
    let end = (c.text(name + 1) == "=").then(|| c.next_outside(name + 2, &[";"]))??;
    let lock = (name..end)
        .rev()
        .find(|at| c.is(*at, &["lock", "read", "write"]) && c.before(*at) == "." && c.reads(at + 1, &["(", ")"]))?;
    // The statement must end with the guard: `lock()`, `lock().unwrap()`, `lock().expect("..")`.
    let rest = lock + 3..end;
    let kept = rest.is_empty()
        || (c.text(rest.start) == "."
            && c.is(rest.start + 1, &["unwrap", "expect", "unwrap_or_else"])
            && c.close(rest.start + 2) == Some(end - 1));
    if !kept || (rest.is_empty() && c.text(lock) != "lock") {
        return None;
    }
    let block = end..c.block_end(end).min(end + 4000);
    let wait = block.clone().find(|at| c.text(*at) == "await" && c.before(*at) == ".")?;
    let dropped = (end..wait).any(|at| c.reads(at, &["drop", "("]) && c.text(at + 2) == c.text(name));
    (!dropped).then_some(name)
}
