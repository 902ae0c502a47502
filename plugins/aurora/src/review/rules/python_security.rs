//! Rules for security in Python.

use super::rule::Rule;
use super::text::{is_secret_name, is_sql};
use crate::review::types::Severity::{Error, Warning};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "python/eval",
        severity: Error,
        message: "`{}` runs text as code.",
        suggestion: "Parse what you expect: `ast.literal_eval`, `json.loads`, or a table of functions.",
        find: |s| {
            s.tokens(|c, i| c.is(i, &["eval", "exec"]) && c.text(i + 1) == "(" && !matches!(c.before(i), "." | "def"))
        },
    },
    Rule {
        id: "python/sql-injection",
        severity: Error,
        message: "SQL is built from strings: an injection when any part comes from outside.",
        suggestion: "Pass values as parameters: `execute(\".. WHERE id = %s\", (id,))`.",
        find: |s| {
            s.tokens(|c, i| {
                let Some(text) = c.string(i).filter(|text| is_sql(text)) else {
                    return false;
                };
                let prefix: String = text.chars().take_while(|sign| sign.is_ascii_alphabetic()).collect();
                let formatted = prefix.to_ascii_lowercase().contains('f') && text.contains('{');
                formatted
                    || c.is(i + 1, &["%", "+"])
                    || c.reads(i + 1, &[".", "format", "("])
                    || (c.before(i) == "+" && i > 1)
            })
        },
    },
    Rule {
        id: "python/shell",
        severity: Error,
        message: "A shell interprets the command line: an injection when any part comes from outside.",
        suggestion: "Pass a list of arguments to `subprocess.run` without `shell=True`.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["shell", "=", "True"])
                    || (c.reads(i, &["os", ".", "_", "("]) && c.is(i + 2, &["system", "popen"]))
            })
        },
    },
    Rule {
        id: "python/unsafe-load",
        severity: Error,
        message: "Loading this format from untrusted bytes runs code.",
        suggestion: "Use JSON, or `yaml.safe_load`.",
        find: |s| {
            s.tokens(|c, i| {
                let pickle = c.is(i, &["pickle", "marshal", "dill", "shelve"])
                    && c.text(i + 1) == "."
                    && c.is(i + 2, &["load", "loads", "open"])
                    && c.text(i + 3) == "(";
                let yaml =
                    c.reads(i, &["yaml", ".", "load", "("]) && !c.inside(i + 3).any(|at| c.text(at).contains("Safe"));
                pickle || yaml
            })
        },
    },
    Rule {
        id: "python/tls-off",
        severity: Error,
        message: "Certificates are not verified, so anyone between can read and change the traffic.",
        suggestion: "Point `verify` to the authority's file instead.",
        find: |s| s.tokens(|c, i| c.reads(i, &["verify", "=", "False"]) || c.text(i) == "_create_unverified_context"),
    },
    Rule {
        id: "python/weak-hash",
        severity: Warning,
        message: "`{}` is broken as a security hash.",
        suggestion: "Use `sha256`; for passwords `hashlib.scrypt` or argon2. For checksums say `usedforsecurity=False`.",
        find: |s| {
            s.places(|c, i| {
                (c.reads(i, &["hashlib", "."])
                    && c.is(i + 2, &["md5", "sha1"])
                    && !c.holds(c.inside(i + 3), &["usedforsecurity"]))
                .then_some(i + 2)
            })
        },
    },
    Rule {
        id: "python/weak-random",
        severity: Warning,
        message: "`random` is predictable, and this looks like a secret.",
        suggestion: "Use the `secrets` module.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["random", ".", "_", "("])
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
        id: "python/debug-server",
        severity: Warning,
        message: "The server runs in debug mode, which lets visitors run code.",
        suggestion: "Take it from the environment, off by default.",
        find: |s| {
            s.tokens(|c, i| {
                c.reads(i, &["debug", "=", "True"])
                    && (i.saturating_sub(20)..i).any(|at| c.reads(at, &[".", "run", "("]))
            })
        },
    },
];
