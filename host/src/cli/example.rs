//! Makes requests by the schemas that endpoints declare: for `coinslot test`, which sends them, and for `coinslot dev`,
//! which prints one.

mod form;
mod keywords;
mod request;
mod steps;
mod text;
mod values;

pub(super) use request::{ExampleRequest, ForbiddenRequest};
