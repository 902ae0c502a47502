//! Instances of components: engines, stores, limits, and the reuse of instances.

pub(crate) mod context;
mod cpu_slots;
pub(crate) mod engine;
pub(crate) mod exchange;
pub(crate) mod fullness;
pub(crate) mod guest_task;
pub(crate) mod host_memory;
pub(crate) mod imports;
mod instances;
mod limiter;
pub(crate) mod linked;
pub(crate) mod meter;
mod output;
mod page_faults;
pub(crate) mod permits;
pub(crate) mod pool;
pub(crate) mod processor_kind;
pub(crate) mod processors;
pub(crate) mod resources;
pub(crate) mod shared;
pub(crate) mod spec;
pub(crate) mod store;
pub(crate) mod timed;

pub(crate) use self::instances::{InstanceReuse, Instances};
pub use self::meter::MeteredAmount;
