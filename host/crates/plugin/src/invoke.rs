//! Answers one request with an instance.
//!
//! The instance lives in a future that the caller polls: first until the head of the response exists, then, inside of
//! the body, until the guest has ended. The response counts as whole only when the guest has ended without a fault.
//! Nothing is spawned, so dropping the future or the body ends the guest. A shared instance is the exception: a task
//! drives it, and the future only waits for the end of the request in it ([`shared`](crate::instance::shared)).

mod body;
mod circuit_report;
mod head;
mod quote;
mod request;
mod run;
mod start;
mod streaming;

pub(crate) use self::quote::quote;
pub(crate) use self::run::invoke;
