//! Serves the JSON-RPC over HTTP/1.1: one POST is one request or batch. It answers the preflight requests of browser
//! wallets, and limits connections, bodies and times.
//!
//! A browser lets any web page send requests to this machine, also without a preflight request. It names the page in the
//! header `origin`, which no page can leave out of a POST. So the methods that mine, revert and write state are for
//! programs, for pages of this machine, and for wallets, and all pages may use what every node of a chain offers.

#![expect(clippy::disallowed_types, reason = "the embedded chain's JSON-RPC is a server of its own")]

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coinslot_base::accept::{NewConnection, accept};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::node::Node;
use super::rpc::{self, Rights};

/// Largest body of a request, in bytes. A transaction has up to 128 KiB, twice that in hexadecimal, and a batch has
/// several.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Most connections at a time; more wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 1_024;

/// Longest time for the headers of a request, and again for its body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time that a shutdown waits for the requests in progress.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until stopped, and then until the requests in progress have ended or the timeout has passed. Connections are
/// tasks of `tasks`.
pub(super) async fn serve(listener: TcpListener, node: Arc<Node>, stop: CancellationToken, tasks: TaskTracker) {
    let abort = CancellationToken::new();
    let open = accept(listener, MAX_CONNECTIONS, stop.cancelled(), |new| {
        tasks.spawn(connection(new, Arc::clone(&node), abort.clone()));
    })
    .await;
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, open.shutdown()).await.is_err() {
        tracing::debug!("requests to the embedded chain were still in progress when it stopped");
    }
    // Connections that did not finish in time end here, so that `tasks` can be waited for.
    abort.cancel();
}

async fn connection(new: NewConnection, node: Arc<Node>, abort: CancellationToken) {
    let NewConnection { stream, watcher, permit, peer: _ } = new;
    let service = service_fn(move |request| respond(Arc::clone(&node), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let served = tokio::select! {
        served = watcher.watch(connection) => served,
        () = abort.cancelled() => Ok(()),
    };
    drop(permit);
    if let Err(error) = served {
        tracing::trace!(%error, "a connection to the embedded chain ended with an error");
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
    let rights = rights(request.headers());
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    let body = match tokio::time::timeout(READ_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Ok(answer(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()));
        }
        Ok(Err(_)) => return Ok(answer(StatusCode::BAD_REQUEST, Bytes::new())),
        Err(_) => return Ok(answer(StatusCode::REQUEST_TIMEOUT, Bytes::new())),
    };
    // An execution may take a fraction of a second, and would hold up the other connections of this thread.
    let answered = tokio::task::spawn_blocking(move || rpc::answer(&node, rights, &body)).await;
    // `parking_lot` locks are not poisoned by a panic, so the chain goes on for later requests.
    let body = answered.unwrap_or_else(|error| {
        tracing::error!(%error, "a request to the embedded chain panicked");
        Some(rpc::internal_error())
    });
    Ok(answer(StatusCode::OK, body.unwrap_or_default().into()))
}

/// The rights of a request, by the page that a browser names.
fn rights(headers: &HeaderMap) -> Rights {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => Rights::Developer,
        (Some(origin), None) if origin.to_str().is_ok_and(is_of_developer) => Rights::Developer,
        (Some(_), _) => Rights::User,
    }
}

/// True for the origin of a page that this machine serves, and of an extension of the browser, such as a wallet.
fn is_of_developer(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    if scheme.ends_with("-extension") {
        return true;
    }
    // A port follows the last colon; those of an IPv6 address are in brackets.
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    // RFC 6761: names below localhost are this machine.
    let is_local = host == "localhost" || host.ends_with(".localhost");
    let is_loopback = host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()) || host == "[::1]";
    matches!(scheme, "http" | "https") && (is_local || is_loopback)
}

/// Makes a response that every web page may read: a browser wallet calls from the page that uses it, and the chain
/// holds nothing of value.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_and_wallets_are_the_developers() {
        let local = ["http://localhost:5173", "https://localhost", "http://shop.localhost:8402", "http://127.0.0.1:1"];
        let wallets = ["http://[::1]:8402", "chrome-extension://abc", "safari-web-extension://abc"];
        for origin in local.into_iter().chain(wallets) {
            assert!(is_of_developer(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://app.example",
            "https://localhost.example",
            "https://localhost:x@app.example",
            "https://127.0.0.1.example",
            "https://10.0.0.1",
            "file://localhost",
        ] {
            assert!(!is_of_developer(origin), "{origin}");
        }
    }
}
