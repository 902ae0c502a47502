//! Outgoing HTTP of guests.
//!
//! A guest reaches what its operator allows, and nothing by default; while it describes itself or quotes a price it
//! reaches nothing at all. The stock client of `wasmtime-wasi-http` is not compiled in, so nothing else can send.

mod address;
mod allowed;
mod client;
mod connect;
mod emptiness;
mod loop_guard;
mod origin;
mod provenance;
mod response;
mod send;

pub use self::allowed::Allowed;
pub(crate) use self::client::EgressClient;
#[cfg(test)]
pub(crate) use self::connect::Resolving;
pub(crate) use self::connect::{Resolve, SystemResolver};
pub use self::origin::Origin;
pub(crate) use self::provenance::Provenance;
pub use self::provenance::{OutgoingCall, OutgoingEnd, OutgoingObserver};
pub(crate) use self::send::{Egress, OutgoingResult};
