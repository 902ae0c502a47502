//! Accepts TCP connections: at most this many at once, and until a shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The pause of the loop after an error. The process is then most likely out of file descriptors (EMFILE,
/// ENFILE), of which it gets more when other connections end.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// A connection that was just accepted, and what has to live as long as it is served.
#[derive(Debug)]
pub struct NewConnection {
    /// TCP_NODELAY is set: an answer is written whole, and waiting to fill a segment would only delay it.
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// Tells the connection to finish its requests when [`GracefulShutdown::shutdown`] is called, which then
    /// waits until this is dropped.
    pub watcher: Watcher,
    pub permit: ConnectionPermit,
}

/// The permit of one open connection, of which there are `max_connections`. Dropping it lets the next one be accepted.
#[derive(Debug)]
#[must_use]
pub struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
}

/// Accepts connections until `shutdown` ends, and gives each to `serve`, which has to return at once: it spawns a
/// task. When `max_connections` are open, more wait in the kernel's backlog.
///
/// An error of accept(2) is logged and does not end the loop. When this returns, the listener is closed, and the
/// connections that are still open finish through the returned [`GracefulShutdown`].
pub async fn accept(
    listener: TcpListener,
    max_connections: usize,
    shutdown: impl Future<Output = ()>,
    serve: impl FnMut(NewConnection),
) -> GracefulShutdown {
    accept_from(|| listener.accept(), max_connections, shutdown, serve).await
}

/// The loop, over anything that yields connections.
async fn accept_from<N: Future<Output = io::Result<(TcpStream, SocketAddr)>>>(
    mut next: impl FnMut() -> N,
    max_connections: usize,
    shutdown: impl Future<Output = ()>,
    mut serve: impl FnMut(NewConnection),
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(max_connections));
    let mut was_full = false;
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            // The permit comes first: without one, connections stay in the backlog, where they cost us nothing.
            let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
            match next().await {
                Ok((stream, peer)) => Some((stream, peer, permit)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ERROR_PAUSE).await;
                    None
                }
            }
        };
        // Cancel safe: tokio's `accept` takes no connection before it is ready, so dropping the future loses none.
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => return graceful,
        };
        let is_full = permits.available_permits() == 0;
        // Logged once each time that it becomes full, not once for each connection.
        if is_full && !was_full {
            tracing::warn!(max_connections, "as many connections are open as allowed; new ones wait");
        }
        was_full = is_full;
        let Some((stream, peer, permit)) = accepted else { continue };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let permit = ConnectionPermit { _permit: permit };
        serve(NewConnection { stream, peer, watcher: graceful.watcher(), permit });
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Long enough for anything that should happen on this machine.
    const SOON: Duration = Duration::from_secs(10);
    /// Long enough to see that nothing happens.
    const A_WHILE: Duration = Duration::from_millis(200);

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_connection_above_the_limit_waits_until_a_permit_is_dropped() {
        let (listener, address) = listener().await;
        let (sender, mut accepted) = mpsc::unbounded_channel();
        tokio::spawn(accept(listener, 1, pending(), move |connection| sender.send(connection).unwrap()));
        let (_one, _two) = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let first = accepted.recv().await.unwrap();
        assert!(tokio::time::timeout(A_WHILE, accepted.recv()).await.is_err());
        drop(first.permit);
        tokio::time::timeout(SOON, accepted.recv()).await.expect("the second is accepted").unwrap();
    }

    #[tokio::test]
    async fn an_error_pauses_the_loop_and_does_not_end_it() {
        let (listener, address) = listener().await;
        let _client = TcpStream::connect(address).await.unwrap();
        let (sender, mut accepted) = mpsc::unbounded_channel();
        let (listener, mut calls) = (&listener, 0);
        let next = || {
            calls += 1;
            async move {
                match calls {
                    // EMFILE
                    1..=3 => Err(io::Error::from_raw_os_error(24)),
                    _ => listener.accept().await,
                }
            }
        };
        let started = std::time::Instant::now();
        let accepting = accept_from(next, 1, pending(), |connection| sender.send(connection).unwrap());
        tokio::select! {
            _ = accepting => unreachable!("nothing shuts it down"),
            connection = accepted.recv() => drop(connection),
        }
        assert!(started.elapsed() >= 3 * ERROR_PAUSE);
    }

    #[tokio::test]
    async fn a_shutdown_closes_the_listener_and_waits_for_open_connections() {
        let (listener, address) = listener().await;
        let (sender, mut accepted) = mpsc::unbounded_channel();
        let (shut_down, signal) = oneshot::channel::<()>();
        let shutdown = async { signal.await.unwrap() };
        let accepting = tokio::spawn(accept(listener, 8, shutdown, move |connection| sender.send(connection).unwrap()));
        let _client = TcpStream::connect(address).await.unwrap();
        let connection = accepted.recv().await.unwrap();
        shut_down.send(()).unwrap();
        let graceful = accepting.await.unwrap();
        TcpStream::connect(address).await.expect_err("the listener is closed");
        let mut ended = tokio::spawn(graceful.shutdown());
        assert!(tokio::time::timeout(A_WHILE, &mut ended).await.is_err());
        drop(connection);
        tokio::time::timeout(SOON, ended).await.expect("the last connection has ended").unwrap();
    }
}
