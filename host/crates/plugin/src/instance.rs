//! Instances of a component: engines, stores, limits, and how instances are reused.

pub(crate) mod context;
pub(crate) mod engine;
pub(crate) mod guest_task;
pub(crate) mod meter;
pub(crate) mod offload;
pub(crate) mod pool;
pub(crate) mod shared;
pub(crate) mod store;
pub(crate) mod timed;
