//! Rules for JavaScript, which hold for TypeScript too.

use super::promises::{chain, floats, is_dropped};
use super::rule::Rule;
use super::text::{is_secret_name, is_sql};
use crate::review::lex::Kind;
use crate::review::measure;
use crate::review::types::Severity::{Error, Info, Warning};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "js/loose-equality",
        severity: Warning,
        message: "`{}` converts types before it compares.",
        suggestion: "Use `===` or `!==`; only `== null` is a useful idiom.",
        find: |s| s.tokens(|c, i| c.is(i, &["==", "!="]) && c.text(i + 1) != "null" && c.before(i) != "null"),
    },
    Rule {
        id: "js/var",
        severity: Warning,
        message: "`var` belongs to the function, not to the block.",
        suggestion: "Use `const`, or `let` if it changes.",
        find: |s| s.tokens(|c, i| c.reads(i, &["var", "_"]) && c.before(i) != "."),
    },
    Rule {
        id: "js/console",
        severity: Info,
        message: "Output for debugging was left in.",
        suggestion: "Remove it, or use a logger with levels.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["console", "."])
                    && c.is(i + 2, &["log", "debug", "dir", "trace"])
                    && c.text(i + 3) == "("
                    && !c.in_test(i)
            })
        },
    },
    Rule {
        id: "js/inner-html",
        severity: Error,
        message: "`{}` makes markup of text: script injection when any part comes from outside.",
        suggestion: "Use `textContent`, or sanitise with a library made for it.",
        find: |s| {
            s.places(|c, i| {
                let property = c.is(i, &["innerHTML", "outerHTML"]) && c.before(i) == "." && c.is(i + 1, &["=", "+="]);
                let call = c.is(i, &["insertAdjacentHTML"]) && c.text(i + 1) == "("
                    || c.reads(i, &["document", ".", "write", "("]);
                ((property && c.string(i + 2) != Some("\"\"") && c.string(i + 2) != Some("''"))
                    || call
                    || (c.text(i) == "dangerouslySetInnerHTML" && c.is(i + 1, &["=", ":"])))
                .then_some(i)
            })
        },
    },
    Rule {
        id: "js/eval",
        severity: Error,
        message: "Text is run as code.",
        suggestion: "Parse what you expect (`JSON.parse`), look functions up in a table, and give timers functions.",
        find: |s| {
            s.tokens(|c, i| {
                (c.reads(i, &["eval", "("]) && !matches!(c.before(i), "." | "function"))
                    || c.reads(i, &["new", "Function", "("])
                    || (c.is(i, &["setTimeout", "setInterval"]) && c.reads(i + 1, &["(", "\""]))
            })
        },
    },
    Rule {
        id: "js/floating-promise",
        severity: Warning,
        message: "The promise of `{}` is neither awaited nor caught, so its error is lost or ends the process.",
        suggestion: "Write `await`, return it, or add `.catch`; `void` says that this is meant.",
        find: |s| s.places(|c, i| (floats(c, i)).then_some(i)),
    },
    Rule {
        id: "js/then-without-catch",
        severity: Warning,
        message: "A `.then` chain without `.catch`.",
        suggestion: "Add `.catch`, or use `await` within `try`.",
        find: |s| {
            s.tokens(|c, i| {
                if !(c.reads(i, &["then", "("]) && c.before(i) == ".") || measure::parts(c, c.inside(i + 1)) > 1 {
                    return false;
                }
                let caught = chain(c, i).1.iter().any(|at| c.is(*at, &["catch"]));
                !caught && is_dropped(c, i)
            })
        },
    },
    Rule {
        id: "js/empty-catch",
        severity: Warning,
        message: "An exception is caught and thrown away.",
        suggestion: "Handle or log it, or say in a comment why silence is right.",
        find: |s| {
            s.tokens(|c, i| {
                let open = if c.text(i + 1) == "(" { c.close(i + 1).map_or(i, |close| close + 1) } else { i + 1 };
                let commented = || {
                    c.tokens.get(open).zip(c.tokens.get(open + 1)).is_some_and(|(from, to)| {
                        c.comments.iter().any(|comment| (from.start..to.start).contains(&comment.start))
                    })
                };
                c.text(i) == "catch" && c.before(i) == "}" && c.reads(open, &["{", "}"]) && !commented()
            })
        },
    },
    Rule {
        id: "js/async-foreach",
        severity: Error,
        message: "`{}` does not wait for async callbacks, and drops their errors.",
        suggestion: "Use `for .. of` with `await`, or `await Promise.all(items.map(..))`.",
        find: |s| {
            s.tokens(|c, i| {
                c.is(i, &["forEach", "filter", "some", "every"])
                    && c.before(i) == "."
                    && c.reads(i + 1, &["(", "async"])
            })
        },
    },
    Rule {
        id: "js/debugger",
        severity: Error,
        message: "`{}` was left in.",
        suggestion: "Remove it.",
        find: |s| {
            s.tokens(|c, i| {
                (c.text(i) == "debugger" && c.begins_statement(i) && c.text(i + 1) != ":")
                    || (c.reads(i, &["alert", "("]) && c.begins_statement(i))
            })
        },
    },
    Rule {
        id: "js/sql-injection",
        severity: Error,
        message: "SQL is built from strings: an injection when any part comes from outside.",
        suggestion: "Pass values as parameters, or use a tagged template that does.",
        find: |s| {
            s.tokens(|c, i| {
                let Some(text) = c.string(i).filter(|text| is_sql(text)) else {
                    return false;
                };
                let tagged = i > 0
                    && c.kind(i - 1) == Some(Kind::Word)
                    && c.tokens[i - 1].start + c.tokens[i - 1].text.len() == c.tokens[i].start;
                (text.starts_with('`') && text.ends_with("${") && !tagged) || c.text(i + 1) == "+"
            })
        },
    },
    Rule {
        id: "js/shell",
        severity: Error,
        message: "A shell interprets a command line with parts from elsewhere.",
        suggestion: "Use `execFile` or `spawn` with a list of arguments.",
        find: |s| {
            s.tokens(|c, i| {
                let child = c.is(i, &["exec", "execSync"])
                    && c.text(i + 1) == "("
                    && !(c.before(i) == "." && i >= 2 && !c.is(i - 2, &["child_process", "cp"]));
                child && c.string(i + 2).is_some_and(|text| text.ends_with("${") || c.text(i + 3) == "+")
            })
        },
    },
    Rule {
        id: "js/parse-int-radix",
        severity: Info,
        message: "`parseInt` without a radix.",
        suggestion: "Write `parseInt(x, 10)` or `Number(x)`.",
        find: |s| s.tokens(|c, i| c.reads(i, &["parseInt", "("]) && measure::parts(c, c.inside(i + 1)) == 1),
    },
    Rule {
        id: "js/nan-comparison",
        severity: Error,
        message: "Nothing equals NaN, not even NaN.",
        suggestion: "Use `Number.isNaN(x)`.",
        find: |s| {
            s.tokens(|c, i| c.is(i, &["==", "===", "!=", "!=="]) && (c.text(i + 1) == "NaN" || c.before(i) == "NaN"))
        },
    },
    Rule {
        id: "js/assignment-in-condition",
        severity: Warning,
        message: "An assignment where a comparison is expected.",
        suggestion: "Write `===`, or assign on the line above.",
        find: |s| {
            s.places(|c, i| {
                let head = c.is(i, &["if", "while"]) && c.text(i + 1) == "(" && c.before(i) != ".";
                let start = c.inside(i + 1).start;
                let assigns = c.kind(start) == Some(Kind::Word) && c.text(start + 1) == "=";
                (head && assigns).then_some(start + 1)
            })
        },
    },
    Rule {
        id: "js/weak-random",
        severity: Warning,
        message: "`Math.random` is predictable, and this looks like a secret.",
        suggestion: "Use `crypto.randomUUID()` or `crypto.getRandomValues`.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["Math", ".", "random", "("])
                    && c.tokens[..i]
                        .iter()
                        .rev()
                        .take(40)
                        .take_while(|token| token.line == c.tokens[i].line)
                        .any(|token| is_secret_name(token.text))
            })
        },
    },
    Rule {
        id: "js/tls-off",
        severity: Error,
        message: "Certificates are not verified, so anyone between can read and change the traffic.",
        suggestion: "Trust the authority through `ca` or `NODE_EXTRA_CA_CERTS`.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["rejectUnauthorized", ":", "false"])
                    || (c.text(i) == "NODE_TLS_REJECT_UNAUTHORIZED" && c.text(i + 1) == "=")
            })
        },
    },
    Rule {
        id: "js/await-in-loop",
        severity: Info,
        message: "Each turn of the loop waits for the one before.",
        suggestion: "If they are independent, start all and `await Promise.all(..)`, with a bound on how many.",
        find: |s| s.tokens(|c, i| c.text(i) == "await" && c.before(i) != "for" && c.in_loop(i)),
    },
    Rule {
        id: "js/throw-literal",
        severity: Warning,
        message: "A thrown string has no stack and is no `Error`.",
        suggestion: "Throw `new Error(..)`.",
        find: |s| s.tokens(|c, i| c.reads(i, &["throw", "\""])),
    },
    Rule {
        id: "js/async-executor",
        severity: Warning,
        message: "An async promise executor swallows what it throws.",
        suggestion: "Write an async function instead of `new Promise(async ..)`.",
        find: |s| s.tokens(|c, i| c.reads(i, &["new", "Promise", "(", "async"])),
    },
    Rule {
        id: "js/weak-hash",
        severity: Warning,
        message: "MD5 and SHA-1 are broken as security hashes.",
        suggestion: "Use `sha256`; for passwords scrypt or argon2.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["createHash", "(", "\""])
                    && c.string(i + 2).is_some_and(|text| {
                        matches!(text.trim_matches(['"', '\'', '`']).to_ascii_lowercase().as_str(), "md5" | "sha1")
                    })
            })
        },
    },
    Rule {
        id: "js/token-in-storage",
        severity: Warning,
        message: "A credential in web storage can be read by any script of the page.",
        suggestion: "Keep it in an HttpOnly cookie.",
        find: |s| {
            s.tokens(|c, i| {
                c.is(i, &["localStorage", "sessionStorage"])
                    && c.reads(i + 1, &[".", "setItem", "(", "\""])
                    && c.string(i + 4).is_some_and(is_secret_name)
            })
        },
    },
    Rule {
        id: "js/post-message-any",
        severity: Warning,
        message: "A message is posted to any origin.",
        suggestion: "Name the origin of the receiver.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["postMessage", "("])
                    && c.inside(i + 1).any(|at| matches!(c.string(at), Some("\"*\"" | "'*'")) && c.before(at) == ",")
            })
        },
    },
    Rule {
        id: "js/for-in-array",
        severity: Info,
        message: "`for .. in` gives keys as strings, inherited ones too.",
        suggestion: "Use `for .. of` for items, or `Object.entries`.",
        find: |s| {
            s.tokens(|c, i| c.reads(i, &["for", "("]) && c.is(i + 2, &["const", "let", "var"]) && c.text(i + 4) == "in")
        },
    },
];
