//! Coinslot: drop in a `.wasm`, get a paid endpoint.
//!
//! The package puts a host together: commands, configuration, sockets, the catalogue of plugins, and the states of a
//! paid request. The protocol, chains, facilitators, the ledger and the sandbox are packages of their own under
//! `host/crates`. `host/docs/architecture.md` is the map: the road of a request, what each package never depends on,
//! tasks, cancellation and crashes. `host/docs/design.md` has the reasons, and the numbered rules of money.
//!
//! The modules stand in the order in which a paid request meets them: `server` reads it, `route` finds its endpoint in
//! the active generation of `catalog`, `payment` takes it through its states, and `respond` writes the response. A free
//! request goes from `route` to the plugin.
//!
//! Invariants, and where they are kept:
//! - price and handler come from one table (`catalog`, `route`); free is a variant, not a zero;
//! - nothing remote happens before everything local has passed (`payment`);
//! - a payment buys one answer: the claim is one durable step (`coinslot_ledger::Ledger::claim`);
//! - no answer leaves before it is settled: it is private to `payment::Executed` until `payment::Settled`;
//! - a timeout is not a refusal (`coinslot_facilitator::Settlement` has three values);
//! - the package that runs plugins does not know that money exists (`coinslot-plugin` depends on none about payments).

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests run guests and read answers themselves"
    )
)]

#[cfg(feature = "fault-points")]
mod fault_points;

mod explorer;
mod path_events;
mod reconcile;
mod refund;

/// Shows operators what a host does: metrics, and the admin listener with its API.
pub mod operate;

/// Parses arguments and prints: the commands of the binary.
pub mod cli;

/// Builds a host from its configuration and serves it, in this process.
pub mod host;

/// Copies the state of a host into one file beside the running host, and makes a state of such a file.
pub mod backup;

/// Writes the log to stderr without waiting for whoever reads it.
pub mod logging;

/// Parses `coinslot.toml` into typed values, and reports every problem at once.
pub mod config;

/// Accepts connections within limits, and takes each request from its head to its reply.
pub mod server;

/// Finds the endpoint of a method and a path.
pub mod route;

/// Generations of active plugins and their priced endpoints, swapped whole.
pub mod catalog;

/// A priced route of a plugin.
pub mod endpoint;

/// How long the last answers of an endpoint took.
mod recent;

/// Looks at JSON without building it.
mod json_text;

/// Checks requests against the schemas that plugins declare, in bounded time and memory.
pub mod schema;

/// The parts of a resource's URL that a sign-in names.
mod place;

/// Makes requests by the schemas that endpoints declare.
pub mod example;

/// Declares endpoints to facilitators that list what is sold.
mod bazaar;

/// Publishes what is sold: documents for directories and agents, and pages for people.
pub mod discover;

/// Decides who is served without a payment, and who may not pay.
pub mod allowance;

/// The states of a paid request, from its payment header to the settled answer.
pub mod payment;

/// Writes every response: status, error code, headers.
pub mod respond;

/// Checks endpoints as directories and stock clients would.
pub mod doctor;

/// Signs payments and sign-ins for other endpoints.
pub mod wallet;
