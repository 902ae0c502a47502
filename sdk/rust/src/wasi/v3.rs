//! Implements the handler, the client and the clock on WASI 0.3, with the event loop of the host: while one request
//! waits, an instance can answer others.
//!
//! Each request is a task of the host, with wakers of its own, which also wake it from the task of another request.

use std::time::Duration;

use wasip3::clocks::monotonic_clock;

/// Bodies that the plugin sends.
mod body;

/// Requests to other servers.
mod client;
pub(crate) use client::send;

/// The exported handler.
mod handler;

#[cfg(not(any(target_env = "p2", target_env = "p3")))]
compile_error!(
    "the feature `wasi3` of coinslot-sdk needs the standard library of a component: build for wasm32-wasip2, as \
     `coinslot build` does"
);

/// Waits for at most as long as the clock can tell.
pub(crate) async fn sleep(duration: Duration) {
    monotonic_clock::wait_for(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)).await;
}
