//! HTTP/1.1 around the JSON-RPC: one POST, one answer; preflight answers for browser wallets; limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::node::Node;
use super::rpc;

/// Bytes of one request: a batch of transactions, the largest of which is 128 KiB in hexadecimal.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 1_024;

/// How long a client may take to send its headers, or its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a shutdown waits for the requests under way.
const FAREWELL: Duration = Duration::from_secs(5);

/// Accepts until stopped. Connections are tasks of `tasks`.
pub(super) async fn serve(listener: TcpListener, node: Arc<Node>, stop: CancellationToken, tasks: TaskTracker) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, _))) => {
                let connection = connection(stream, Arc::clone(&node), stop.clone());
                tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            (_, Err(error)) => {
                // Out of file descriptors, most likely: they come back.
                tracing::warn!(%error, "the embedded chain could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (Err(_), Ok(_)) => return,
        }
    }
}

async fn connection(stream: TcpStream, node: Arc<Node>, stop: CancellationToken) {
    // Small answers at once: a paid request waits for several of them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |request| respond(Arc::clone(&node), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::trace!(%error, "a connection to the embedded chain ended badly");
    }
}

async fn respond(node: Arc<Node>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::OPTIONS {
        return Ok(answer(StatusCode::NO_CONTENT, Bytes::new()));
    }
    if request.method() != Method::POST {
        let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, Bytes::from_static(b"POST JSON-RPC 2.0 here\n"));
        refused.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
        return Ok(refused);
    }
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Ok(answer(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()));
        }
        Ok(Err(_)) => return Ok(answer(StatusCode::BAD_REQUEST, Bytes::new())),
        Err(_) => return Ok(answer(StatusCode::REQUEST_TIMEOUT, Bytes::new())),
    };
    let answered = tokio::task::spawn_blocking(move || rpc::answer(&node, &body)).await;
    let body = answered.unwrap_or_else(|error| {
        tracing::error!(%error, "a call to the embedded chain broke");
        Some(rpc::broken())
    });
    Ok(answer(StatusCode::OK, body.unwrap_or_default().into()))
}

/// Any page may ask: a browser wallet calls from wherever it is used, and there is nothing to steal.
fn answer(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::HeaderName::from_static("access-control-allow-private-network"), "true"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
