//! Names what the host does not enforce of a declared schema.
//!
//! A schema that the host cannot enforce does not keep its plugin from being loaded: the plugin may have served before
//! hosts enforced schemas, and its own checks stay. Operators and authors are told instead.

use std::fmt;

use coinslot_plugin::EndpointInfo;

use super::error::{SchemaError, SchemaFault};

/// A declared schema of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredSchema {
    Input,
    Output,
}

/// A schema, or a pattern of one, that is not enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unenforced {
    pub schema: DeclaredSchema,
    pub error: SchemaError,
    /// True if the rest of the schema is enforced.
    pub is_part: bool,
}

impl Unenforced {
    /// The whole of a schema.
    pub fn whole(schema: DeclaredSchema, error: SchemaError) -> Self {
        Self { schema, error, is_part: false }
    }

    /// A pattern of a schema, at this place.
    pub(super) fn pattern(schema: DeclaredSchema, pointer: String) -> Self {
        Self { schema, error: SchemaError { pointer, fault: SchemaFault::UnmatchedPattern }, is_part: true }
    }
}

/// True if the plugin's quote refuses what does not fit the input schema, by the rules of its own language.
pub fn checks_itself(declared: &EndpointInfo) -> bool {
    declared.extensions.iter().any(|(key, by)| key == "input-check" && by == "plugin")
}

impl fmt::Display for DeclaredSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input-schema",
            Self::Output => "output-schema",
        })
    }
}

impl fmt::Display for Unenforced {
    /// `input-schema is not enforced: at ..`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schema, error, is_part } = self;
        let what = if *is_part { "one pattern of " } else { "" };
        write!(f, "{what}{schema} is not enforced: {error}")
    }
}
