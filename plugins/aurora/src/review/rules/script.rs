//! Rules for JavaScript and TypeScript, and those for TypeScript alone.

use super::super::Severity::{Error, Info, Warning};
use super::super::code::Code;
use super::super::lex::Kind;
use super::{Rule, is_secret_name, is_sql};

pub(in super::super) const RULES: &[Rule] = &[
    Rule {
        id: "js/loose-equality",
        severity: Warning,
        message: "`{}` converts types before it compares.",
        suggestion: "Use `===` or `!==`; only `== null` is a useful idiom.",
        find: |c, h| h.each(c, |c, i| c.is(i, &["==", "!="]) && c.text(i + 1) != "null" && c.before(i) != "null"),
    },
    Rule {
        id: "js/var",
        severity: Warning,
        message: "`var` belongs to the function, not to the block.",
        suggestion: "Use `const`, or `let` if it changes.",
        find: |c, h| h.each(c, |c, i| c.reads(i, &["var", "_"]) && c.before(i) != "."),
    },
    Rule {
        id: "js/console",
        severity: Info,
        message: "Output for debugging was left in.",
        suggestion: "Remove it, or use a logger with levels.",
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            for i in 0..c.len() {
                let property = c.is(i, &["innerHTML", "outerHTML"]) && c.before(i) == "." && c.is(i + 1, &["=", "+="]);
                let call = c.is(i, &["insertAdjacentHTML"]) && c.text(i + 1) == "("
                    || c.reads(i, &["document", ".", "write", "("]);
                if (property && c.string(i + 2) != Some("\"\"") && c.string(i + 2) != Some("''"))
                    || call
                    || (c.text(i) == "dangerouslySetInnerHTML" && c.is(i + 1, &["=", ":"]))
                {
                    h.at(c, i);
                }
            }
        },
    },
    Rule {
        id: "js/eval",
        severity: Error,
        message: "Text is run as code.",
        suggestion: "Parse what you expect (`JSON.parse`), look functions up in a table, and give timers functions.",
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            for i in 0..c.len() {
                if floats(c, i) {
                    h.at(c, i);
                }
            }
        },
    },
    Rule {
        id: "js/then-without-catch",
        severity: Warning,
        message: "A `.then` chain without `.catch`.",
        suggestion: "Add `.catch`, or use `await` within `try`.",
        find: |c, h| {
            h.each(c, |c, i| {
                if !(c.reads(i, &["then", "("]) && c.before(i) == ".") || super::parts(c, c.inside(i + 1)) > 1 {
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
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| h.each(c, |c, i| c.reads(i, &["parseInt", "("]) && super::parts(c, c.inside(i + 1)) == 1),
    },
    Rule {
        id: "js/nan-comparison",
        severity: Error,
        message: "Nothing equals NaN, not even NaN.",
        suggestion: "Use `Number.isNaN(x)`.",
        find: |c, h| {
            h.each(c, |c, i| c.is(i, &["==", "===", "!=", "!=="]) && (c.text(i + 1) == "NaN" || c.before(i) == "NaN"))
        },
    },
    Rule {
        id: "js/assignment-in-condition",
        severity: Warning,
        message: "An assignment where a comparison is expected.",
        suggestion: "Write `===`, or assign on the line above.",
        find: |c, h| {
            for i in 0..c.len() {
                if c.is(i, &["if", "while"]) && c.text(i + 1) == "(" && c.before(i) != "." {
                    let range = c.inside(i + 1);
                    if c.kind(range.start) == Some(Kind::Word) && c.text(range.start + 1) == "=" {
                        h.at(c, range.start + 1);
                    }
                }
            }
        },
    },
    Rule {
        id: "js/weak-random",
        severity: Warning,
        message: "`Math.random` is predictable, and this looks like a secret.",
        suggestion: "Use `crypto.randomUUID()` or `crypto.getRandomValues`.",
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| h.each(c, |c, i| c.text(i) == "await" && c.before(i) != "for" && c.in_loop(i)),
    },
    Rule {
        id: "js/throw-literal",
        severity: Warning,
        message: "A thrown string has no stack and is no `Error`.",
        suggestion: "Throw `new Error(..)`.",
        find: |c, h| h.each(c, |c, i| c.reads(i, &["throw", "\""])),
    },
    Rule {
        id: "js/async-executor",
        severity: Warning,
        message: "An async promise executor swallows what it throws.",
        suggestion: "Write an async function instead of `new Promise(async ..)`.",
        find: |c, h| h.each(c, |c, i| c.reads(i, &["new", "Promise", "(", "async"])),
    },
    Rule {
        id: "js/weak-hash",
        severity: Warning,
        message: "MD5 and SHA-1 are broken as security hashes.",
        suggestion: "Use `sha256`; for passwords scrypt or argon2.",
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            h.each(c, |c, i| {
                c.reads(i, &["for", "("]) && c.is(i + 2, &["const", "let", "var"]) && c.text(i + 4) == "in"
            })
        },
    },
];

pub(in super::super) const TYPED: &[Rule] = &[
    Rule {
        id: "ts/any",
        severity: Warning,
        message: "`any` switches type checking off for all that touches it.",
        suggestion: "Use `unknown` and narrow it, or write the type.",
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| {
            for comment in &c.comments {
                if comment.text.contains("@ts-ignore") || comment.text.contains("@ts-nocheck") {
                    h.token(comment, String::new());
                }
            }
        },
    },
    Rule {
        id: "ts/non-null",
        severity: Info,
        message: "`!` claims that a value is there without checking.",
        suggestion: "Check it, and return or throw if it is absent.",
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| h.each(c, |c, i| c.reads(i, &["as", "unknown", "as"]) || c.reads(i, &["as", "any", "as"])),
    },
    Rule {
        id: "ts/wrapper-type",
        severity: Warning,
        message: "`{}` is too wide as a type.",
        suggestion: "Use the primitive (`string`, `number`, `boolean`), or the exact object or function type.",
        find: |c, h| {
            h.each(c, |c, i| {
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
        find: |c, h| h.each(c, |c, i| c.reads(i, &["=", "require", "(", "\""])),
    },
];

/// From a called name: the index behind the chain of calls and members, and the indices of its names.
fn chain(c: &Code<'_>, from: usize) -> (usize, Vec<usize>) {
    let (mut at, mut names) = (from, vec![from]);
    at += 1;
    loop {
        match c.text(at) {
            "(" | "[" => match c.close(at) {
                Some(close) => at = close + 1,
                None => return (c.len(), names),
            },
            "." | "?." => {
                names.push(at + 1);
                at += 2;
            }
            _ => return (at, names),
        }
    }
}

/// A statement that is nothing but the call of an async function.
fn floats(c: &Code<'_>, at: usize) -> bool {
    if c.kind(at) != Some(Kind::Word) || c.text(at + 1) != "(" || !c.begins_statement(at) || c.before(at) == "." {
        return false;
    }
    let name = c.text(at);
    let is_async = name == "fetch"
        || c.functions.iter().any(|function| function.is_async && function.name == name && function.at != at);
    let (end, names) = chain(c, at);
    let ends = matches!(c.text(end), "" | ";" | "}") || c.tokens.get(end).is_none_or(|token| token.first);
    is_async && ends && !names.iter().any(|name| c.is(*name, &["catch", "then"]))
}

/// Whether the statement around `at` begins with the expression itself, so that nobody gets its value.
fn is_dropped(c: &Code<'_>, at: usize) -> bool {
    let mut first = at;
    while first > 0 {
        match c.before(first) {
            ")" | "]" => first = c.close(first - 1).unwrap_or(first - 1),
            "." | "?." => first -= 1,
            _ if c.tokens[first].text == "." || c.tokens[first].text == "?." || c.is(first, &["(", "["]) => first -= 1,
            _ => break,
        }
    }
    c.begins_statement(first) && c.before(first) != "=>" && !c.is(first, &["return", "await", "const", "let", "void"])
}
