//! How people and service managers end a program.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Failure;

/// Ctrl-C and SIGTERM, heard from the moment of listening: one that comes early is not lost.
#[derive(Debug)]
pub(super) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

/// Which of them came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Interrupt,
    Terminate,
}

impl Interrupt {
    /// Starts to listen; the signals no longer end the program by themselves.
    pub(super) fn listen() -> Result<Self, Failure> {
        let heard = |kind| signal(kind).map_err(|error| Failure::new(format!("signals cannot be heard: {error}")));
        Ok(Self { interrupt: heard(SignalKind::interrupt())?, terminate: heard(SignalKind::terminate())? })
    }

    /// Ends at the first of them.
    pub(super) async fn heard(&mut self) {
        self.next().await;
    }

    /// Runs a server that finishes what is at work when its argument ends, which is at the first signal.
    /// A second one does not wait for that: the server is dropped, and the exit code is the shell's
    /// for a program that a signal ended, 130 or 143.
    pub(super) async fn govern<S>(
        mut self,
        server: impl FnOnce(WaitForCancellationFutureOwned) -> S,
    ) -> Result<(), Failure>
    where
        S: Future<Output = ()>,
    {
        let stop = CancellationToken::new();
        let mut server = std::pin::pin!(server(stop.clone().cancelled_owned()));
        tokio::select! {
            () = &mut server => return Ok(()),
            _ = self.next() => {}
        }
        eprintln!("coinslot: finishing what is at work; a second signal (Ctrl-C) ends at once");
        stop.cancel();
        let code = tokio::select! {
            () = &mut server => return Ok(()),
            heard = self.next() => match heard {
                Heard::Interrupt => 130,
                Heard::Terminate => 143,
            },
        };
        Err(Failure { code, message: "ended at once by a second signal: what was at work is not finished".to_owned() })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.interrupt.recv() => Heard::Interrupt,
            _ = self.terminate.recv() => Heard::Terminate,
        }
    }
}
