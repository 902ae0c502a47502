//! Implements the handler, the client and the clock on WASI 0.2, with the event loop of `wstd`.

use std::time::Duration;

/// Bodies of `wasi:http`.
mod body;

/// Requests to other servers.
mod client;
pub(crate) use client::send;

/// The exported handler.
mod handler;

/// Waits for at most as long as the clock can tell.
pub(crate) async fn sleep(duration: Duration) {
    wstd::task::sleep(duration.into()).await;
}
