//! The rules, by language.
//!
//! A rule finds places; its texts are data. Rules do not look at the text inside strings and comments, unless they are
//! about it.

/// A rule.
mod rule;

/// Walks over a file and collects the places where a rule is broken.
mod scanner;

/// Recognises strings by their content.
mod text;

/// Rules for every language.
mod common;

/// Rules for Go, except for those about errors.
mod go;

/// Rules for the handling of errors in Go.
mod go_errors;

/// Follows chains of calls in scripts.
mod promises;

/// Rules for Python, except for those about security.
mod python;

/// Rules for security in Python.
mod python_security;

/// Rules for Rust.
mod rust;

/// Rules for JavaScript and TypeScript.
mod script;

/// Rules for TypeScript only.
mod typescript;

use super::code::Code;
use super::types::Language;
pub(super) use rule::Rule;
pub(super) use scanner::Hit;
use scanner::Scanner;

/// The rules of a language.
pub(super) fn of(language: Language) -> impl Iterator<Item = &'static Rule> {
    let (own, more): (&[Rule], &[Rule]) = match language {
        Language::Rust => (rust::RULES, &[]),
        Language::Python => (python::RULES, python_security::RULES),
        Language::Javascript => (script::RULES, &[]),
        Language::Typescript => (script::RULES, typescript::RULES),
        Language::Go => (go::RULES, go_errors::RULES),
    };
    common::RULES.iter().chain(own).chain(more)
}

/// The places where a rule is broken.
pub(super) fn apply(rule: &Rule, code: &Code<'_>) -> Vec<Hit> {
    let mut scanner = Scanner::new(code);
    (rule.find)(&mut scanner);
    scanner.hits
}
