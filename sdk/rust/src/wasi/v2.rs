//! WASI 0.2, on the event loop of `wstd`.

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
