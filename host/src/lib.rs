//! Coinslot: drop in a `.wasm`, get a paid endpoint.
//!
//! The rooms below stand in the order in which a request meets them; each file's header says what the
//! room owns. A room never imports what `tests/it/rooms.rs` forbids it.
//!
//! A paid request: `serve` reads it, `route` finds its endpoint in the generation of `catalog` that
//! is in force, `payment` takes it through its states (with the rules of `x402`, the amounts of
//! `price`, the memory of `ledger`, the plugin of `plugin`, and the `facilitator` who knows the
//! `chain`), and `respond` says how the end looks. A free request goes from `route` to `plugin`.
//!
//! Invariants, and where they are kept:
//! - one router decides price and handler (`route`, `catalog`); free is a variant, not a zero;
//! - nothing remote happens before everything local has passed (`payment::serve`);
//! - a payment buys one answer: the claim is one durable step (`ledger::Ledger::claim`);
//! - no body without settlement: the answer is private to `payment::Executed` until `Settled`;
//! - a timeout is not a refusal (`facilitator::Settlement` has three outcomes);
//! - a plugin's room does not know money exists (`plugin` imports none of it).

#[cfg(feature = "fault-points")]
mod fault_points;

/// What an operator decides: types, defaults, and `coinslot.toml`.
pub mod config;

/// The commands.
pub mod cli;

/// A host in this process: built, served, and shut down.
pub mod host;

/// Sockets and limits.
pub mod server;

/// Generations of plugins and endpoints.
pub mod catalog;

/// A priced route of a plugin.
pub mod endpoint;

/// Method and path to endpoint.
pub mod route;

/// The paid story as typed states.
pub mod payment;

/// How everything looks to a client.
pub mod respond;

/// Paying other endpoints.
pub mod wallet;
