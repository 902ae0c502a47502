//! Calls the host: the payment, charges, configuration, the key-value store and outgoing HTTP.
//!
//! A component calls the imports of its world. On other targets, where unit tests run, a simulated host in memory
//! answers. Both have the same functions, so the modules above need not tell them apart.

/// Values and errors that the host returns.
mod types;
pub use types::{KeyValueError, Receipt};

/// The imports of the component.
#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
pub(crate) use component::{charge, configured, payment, send, store};

/// The simulated host of unit tests.
#[cfg(not(target_family = "wasm"))]
pub(crate) mod simulated;
#[cfg(not(target_family = "wasm"))]
pub(crate) use simulated::{charge, configured, network::send, payment, store};
