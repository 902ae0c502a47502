//! The capabilities that an operator can grant a plugin, and the log of what its guests print.

pub(crate) mod config;
pub(crate) mod egress;
mod granted;
pub(crate) mod keyvalue;
pub(crate) mod log;

pub use self::config::{Grants, Quota, Secret, SecretError, SecretPlace};
pub use self::egress::{Allowed, Origin, OutgoingCall, OutgoingEnd, OutgoingObserver};
pub(crate) use self::granted::Capabilities;
