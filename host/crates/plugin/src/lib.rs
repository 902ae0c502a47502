//! Runs untrusted WebAssembly components that serve HTTP: loading, instances, limits and capabilities.
//!
//! This package does not know that money exists. It hands a guest the receipt that it was given, as words, and it
//! passes on the prices that a guest declares, as words. A guest answers a request only with a [`Permit`].
//!
//! ```text
//! runtime, handle    a runtime loads plugins, and a plugin answers requests
//! load, invoke       from bytes to a linked component; from a request to a response
//! package            what an author packed into a component about it
//! instance           engines, stores, limits, and the reuse of instances
//! capabilities       host functions that an operator grants
//! contract, fault    types that the rest of the host sees
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests run guests and read answers themselves"
    )
)]

mod bindings;
mod breaker;
mod capabilities;
mod contract;
mod fault;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handle;
mod headers;
mod instance;
mod invoke;
mod limits;
mod load;
mod output;
mod package;
mod pause;
mod permit;
mod runtime;
mod status;
mod template;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

pub use coinslot_base::breaker::BreakerSettings;

pub use self::breaker::CircuitPermit;
pub use self::capabilities::{
    Allowed, Grants, Origin, OutgoingCall, OutgoingEnd, OutgoingObserver, Quota, Secret, SecretError, SecretPlace,
};
pub use self::contract::{
    DeclaredPrice, EndpointInfo, PaymentReceipt, PluginInfo, QuoteRefusal, QuoteRequest, QuotedPrice, RequestBody,
    RequestBodyError, ResponseBody,
};
pub use self::fault::{Circuit, Fault, LoadError};
pub use self::handle::{Plugin, PluginUsage, StoreUsage};
pub use self::headers::{FAILED, HostOnly};
pub use self::instance::MeteredAmount;
pub use self::instance::engine::MAX_INSTANCES;
pub use self::instance::permits::PoolUsage;
pub use self::limits::{Limits, OutgoingTimeouts, PluginPolicies, PluginPolicy, Reuse};
pub use self::load::{
    Ask, Capability, CompilePriority, Import, Inspection, Tool, compile_main, description_problem, inspect, is_name,
    summary_problem,
};
pub use self::output::{GuestOutput, OutputLevel, OutputLine};
pub use self::package::{Package, PackageError, PackageFacts, PackedComponent, PackedSource, PackedTool};
pub use self::pause::PausedPlugins;
pub use self::permit::{Client, Permit, RunObserver};
pub use self::runtime::{Runtime, RuntimeConfig};
pub use self::status::Verdict;
pub use self::template::{Segment, Template, TemplateError, split_segment};
