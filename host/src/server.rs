//! Serves connections: sockets, limits of headers and time, TLS, graceful shutdown.
//!
//! One task serves one connection, and the guests of its requests run inside that task. `handler` decides what a
//! request means. Nothing here knows the ledger's store, wasmtime or a chain.

mod activity;
mod answer_body;
mod authority;
mod browser;
mod client_share;
mod client_stream;
mod documents;
mod endpoint_call;
mod forwarded;
mod free;
mod handler;
mod mcp;
mod observer;
mod read_turns;
mod response;
mod streams;
#[cfg(test)]
mod tests;
mod tls;
mod trace_context;
mod unread;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coinslot_base::accept::{ConnectionPermit, NewConnection, accept};
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use activity::{Activity, Timeouts};
pub use authority::Hosts;
use client_share::{ClientShares, SharePermit};
use client_stream::ClientStream;
pub use handler::{Peer, RequestHandler};
pub(crate) use observer::method_name;
pub use observer::{RequestObserver, RequestOutcome, RequestReport};
use read_turns::{ReadTurns, TurnStream};
use streams::StreamExecutor;
pub use tls::{Identity, Tls, TlsError};

/// The greatest size of the headers of one request, in bytes: a payment header of 16 KiB and ample room for the rest.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The greatest number of header fields of one request.
const MAX_HEADER_FIELDS: usize = 128;
/// The longest time in which a host that ends gives back what it interrupts.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest time of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The greatest number of streams of one HTTP/2 connection at once: the least that RFC 9113 (6.5.2) recommends.
const MAX_STREAMS: u32 = 100;
/// The most that one HTTP/2 stream sends ahead of its client, in bytes, beside a last piece.
const SEND_BUFFER: usize = 16 << 10;
/// The bytes that the kernel takes ahead of what it has sent on a connection.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 << 10;
/// One client may hold one part in this many of all connections by default, and at least this number of them.
const CLIENT_PART: usize = 32;
const LEAST_CLIENT_SHARE: usize = 64;
/// The interval of HTTP/2 pings, which find out whether the client is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The limits of connections, and the steps of a shutdown.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The greatest number of open connections; more wait in the kernel's backlog.
    pub max_connections: usize,
    /// The greatest number of open connections of one client, where its address is known; others are closed at once.
    /// None: 1/32 of all, and at least 64.
    pub max_connections_per_client: Option<usize>,
    /// The time that a client may take from connecting to the headers of its first request, and for the headers of
    /// each other request.
    pub header_timeout: Duration,
    /// On HTTP/1: the time for which a connection waits for its next request.
    pub keep_alive: Duration,
    /// The time in which a client has to take something of its answer.
    pub stall_timeout: Duration,
    /// On HTTP/2: the time after which a connection without requests is ended.
    pub unused_timeout: Duration,
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
            max_connections_per_client: None,
            header_timeout: Duration::from_secs(30),
            // Longer than load balancers keep an idle connection (60 s): a host that closes first may meet a request
            // that is already on its way.
            keep_alive: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(60),
            unused_timeout: Duration::from_secs(300),
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
    let protocol = Arc::new(protocol(settings.stall_timeout));
    let shares = ClientShares::new(settings.client_share());
    let turns = ReadTurns::default();
    let (close, closing) = watch::channel(());
    let leaving = async {
        shutdown.await;
        handler.leave();
        tokio::time::sleep(settings.shutdown_delay).await;
    };
    let graceful = accept(listener, settings.max_connections, leaving, |new| {
        let NewConnection { stream, peer, watcher, permit } = new;
        let peer = peer.ip();
        let share = if handler.is_client(peer) {
            // A client above its share is turned away.
            let Some(share) = shares.take(peer) else { return };
            Some(share)
        } else {
            None
        };
        limit_sending(&stream, settings.stall_timeout);
        let connection = ClientConnection {
            protocol: Arc::clone(&protocol),
            handler: Arc::clone(&handler),
            closing: closing.clone(),
            timeouts: settings.timeouts(),
            permits: (permit, share, watcher),
        };
        let turns = turns.of(peer);
        let stream = TurnStream::new(stream, Arc::clone(&turns));
        match &settings.tls {
            None => drop(tokio::spawn(turns.run(connection.serve(stream, Peer { ip: peer, tls: false })))),
            Some(tls) => drop(tokio::spawn(turns.run(connection.serve_tls(stream, peer, Arc::clone(tls))))),
        }
    })
    .await;
    // The listener is closed. Requests that still come on open connections are refused, so that the drain has an end.
    handler.close();
    drop(close);
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
        // A disk that hangs keeps no host from its end: the next start gives back what is without an end.
        let _ = tokio::time::timeout(INTERRUPT_TIMEOUT, handler.interrupt()).await;
        let payments = handler.at_work();
        tracing::warn!(payments, "stopped before everything was finished; recovery goes on at the next start");
    }
}

