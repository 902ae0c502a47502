//! Says why a form does not fit its type.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use crate::refusal::{Refusal, escaped};

/// A form that does not fit its type, as a sentence for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormError {
    key: Option<String>,
    /// The keyword of a schema that says the same; empty if none does.
    rule: &'static str,
    problem: String,
}

impl FormError {
    pub(super) fn new(rule: &'static str, problem: impl fmt::Display) -> Self {
        Self { key: None, rule, problem: problem.to_string() }
    }

    /// The same error, about the value of this key.
    pub(super) fn at(self, key: &str) -> Self {
        Self { key: self.key.or_else(|| Some(key.to_owned())), ..self }
    }

    /// The refusal that says this: `part` is the JSON pointer to what the form is.
    pub(crate) fn refusal(self, code: &'static str, part: &str, message: String) -> Refusal {
        let field = self.key.map(|key| format!("/{}", escaped(&key)));
        Refusal::bad_request(code, message).at(format!("{part}{}", field.unwrap_or_default()), self.rule)
    }
}

impl Error for FormError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::new("", problem)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new("type", format_args!("{unexpected} stands where {expected} is wanted"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new("enum", format_args!("unknown variant `{variant}`, write one of: {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let problem = format_args!("no such field; there are: {}", expected.join(", ")).to_string();
        Self::new("additionalProperties", problem).at(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("required", "it is missing").at(field)
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "`{key}`: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl std::error::Error for FormError {}
