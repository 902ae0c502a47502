//! Makes requests by the schemas that endpoints declare: for documents that show one, and for commands that send or print
//! one.

mod form;
mod keywords;
mod request;
mod steps;
mod text;
mod values;

pub(crate) use keywords::kind;
pub use request::{AskedRequest, ExampleRequest, ForbiddenRequest};
pub(crate) use values::value_within;
