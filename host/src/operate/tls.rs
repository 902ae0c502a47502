//! Accepts TLS connections of operators.
//!
//! A handshake takes as long as its client lets it, so each runs in a task of its own, for a bounded time, and a bounded
//! number of them at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use crate::server::Tls;

/// The longest time of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The most handshakes at once. Others wait for their turn in the queue of the system.
const MOST_HANDSHAKES: usize = 64;

/// A listener whose connections are those that have come through a handshake.
pub(super) struct TlsListener {
    inner: TcpListener,
    tls: Arc<Tls>,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(super) fn new(inner: TcpListener, tls: Arc<Tls>) -> Self {
        Self { inner, tls, handshakes: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let has_room = self.handshakes.len() < MOST_HANDSHAKES;
            tokio::select! {
                (stream, client) = Listener::accept(&mut self.inner), if has_room => {
                    let handshake = self.tls.acceptor().accept(stream);
                    self.handshakes.spawn(async move {
                        match tokio::time::timeout(HANDSHAKE, handshake).await {
                            Ok(Ok(stream)) => Some((stream, client)),
                            Ok(Err(error)) => {
                                tracing::debug!(%client, %error, "a handshake with the admin listener failed");
                                None
                            }
                            Err(_) => None,
                        }
                    });
                }
                Some(ended) = self.handshakes.join_next() => {
                    if let Ok(Some(accepted)) = ended {
                        return accepted;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}
