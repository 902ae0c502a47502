//! Defines the types of inputs and answers.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that can be read from a request: `#[model]` makes one, and `Deserialize` with `JsonSchema` do.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a request",
    label = "not a type of inputs",
    note = "write `#[model]` before the struct or enum, and before those of its fields; or derive `Deserialize` and \
            `JsonSchema`"
)]
pub trait Input: DeserializeOwned + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + JsonSchema> Input for T {}

/// A type that can be written into an answer: `#[model]` makes one, and `Serialize` with `JsonSchema` do.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written into an answer",
    label = "not a type of answers",
    note = "write `#[model]` before the struct or enum, and before those of its fields; or derive `Serialize` and \
            `JsonSchema`"
)]
pub trait Output: Serialize + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + JsonSchema> Output for T {}
