//! The error of a form that does not fit its type.

use std::fmt;

use serde::de::Error;

/// A form that does not fit its type, as a sentence for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormError {
    key: Option<String>,
    problem: String,
}

impl FormError {
    /// The same error, about the value of this key.
    pub(super) fn at(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }
}

impl Error for FormError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self { key: None, problem: problem.to_string() }
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
