//! Ends a server at Ctrl-C or SIGTERM: gracefully at the first signal, at once at the second.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Failure;
use crate::logging;

/// The signals that ask a program to end. They are received from the call of [`Shutdown::listen`] on, so that one that
/// comes while a host is still being built is not lost.
#[derive(Debug)]
pub(super) struct Shutdown {
    interrupt: Signal,
    terminate: Signal,
}

/// The signal that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndSignal {
    Interrupt,
    Terminate,
}

impl Shutdown {
    /// Starts to listen; the signals no longer end the program by themselves.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::new(format!("signals cannot be received: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the first signal.
    pub(super) async fn wait(&mut self) {
        self.next().await;
    }

    /// Runs a server that begins to shut down when its argument completes, which is at the first signal.
    ///
    /// A second signal drops the server before it has finished. The exit code is then the shell's for a program that
    /// was ended by a signal: 130 or 143.
    pub(super) async fn run<S>(
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
        logging::say("coinslot: finishing what is at work; a second signal (Ctrl-C) ends at once");
        stop.cancel();
        let code = tokio::select! {
            () = &mut server => return Ok(()),
            signal = self.next() => match signal {
                EndSignal::Interrupt => 130,
                EndSignal::Terminate => 143,
            },
        };
        Err(Failure { code, message: "ended at once by a second signal: what was at work is not finished".to_owned() })
    }

    async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.interrupt.recv() => EndSignal::Interrupt,
            _ = self.terminate.recv() => EndSignal::Terminate,
        }
    }
}
