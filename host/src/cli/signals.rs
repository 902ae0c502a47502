//! How people and service managers end a program.

use tokio::signal::unix::{SignalKind, signal};

/// Ends at Ctrl-C or SIGTERM.
pub(super) async fn interrupted() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
