//! Checks requests against the JSON Schemas that plugins declare, before anyone pays.
//!
//! A schema comes from a plugin and an input from any client, and both may be made to be expensive. So the module takes
//! nothing that the library would look up outside of the schema, matches patterns in linear time only, counts the steps
//! of each check, and gives up at a bound ([`budget`]). At load it finds what can never work: references that lead out
//! of the schema or in a circle, and alternatives that multiply ([`document`]).
//!
//! It knows no prices. `payment` decides when an input is checked, and `respond` what a client reads.

mod answer;
mod body;
mod budget;
mod coerce;
mod compile;
mod describe;
mod document;
mod error;
mod form;
mod input;
mod mismatch;
mod multipart;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod unenforced;

pub use answer::{AnswerSchema, checked};
pub use compile::SchemaCompiler;
pub use describe::{DescribedBody, DescribedField, DescribedInput, PlacedSchema, describe_input, without_annotations};
pub(crate) use document::{escaped, unescaped};
pub use error::{SchemaError, SchemaFault};
pub use input::{CheckFailure, Effort, Input, InputPart, InputRefusal, InputSchema};
pub(crate) use text::{essence, is_text};
pub use unenforced::{DeclaredSchema, Unenforced, checks_itself};
