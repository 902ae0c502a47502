//! Says why a schema cannot be enforced, and where.

use std::fmt;

use coinslot_base::text::excerpt;

use super::compile::{MAX_EVALUATIONS, MAX_PATTERNS};

/// A schema that cannot be enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// A JSON pointer to the place in the schema; empty for the schema as a whole.
    pub pointer: String,
    pub fault: SchemaFault,
}

/// The reason why a schema cannot be enforced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    #[error(
        "`{keyword}` is `{}`, which is outside of the schema and is not fetched: put what it names into `$defs`, and refer \
         to `#/$defs/NAME`",
        excerpt(reference, 80)
    )]
    Outside { keyword: &'static str, reference: String },
    #[error(
        "`{keyword}` is `{}`, and the schema has nothing there: put what it names into `$defs`, and refer to \
         `#/$defs/NAME`",
        excerpt(reference, 80)
    )]
    Missing { keyword: &'static str, reference: String },
    #[error("two subschemas have the `$id` `{}`: give each one of its own", excerpt(id, 80))]
    Ambiguous { id: String },
    #[error("`{keyword}` leads to one schema or another, by what was applied before: use `$ref`")]
    Dynamic { keyword: &'static str },
    #[error(
        "the schema refers to itself for the same value, which never ends: put the reference below `properties` or \
         `items`"
    )]
    Circle,
    #[error("its alternatives multiply, so that one value is checked thousands of times: list fewer")]
    Multiplies,
    #[error(
        "`unevaluatedProperties` and `unevaluatedItems` look at more than {MAX_EVALUATIONS} subschemas in all schemas of the \
         plugin: use `additionalProperties`, or list fewer alternatives beside them"
    )]
    TooManyEvaluations,
    #[error(
        "`{}` cannot be matched in linear time (look-around, back-references), or is too large: name the fields in \
         `properties`",
        excerpt(pattern, 80)
    )]
    Pattern { pattern: String },
    #[error(
        "it cannot be matched in linear time (look-around, back-references), or is too large: simplify it, or check it in \
         the handler"
    )]
    UnmatchedPattern,
    #[error(
        "it cannot be matched in linear time (look-around, back-references), or is too large; and beside `{beside}` no \
         pattern can be left out, because the schema would fit less without it"
    )]
    DecidingPattern { beside: &'static str },
    #[error("the schemas of the plugin have more than {MAX_PATTERNS} patterns: use fewer")]
    TooManyPatterns,
    #[error("{reason}")]
    Invalid { reason: String },
    #[error(
        "`{}` is no part of an input: its parts are `path`, `query` and `body`, and `{}` belongs below one of them",
        excerpt(name, 64),
        excerpt(name, 64)
    )]
    Part { name: String },
    #[error("its compilation ended in a panic, which is a fault of this host: report the schema")]
    Panic,
}

impl SchemaError {
    pub(super) fn at(pointer: impl Into<String>, fault: SchemaFault) -> Self {
        Self { pointer: pointer.into(), fault }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, fault } = self;
        if pointer.is_empty() { write!(f, "{fault}") } else { write!(f, "at `{pointer}`: {fault}") }
    }
}

impl std::error::Error for SchemaError {}
