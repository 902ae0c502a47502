//! The host functions that an operator can grant a plugin, and the log of what its guests print.

pub(crate) mod config;
pub(crate) mod egress;
pub(crate) mod keyvalue;
pub(crate) mod log;
