//! Instances that answer several requests at once, where the operator allows it for a plugin.
//!
//! Each shared instance is driven by a task of its own ([`worker`]), to which requests are sent. A request holds a
//! [`RequestSlot`] of the instance for as long as its response is wanted, so dropping that future gives the slot back.
//!
//! A shared instance takes the permits of a running instance when its first request comes, and gives them back when
//! its last request has left; in between it counts as idle. It is dropped when it has no request and accepts none any
//! more: its requests are used up, its guest failed, or a request left early (wasmtime cannot cancel one guest task
//! alone).
//!
//! The design is that of wasmtime's `ProxyHandler` with its `Worker`s, except that a response is tied to the body's
//! reader: here a slow reader slows its guest task, and a fault after the head reaches the body.

mod instances;
mod list;
mod mailbox;
mod occupants;
mod request_task;
mod slot;
mod worker;

pub(crate) use self::instances::SharedInstances;
pub(crate) use self::mailbox::SharedRequest;
pub(crate) use self::occupants::Companions;
