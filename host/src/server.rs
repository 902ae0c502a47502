//! Sockets, header and time limits, graceful shutdown; one task per connection, the guest inside it.
//!
//! What a request means is decided in `handler`. Nothing here knows the ledger's store, wasmtime or a chain.

mod forwarded;
mod handler;
mod idle;
#[cfg(test)]
mod tests;
mod tls;
mod unread;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use handler::{Hosts, Peer, RequestHandler};
use idle::{Activity, ActivityIo};
pub use tls::{Identity, Tls, TlsError};

/// Headers of one request, in total: a payment header of 16 KiB and ample room for the rest.
const MAX_HEADERS: usize = 64 * 1024;
/// Header fields of one request.
const MAX_FIELDS: usize = 128;
/// How long a TLS handshake may take, at most.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 256;

/// What bounds connections.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// At once; more wait in the kernel's backlog.
    pub connections: usize,
    /// How long a client may take from connecting to the headers of its first request, and on HTTP/1
    /// from each answer to the headers of the next.
    pub headers: Duration,
    /// How long it serves on once it is to end, and says that it is not ready: so long a load balancer may take to
    /// notice.
    pub linger: Duration,
    /// How long a shutdown then waits for connections and payments at work.
    pub drain: Duration,
    /// None: without TLS.
    pub tls: Option<Arc<Tls>>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            connections: 10_000,
            headers: Duration::from_secs(30),
            linger: Duration::ZERO,
            drain: Duration::from_secs(30),
            tls: None,
        }
    }
}

/// Serves until `shutdown`, then finishes what is at work.
///
/// Payments that a client no longer waits for are finished too; whatever is still unfinished after
/// the deadline is in the ledger, and recovery finishes it at the next start.
pub async fn run(
    listener: TcpListener,
    handler: Arc<RequestHandler>,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Of its own accord it would wait for ever, or 30 seconds once it has a timer: `idle` does it.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADERS)
        .max_headers(MAX_FIELDS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADERS).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Duration::from_secs(20));
    let builder = Arc::new(builder);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(settings.connections));
    let mut full = false;
    let leaving = async {
        shutdown.await;
        handler.leave();
        tokio::time::sleep(settings.linger).await;
    };
    let mut shutdown = std::pin::pin!(leaving);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        let was_full = std::mem::replace(&mut full, places.available_permits() == 0);
        if full && !was_full {
            tracing::warn!(connections = settings.connections, "as many connections as allowed: new ones wait");
        }
        match (accepted, place) {
            (Ok((stream, peer)), Ok(place)) => {
                let held = Held { _place: place, headers: settings.headers, peer: peer.ip() };
                let serving = Serving {
                    builder: Arc::clone(&builder),
                    handler: Arc::clone(&handler),
                    watcher: graceful.watcher(),
                    held,
                };
                connection(serving, stream, settings.tls.as_deref());
            }
            (Err(error), _) => {
                // Out of file descriptors, most likely: let some close.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // The places are never closed.
            (Ok(_), Err(_)) => break,
        }
    }
    drop(listener);
    handler.close();
    let at_work = handler.at_work();
    if at_work > 0 {
        tracing::info!(payments = at_work, "finishing what is at work");
    }
    let drained = tokio::time::timeout(settings.drain, async {
        graceful.shutdown().await;
        handler.drain().await;
    });
    if drained.await.is_err() {
        tracing::warn!(
            payments = handler.at_work(),
            "stopped before everything was finished; recovery goes on at the next start"
        );
    }
}

/// What a connection has while it is open.
struct Held {
    _place: OwnedSemaphorePermit,
    headers: Duration,
    peer: IpAddr,
}

/// A connection that is about to be served.
struct Serving {
    builder: Arc<auto::Builder<TokioExecutor>>,
    handler: Arc<RequestHandler>,
    watcher: Watcher,
    held: Held,
}

fn connection(serving: Serving, stream: TcpStream, tls: Option<&Tls>) {
    // Answers are written whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        tokio::spawn(serving.converse(stream, false));
        return;
    };
    let acceptor = tls.acceptor();
    tokio::spawn(async move {
        let patience = serving.held.headers.min(HANDSHAKE);
        match tokio::time::timeout(patience, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serving.converse(stream, true).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    });
}

impl Serving {
    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, tls: bool) {
        let Self { builder, handler, watcher, held } = self;
        let (peer, activity) = (Peer { ip: held.peer, tls }, Arc::new(Activity::default()));
        let stream = ActivityIo { stream: TokioIo::new(stream), activity: Arc::clone(&activity) };
        let activity_io = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| {
            if request.version() == Version::HTTP_2 {
                activity_io.multiplexed();
            }
            handler.answer(request, peer, &activity_io)
        });
        let connection = builder.serve_connection(stream, service).into_owned();
        let ended = tokio::select! {
            ended = watcher.watch(connection) => ended,
            () = activity.overdue(held.headers) => {
                tracing::debug!("a connection without a request is closed");
                return;
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(held);
    }
}
