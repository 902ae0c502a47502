//! Sockets, header and time limits, graceful shutdown; one task per connection, the guest inside it.
//!
//! What a request means is decided in `front`. Nothing here knows the ledger's store, wasmtime or a chain.

mod front;

use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};

pub use front::{Front, Hosts};

/// Headers of one request, in total: a payment header of 16 KiB and ample room for the rest.
const MAX_HEADERS: usize = 64 * 1024;
/// Header fields of one request.
const MAX_FIELDS: usize = 128;
/// How long a client may take to send its headers, and to keep an idle HTTP/1 connection.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// Streams of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 256;
/// How long a shutdown waits for connections and payments at work.
const DRAIN: Duration = Duration::from_secs(30);

/// Serves until `shutdown`, then finishes what is at work.
///
/// Payments that a client no longer waits for are finished too; whatever is still unfinished after
/// the deadline is in the ledger, and recovery finishes it at the next start.
pub async fn run(listener: TcpListener, front: Arc<Front>, shutdown: impl Future<Output = ()>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
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
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connection(&builder, &graceful, &front, stream),
                Err(error) => {
                    // Out of file descriptors, most likely: let some close.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    front.close();
    let at_work = front.at_work();
    if at_work > 0 {
        tracing::info!(payments = at_work, "finishing what is at work");
    }
    let drained = tokio::time::timeout(DRAIN, async {
        graceful.shutdown().await;
        front.drain().await;
    });
    if drained.await.is_err() {
        tracing::warn!(
            payments = front.at_work(),
            "stopped before everything was finished; recovery goes on at the next start"
        );
    }
}

fn connection(
    builder: &Arc<auto::Builder<TokioExecutor>>,
    graceful: &GracefulShutdown,
    front: &Arc<Front>,
    stream: TcpStream,
) {
    // Answers are written whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let front = Arc::clone(front);
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, std::convert::Infallible>(front.answer(request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}
