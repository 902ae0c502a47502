//! Detects the language of a file, by its name or by its text.

use super::types::Language;

/// Detects the language by the file name's ending.
pub(super) fn by_name(name: &str) -> Option<Language> {
    let (_, ending) = name.rsplit_once('.')?;
    match ending.to_ascii_lowercase().as_str() {
        "rs" => Some(Language::Rust),
        "py" | "pyi" | "pyw" => Some(Language::Python),
        "js" | "mjs" | "cjs" | "jsx" => Some(Language::Javascript),
        "ts" | "mts" | "cts" | "tsx" => Some(Language::Typescript),
        "go" => Some(Language::Go),
        _ => None,
    }
}

/// For each language, the starts and the ends of lines that are typical of it. The order is that of `scores` below.
const SIGNS: &[(Language, &[&str], &[&str])] = &[
    (
        Language::Rust,
        &[
            "fn ",
            "pub fn ",
            "use std::",
            "use crate::",
            "impl ",
            "impl<",
            "let mut ",
            "#[",
            "pub struct ",
            "pub enum ",
            "mod ",
            "async fn ",
            "pub async fn ",
        ],
        &["-> {"],
    ),
    (
        Language::Python,
        &["def ", "elif ", "import ", "async def ", "class ", "print(", "except ", "except:", "with ", "if __name__"],
        &["):", "else:", "try:"],
    ),
    (
        Language::Go,
        &["package ", "func ", "import (", "import \"", "type ", "defer ", "go func"],
        &["err != nil {", "struct {", "interface {"],
    ),
    (
        Language::Typescript,
        &[
            "interface ",
            "export interface ",
            "type ",
            "export type ",
            "import type ",
            "enum ",
            "declare ",
            "private ",
            "public ",
            "readonly ",
        ],
        &[": void {", ": string;", ": number;", ": boolean;", ": any;"],
    ),
    (
        Language::Javascript,
        &[
            "const ",
            "let ",
            "var ",
            "function ",
            "async function ",
            "export ",
            "import {",
            "require(",
            "module.exports",
            "document.",
            "console.",
            "await ",
        ],
        &["=> {", "});"],
    ),
];

/// Detects the language by its typical lines; none if no language has any, or if two have the same number.
pub(super) fn by_text(code: &str) -> Option<Language> {
    if let Some(first) = code.lines().next().filter(|line| line.starts_with("#!")) {
        if first.contains("python") {
            return Some(Language::Python);
        }
        if first.contains("node") || first.contains("deno") || first.contains("bun") {
            return Some(Language::Javascript);
        }
    }
    let mut scores: Vec<(usize, Language)> = SIGNS.iter().map(|(language, ..)| (0, *language)).collect();
    for line in code.lines().map(str::trim).filter(|line| !line.is_empty()).take(2000) {
        for (at, (language, starts, ends)) in SIGNS.iter().enumerate() {
            let fits = starts.iter().any(|start| line.starts_with(start)) || ends.iter().any(|end| line.ends_with(end));
            scores[at].0 += usize::from(fits && plausible(*language, line));
        }
    }
    // TypeScript is a superset of JavaScript, so its own signs add to the score of JavaScript.
    let script = scores[4].0;
    let typed = scores[3].0
        + code.matches(": string").count()
        + code.matches(": number").count()
        + code.matches(": Promise<").count();
    scores[3].0 = if typed > 0 && script + scores[3].0 > 0 { script + typed } else { 0 };
    scores.sort();
    let [.., second, best] = scores.as_slice() else {
        return None;
    };
    (best.0 > second.0).then_some(best.1)
}

/// Whether a line counts for a language. A first word that several languages have counts with the punctuation of this
/// one only.
fn plausible(language: Language, line: &str) -> bool {
    let ends_colon = line.ends_with(':');
    match language {
        Language::Python if line.starts_with("import ") => !line.contains(['{', '"', '\'', ';', '(']),
        Language::Python if line.starts_with("print(") => !line.ends_with(';'),
        Language::Python if line.starts_with("class ") || line.starts_with("with ") || line.starts_with("def ") => {
            ends_colon || line.ends_with('(')
        }
        Language::Go if line.starts_with("type ") => {
            line.ends_with("struct {") || line.ends_with("interface {") || !line.contains('=')
        }
        Language::Typescript if line.starts_with("type ") => line.contains('='),
        Language::Javascript if line.starts_with("let ") => {
            !line.starts_with("let mut ") && !line.contains(": &") && !line.contains("::")
        }
        Language::Javascript if line.starts_with("const ") => {
            !line.contains(": &") && !line.contains(": u") && !line.ends_with('(')
        }
        _ => true,
    }
}
