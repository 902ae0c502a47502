//! The part of `wasi:http` that differs between versions of WASI: the handler, requests to other servers, and the
//! clock.

/// WASI 0.2, on the event loop of `wstd`.
mod v2;
pub(crate) use v2::{send, sleep};
