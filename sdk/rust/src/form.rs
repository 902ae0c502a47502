//! Reads path parameters and queries into types, through serde.
//!
//! Every value is text; a type that wants a number or a boolean gets the text parsed. A key that occurs several times
//! fills a list, and is refused where one value is wanted. Invariant: nothing is guessed; text that does not parse is
//! an error that names the key.

/// Splitting and percent-decoding.
mod decode;

/// The error.
mod error;

/// Names and values into a type.
mod fields;

/// The values of one key into a type.
mod value;

#[cfg(test)]
mod tests;

pub(crate) use decode::{Pairs, decode, parse_query};
pub(crate) use fields::{path, query};
