//! Says why an input does not fit, or is no value.

use coinslot_base::json::JsonError;

use crate::schema::budget::CheckExhausted;
use crate::schema::document::escaped;
use crate::schema::mismatch::Mismatch;

/// A part of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputPart {
    Path,
    Query,
    Body,
    /// The input as a whole.
    Whole,
}

/// A request whose input does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRefusal {
    pub part: InputPart,
    /// A JSON pointer to the field, such as `/query/limit`.
    pub pointer: String,
    /// The keyword of the schema, such as `maximum`; or `json`, `duplicate_name`, `encoding` or `form`. Empty if the
    /// place was too expensive to find.
    pub keyword: String,
    /// A part of a sentence.
    pub reason: String,
}

/// The reason why an input was not found to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckFailure {
    Refused(InputRefusal),
    /// The effort was not enough to tell.
    TooComplex,
}

impl From<NoValue> for CheckFailure {
    fn from(failure: NoValue) -> Self {
        match failure {
            NoValue::Refused(refusal) => Self::Refused(refusal),
            NoValue::TooLarge => Self::TooComplex,
        }
    }
}

impl From<CheckExhausted> for CheckFailure {
    fn from(CheckExhausted: CheckExhausted) -> Self {
        Self::TooComplex
    }
}

/// The reason why an input is not a value.
#[derive(Debug)]
pub(in crate::schema) enum NoValue {
    Refused(InputRefusal),
    TooLarge,
}

impl NoValue {
    pub(in crate::schema) fn refused(part: InputPart, keyword: &str, reason: String) -> Self {
        Self::Refused(InputRefusal { part, pointer: part.pointer().to_owned(), keyword: keyword.to_owned(), reason })
    }

    pub(in crate::schema) fn not_encoded(part: InputPart, name: &str) -> Self {
        let pointer = format!("{}/{}", part.pointer(), escaped(name));
        let reason = "it is not percent-encoded UTF-8: write %25 for a percent sign".to_owned();
        Self::Refused(InputRefusal { part, pointer, keyword: "encoding".to_owned(), reason })
    }
}

impl InputPart {
    fn pointer(self) -> &'static str {
        match self {
            Self::Path => "/path",
            Self::Query => "/query",
            Self::Body => "/body",
            Self::Whole => "",
        }
    }
}

impl From<JsonError> for NoValue {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::TooLarge { .. } => Self::TooLarge,
            JsonError::DuplicateKey { .. } => Self::refused(InputPart::Body, "duplicate_name", error.to_string()),
            JsonError::Syntax { .. } | JsonError::TooDeep { .. } => {
                Self::refused(InputPart::Body, "json", format!("it is not JSON: {error}"))
            }
        }
    }
}

impl From<Mismatch> for InputRefusal {
    fn from(mismatch: Mismatch) -> Self {
        let Mismatch { pointer, keyword, reason } = mismatch;
        let part = match pointer.split('/').nth(1) {
            Some("path") => InputPart::Path,
            Some("query") => InputPart::Query,
            Some("body") => InputPart::Body,
            _ => InputPart::Whole,
        };
        Self { part, pointer, keyword, reason }
    }
}
