//! Reads JSON from outside: one object, without duplicate keys, not deeper than [`MAX_DEPTH`].
//!
//! Errors name keys and positions, never values.

use coinslot_base::json::{self, Bounds};
use serde_json::Value;

use crate::Object;

/// The deepest nesting of objects and arrays. Payments need 5 levels; schemas in echoed extensions need more.
pub const MAX_DEPTH: u8 = 32;

/// The most memory of one object, in bytes. A header of 16 KiB cannot take a quarter of it.
const MAX_MEMORY: usize = 4 << 20;

/// The reason why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ObjectError {
    #[error("it is empty")]
    Empty,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it is not JSON, from line {line} column {column} on")]
    Syntax { line: usize, column: usize },
    /// A rule of the reader is broken.
    #[error("{0}")]
    Refused(json::JsonError),
    #[error("it is JSON, but not an object")]
    NotObject,
}

/// Reads one object and nothing after it.
pub(super) fn object(json: &[u8]) -> Result<Object, ObjectError> {
    let json = std::str::from_utf8(json).map_err(|_| ObjectError::NotUtf8)?;
    if json.trim_ascii().is_empty() {
        return Err(ObjectError::Empty);
    }
    let bounds = Bounds { depth: MAX_DEPTH.into(), memory: MAX_MEMORY };
    match json::parse(json.as_bytes(), bounds) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ObjectError::NotObject),
        // Its own reason would repeat what the document holds.
        Err(json::JsonError::Syntax { line, column, .. }) => Err(ObjectError::Syntax { line, column }),
        Err(refused) => Err(ObjectError::Refused(refused)),
    }
}
