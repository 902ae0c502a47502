//! Holds code that several packages share, and that does not depend on payments, chains or plugins.
//!
//! Every module but [`client`], [`text`] and [`units`] is behind a feature of its name, and `own_key` behind `private`.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests run guests and read answers themselves"
    )
)]

#[cfg(feature = "accept")]
pub mod accept;
#[cfg(feature = "breaker")]
pub mod breaker;
pub mod client;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "offload")]
pub mod offload;
#[cfg(feature = "private")]
pub mod own_key;
#[cfg(feature = "private")]
pub mod private;
#[cfg(feature = "recent-use")]
pub mod recent_use;
#[cfg(feature = "request-id")]
pub mod request_id;
#[cfg(feature = "seal")]
pub mod seal;
pub mod text;
pub mod units;
