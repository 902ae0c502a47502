//! How people and service managers end a program.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Ctrl-C and SIGTERM, heard from the moment of listening: one that comes early is not lost.
#[derive(Debug)]
pub(super) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Starts to listen; the signals no longer end the program by themselves.
    pub(super) fn listen() -> Result<Self, Failure> {
        let heard = |kind| signal(kind).map_err(|error| Failure::new(format!("signals cannot be heard: {error}")));
        Ok(Self { interrupt: heard(SignalKind::interrupt())?, terminate: heard(SignalKind::terminate())? })
    }

    /// Ends at the first of them.
    pub(super) async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
