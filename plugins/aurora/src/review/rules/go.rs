//! Rules for Go, except for those about the handling of errors.

use super::rule::Rule;
use super::text::{is_secret_name, is_sql};
use crate::review::lex::Kind;
use crate::review::types::Severity::{Error, Warning};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "go/defer-in-loop",
        severity: Warning,
        message: "`defer` in a loop runs only when the function ends.",
        suggestion: "Move the turn's work into a function of its own.",
        find: |s| s.tokens(|c, i| c.text(i) == "defer" && c.in_loop(i)),
    },
    Rule {
        id: "go/panic",
        severity: Warning,
        message: "`panic` ends the program from within a library.",
        suggestion: "Return an error.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["panic", "("])
                    && c.before(i) != "."
                    && !c.in_test(i)
                    && c.function_at(i).is_none_or(|function| {
                        !(function.name == "main"
                            || function.name == "init"
                            || function.name.to_ascii_lowercase().starts_with("must"))
                    })
            })
        },
    },
    Rule {
        id: "go/sql-injection",
        severity: Error,
        message: "SQL is built from strings: an injection when any part comes from outside.",
        suggestion: "Pass values as parameters (`$1`, `?`).",
        find: |s| {
            s.tokens(|c, i| {
                let formatted = c.is(i.wrapping_sub(2), &["Sprintf"]);
                c.string(i)
                    .is_some_and(|text| is_sql(text) && (c.text(i + 1) == "+" || (formatted && text.contains('%'))))
            })
        },
    },
    Rule {
        id: "go/shell",
        severity: Warning,
        message: "A shell interprets the command line: an injection when any part comes from outside.",
        suggestion: "Start the program itself: `exec.Command(program, args...)`.",
        find: |s| {
            s.tokens(|c, i| {
                c.is(i, &["Command", "CommandContext"])
                    && c.text(i + 1) == "("
                    && c.inside(i + 1).any(|at| {
                        matches!(c.string(at), Some("\"sh\"" | "\"bash\"" | "\"/bin/sh\"" | "\"cmd\""))
                            && matches!(c.string(at + 2), Some("\"-c\"" | "\"/C\"" | "\"/c\""))
                    })
            })
        },
    },
    Rule {
        id: "go/tls-off",
        severity: Error,
        message: "Certificates are not verified, so anyone between can read and change the traffic.",
        suggestion: "Put the authority into `RootCAs`.",
        find: |s| {
            s.tokens(|c, i| c.text(i) == "InsecureSkipVerify" && c.is(i + 1, &[":", "="]) && c.text(i + 2) == "true")
        },
    },
    Rule {
        id: "go/http-without-timeout",
        severity: Warning,
        message: "This client or server waits for ever.",
        suggestion: "Use `&http.Client{Timeout: ..}` and an `http.Server` with ReadHeaderTimeout.",
        find: |s| {
            s.tokens(|c, i| {
                let call = c.reads(i, &["http", "."])
                    && c.is(i + 2, &["Get", "Post", "PostForm", "Head", "ListenAndServe", "ListenAndServeTLS"])
                    && c.text(i + 3) == "(";
                let client = c.reads(i, &["http", ".", "Client", "{"]) && !c.holds(c.inside(i + 3), &["Timeout", ":"]);
                (call || client) && !c.in_test(i)
            })
        },
    },
    Rule {
        id: "go/waitgroup-add-inside",
        severity: Error,
        message: "`Add` inside the goroutine races with `Wait`.",
        suggestion: "Call `wg.Add(1)` before `go`.",
        find: |s| {
            s.tokens(|c, i| {
                let group = c.tokens.get(i).is_some_and(|token| {
                    token.text.to_ascii_lowercase().ends_with("wg")
                        || token.text.to_ascii_lowercase().contains("waitgroup")
                });
                group
                    && c.kind(i) == Some(Kind::Word)
                    && c.reads(i + 1, &[".", "Add", "("])
                    && c.function_at(i).is_some_and(|function| {
                        c.text(function.at) == "func" && function.at > 0 && c.before(function.at) == "go"
                    })
            })
        },
    },
    Rule {
        id: "go/weak-random",
        severity: Warning,
        message: "`math/rand` is predictable, and this looks like a secret.",
        suggestion: "Use `crypto/rand`.",
        find: |s| {
            let crypto = (0..s.code.len()).any(|at| s.code.string(at) == Some("\"crypto/rand\""));
            s.tokens(|c, i| {
                let named = || {
                    let line = c.tokens[i].line;
                    c.tokens[..i]
                        .iter()
                        .rev()
                        .take(40)
                        .take_while(|token| token.line == line)
                        .any(|token| is_secret_name(token.text))
                };
                c.reads(i, &["rand", ".", "_", "("]) && !crypto && named()
            });
        },
    },
    Rule {
        id: "go/weak-hash",
        severity: Warning,
        message: "`{}` is broken as a security hash.",
        suggestion: "Use sha256; for passwords bcrypt or argon2.",
        find: |s| {
            s.tokens(|c, i| {
                c.is(i, &["md5", "sha1"])
                    && c.text(i + 1) == "."
                    && (c.text(i + 2) == "New" || c.text(i + 2).starts_with("Sum"))
                    && c.text(i + 3) == "("
            })
        },
    },
    Rule {
        id: "go/context-dropped",
        severity: Warning,
        message: "A new context is made where one was given, so cancelling stops here.",
        suggestion: "Pass the parameter on.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["context", "."])
                    && c.is(i + 2, &["Background", "TODO"])
                    && c.function_at(i)
                        .is_some_and(|function| c.holds(function.parameters.clone(), &["context", ".", "Context"]))
            })
        },
    },
    Rule {
        id: "go/timer-leak",
        severity: Warning,
        message: "A timer of this kind piles up: `Tick` cannot be stopped, and `After` in a loop makes one each turn.",
        suggestion: "Use `time.NewTicker` or `NewTimer` and stop it.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["time", ".", "Tick", "("]) || (c.reads(i, &["time", ".", "After", "("]) && c.in_loop(i))
            })
        },
    },
    Rule {
        id: "go/mutex-copy",
        severity: Error,
        message: "A lock is passed by value: the copy guards nothing.",
        suggestion: "Pass a pointer.",
        find: |s| {
            s.parameters(|c, i| {
                (c.reads(i, &["sync", "."])
                    && c.is(i + 2, &["Mutex", "RWMutex", "WaitGroup", "Once"])
                    && c.kind(i.wrapping_sub(1)) == Some(Kind::Word))
                .then_some(i)
            })
        },
    },
    Rule {
        id: "go/exit-skips-defer",
        severity: Warning,
        message: "`{}` ends the process without running the deferred calls above.",
        suggestion: "Return an error from a function that `main` calls.",
        find: |s| {
            s.places(|c, i| {
                let exits = c.reads(i, &["os", ".", "Exit", "("])
                    || (c.reads(i, &["log", "."]) && c.text(i + 2).starts_with("Fatal"));
                let deferred = || {
                    c.function_at(i).is_some_and(|function| (function.body.start..i).any(|at| c.text(at) == "defer"))
                };
                (exits && deferred()).then_some(i + 2)
            })
        },
    },
    Rule {
        id: "go/body-not-closed",
        severity: Warning,
        message: "The body of the answer in `{}` is never closed, so its connection leaks.",
        suggestion: "After the error check: `defer resp.Body.Close()`.",
        find: |s| {
            s.tokens(|c, i| {
                let answer = c.reads(i, &["_", ",", "err"])
                    && c.is(i + 3, &[":=", "="])
                    && c.reads(i + 4, &["_", "."])
                    && c.is(i + 6, &["Get", "Post", "Do", "Head", "PostForm"])
                    && c.text(i + 7) == "(";
                let client = c.text(i + 4) == "http" || c.text(i + 4).to_ascii_lowercase().contains("client");
                answer
                    && client
                    && c.function_at(i).is_some_and(|function| {
                        let closed =
                            |at: usize| c.text(at) == c.text(i) && c.reads(at + 1, &[".", "Body", ".", "Close"]);
                        let handed_on = |at: usize| c.text(at) == "return" && c.text(at + 1) == c.text(i);
                        !(i..function.body.end).any(|at| closed(at) || handed_on(at))
                    })
            })
        },
    },
];
