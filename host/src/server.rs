//! Serves connections: sockets, limits of headers and time, TLS, graceful shutdown.
//!
//! One task serves one connection, and the guests of its requests run inside that task. `handler` decides what a
//! request means. Nothing here knows the ledger's store, wasmtime or a chain.

mod authority;
mod forwarded;
mod handler;
mod idle;
mod response;
#[cfg(test)]
mod tests;
mod tls;
mod unread;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coinslot_base::accept::{ConnectionPermit, NewConnection, accept};
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

pub use authority::Hosts;
pub use handler::{Peer, RequestHandler};
use idle::{Activity, ActivityIo};
pub use tls::{Identity, Tls, TlsError};

/// The greatest size of the headers of one request, in bytes: a payment header of 16 KiB and ample room for the rest.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The greatest number of header fields of one request.
const MAX_HEADER_FIELDS: usize = 128;
/// The longest time of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The greatest number of streams of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 256;
/// The interval of HTTP/2 pings, which find out whether the client is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The limits of connections, and the steps of a shutdown.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The greatest number of open connections; more wait in the kernel's backlog.
    pub max_connections: usize,
    /// The time that a client may take from connecting to the headers of its first request, and on HTTP/1 from each
    /// answer to the headers of the next request.
    pub header_timeout: Duration,
    /// The time after a shutdown signal for which the host serves on and reports that it is not ready, so that a load
    /// balancer notices. As a preStop delay in Kubernetes.
    pub shutdown_delay: Duration,
    /// The time that a shutdown then waits for connections and payments at work.
    pub drain_timeout: Duration,
    /// None: without TLS.
    pub tls: Option<Arc<Tls>>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            tls: None,
        }
    }
}

/// Serves until `shutdown`, and then finishes the requests and payments at work.
///
/// Payments that a client no longer waits for are finished, too. A payment that is still unfinished after the drain
/// timeout is in the ledger, and recovery finishes it at the next start.
pub async fn run(
    listener: TcpListener,
    handler: Arc<RequestHandler>,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()>,
) {
    let protocol = Arc::new(protocol());
    let leaving = async {
        shutdown.await;
        handler.leave();
        tokio::time::sleep(settings.shutdown_delay).await;
    };
    let graceful = accept(listener, settings.max_connections, leaving, |new| {
        let NewConnection { stream, peer, watcher, permit } = new;
        let (protocol, handler) = (Arc::clone(&protocol), Arc::clone(&handler));
        let connection =
            ClientConnection { protocol, handler, watcher, header_timeout: settings.header_timeout, permit };
        match &settings.tls {
            None => drop(tokio::spawn(connection.serve(stream, Peer { ip: peer.ip(), tls: false }))),
            Some(tls) => drop(tokio::spawn(connection.serve_tls(stream, peer.ip(), Arc::clone(tls)))),
        }
    })
    .await;
    // The listener is closed. Requests that still come on open connections are refused, so that the drain has an end.
    handler.close();
    let at_work = handler.at_work();
    if at_work > 0 {
        tracing::info!(payments = at_work, "finishing the payments at work");
    }
    let drained = tokio::time::timeout(settings.drain_timeout, async {
        // Connections first: a request that is being answered may begin another payment task.
        graceful.shutdown().await;
        handler.drain().await;
    });
    if drained.await.is_err() {
        let payments = handler.at_work();
        tracing::warn!(payments, "stopped before everything was finished; recovery goes on at the next start");
    }
}

/// HTTP/1.1 and HTTP/2 with this host's limits.
fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // `idle` has a cheaper clock for this than hyper, whose timer costs as much as an unpaid request.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADER_FIELDS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL);
    builder
}

/// A connection that is about to be served.
struct ClientConnection {
    protocol: Arc<auto::Builder<TokioExecutor>>,
    handler: Arc<RequestHandler>,
    watcher: Watcher,
    header_timeout: Duration,
    /// Held until the connection's task ends: it limits the number of open connections.
    permit: ConnectionPermit,
}

impl ClientConnection {
    /// Serves after the TLS handshake, which counts as the time to the first headers.
    async fn serve_tls(self, stream: TcpStream, ip: IpAddr, tls: Arc<Tls>) {
        let timeout = self.header_timeout.min(HANDSHAKE_TIMEOUT);
        match tokio::time::timeout(timeout, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream, Peer { ip, tls: true }).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    /// Serves the requests of a connection until either side ends it, or the client takes too long for its headers.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let Self { protocol, handler, watcher, header_timeout, permit } = self;
        let activity = Arc::new(Activity::default());
        let stream = ActivityIo { stream: TokioIo::new(stream), activity: Arc::clone(&activity) };
        let of_requests = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| {
            if request.version() == Version::HTTP_2 {
                of_requests.multiplexed();
            }
            handler.call(request, peer, &of_requests)
        });
        let connection = protocol.serve_connection(stream, service).into_owned();
        tokio::select! {
            ended = watcher.watch(connection) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
            () = activity.overdue(header_timeout) => tracing::debug!("a connection without a request is closed"),
        }
        drop(permit);
    }
}