impl ServerSettings {
    /// The greatest number of connections of one client.
    fn client_share(&self) -> usize {
        let part = || (self.max_connections / CLIENT_PART).max(LEAST_CLIENT_SHARE);
        self.max_connections_per_client.unwrap_or_else(part)
    }

    const fn timeouts(&self) -> Timeouts {
        Timeouts {
            headers: self.header_timeout,
            keep_alive: self.keep_alive,
            stalled: self.stall_timeout,
            unused: self.unused_timeout,
        }
    }
}

/// Has the kernel give up a client that confirms nothing of what was sent, and take no more than a little ahead of it.
///
/// The kernel also gives up a client that reads, and whose window is closed most of the time, so its time-out is five
/// times ours. It would take megabytes ahead, and then nothing until a third of them has left: a client that reads
/// slowly would look like one that does not read.
fn limit_sending(stream: &TcpStream, timeout: Duration) {
    #[cfg(target_os = "linux")]
    {
        let milliseconds = u32::try_from(timeout.saturating_mul(5).as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT cannot be set");
        }
        if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT) {
            tracing::debug!(%error, "TCP_NOTSENT_LOWAT cannot be set");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, timeout);
}

/// HTTP/1.1 and HTTP/2 with this host's limits.
fn protocol(stalled: Duration) -> auto::Builder<StreamExecutor> {
    let mut builder = auto::Builder::new(StreamExecutor::new(stalled));
    builder
        .http1()
        // `activity` has a cheaper clock for this than hyper, whose timer costs as much as an unpaid request.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADER_FIELDS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL);
    builder
}

/// A connection that is about to be served.
struct ClientConnection {
    protocol: Arc<auto::Builder<StreamExecutor>>,
    handler: Arc<RequestHandler>,
    /// Ends when the host shuts down.
    closing: watch::Receiver<()>,
    timeouts: Timeouts,
    /// Held until the connection's task ends: the permits limit the number of open connections, and the shutdown waits
    /// for the watcher.
    permits: (ConnectionPermit, Option<SharePermit>, Watcher),
}

impl ClientConnection {
    /// Serves after the TLS handshake, which counts as the time to the first headers.
    async fn serve_tls(self, stream: TurnStream<TcpStream>, ip: IpAddr, tls: Arc<Tls>) {
        let timeout = self.timeouts.headers.min(HANDSHAKE_TIMEOUT);
        match tokio::time::timeout(timeout, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream, Peer { ip, tls: true }).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    /// Serves the requests of a connection until either side ends it, or the client takes too long.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let Self { protocol, handler, mut closing, timeouts, permits } = self;
        let activity = Arc::new(Activity::default());
        let stream = TokioIo::new(ClientStream::new(stream, Arc::clone(&activity)));
        let of_requests = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| handler.call(request, peer, &of_requests));
        // For this connection alone: it is told to end when the host shuts down, and when no request comes for long.
        let graceful = GracefulShutdown::new();
        let connection = graceful.watcher().watch(protocol.serve_connection(stream, service).into_owned());
        let leave = async {
            tokio::select! {
                _ = closing.changed() => {}
                () = activity.unused(timeouts.unused) => tracing::debug!("an unused connection is told to end"),
            }
            graceful.shutdown().await;
        };
        tokio::select! {
            ended = connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
            // `leave` never ends before the connection does.
            () = leave => {}
            overdue = activity.overdue(timeouts) => tracing::debug!(?overdue, "a connection is closed"),
        }
        drop(permits);
    }
}
