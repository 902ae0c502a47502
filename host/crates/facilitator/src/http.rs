//! Serves the local facilitator to other servers: `GET /supported`, `POST /verify`, `POST /settle`
//! and `GET /health`. Source: x402 specification v2, section 7.
//!
//! A refused payment is an answer (200) with the payer and a reason; 400 is for a body that is no payment request,
//! and 503 for an end that is not known. A settlement under way goes on when its client hangs up. We cannot know that
//! callers keep a record of payments, so a success is reported once ([`Local::settle_once`]).

#![expect(
    clippy::disallowed_types,
    reason = "`coinslot facilitator` is a server of its own, with the protocol's statuses"
)]

mod answer;
mod read;
mod reply;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::U256;
use coinslot_base::accept::{NewConnection, accept};
use http::header::AUTHORIZATION;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use answer::{health, settlement, verification};
use read::read;
use reply::{JsonResponse, failure, not_allowed, reply, unavailable};

use super::Facilitator;
use super::local::Local;

/// The time that a client has to send its headers, and then its body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections at once; more wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 1_024;

/// The time that open connections and settlements have after the shutdown has begun.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);

/// The service: the facilitator, and the clients that may use it.
#[derive(Clone)]
pub struct Service {
    facilitator: Arc<Local>,
    /// SHA-256 of the expected `Authorization` header.
    authorization: Option<[u8; 32]>,
    /// In wei: with less, `/health` answers 503.
    min_gas: U256,
    settlements: TaskTracker,
}

impl Service {
    /// Serves every client that can connect.
    pub fn new(facilitator: Arc<Local>) -> Self {
        Self {
            facilitator,
            authorization: None,
            // 0.00001 ether: a hundred transfers on a cheap chain, less than one on a dear one.
            min_gas: U256::from(10_000_000_000_000_u64),
            settlements: TaskTracker::new(),
        }
    }

    /// Serves `/verify` and `/settle` only to clients that send `Authorization: Bearer` with the token.
    pub fn with_bearer(mut self, token: &str) -> Self {
        self.authorization = Some(Sha256::digest(format!("Bearer {token}")).into());
        self
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("facilitator", &self.facilitator).finish_non_exhaustive()
    }
}

/// Serves until `shutdown` ends, then waits for open requests and settlements, up to [`SHUTDOWN_TIMEOUT`].
pub async fn serve(listener: TcpListener, service: Service, shutdown: impl Future<Output = ()>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    // The watch is dropped with this future, and never ends by itself.
    let facilitator = service.facilitator.clone();
    let watch = AbortOnDropHandle::new(tokio::spawn(async move { facilitator.watch().await }));
    let graceful = accept(listener, MAX_CONNECTIONS, shutdown, |connection| {
        tokio::spawn(converse(service.clone(), builder.clone(), connection));
    })
    .await;
    // Settlements are tasks of their own, so those of clients that hung up outlive their connections.
    service.settlements.close();
    let finished = async {
        graceful.shutdown().await;
        service.settlements.wait().await;
    };
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, finished).await.is_err() {
        tracing::warn!("stopped with settlements under way; the chain knows how they end");
    }
    drop(watch);
}

/// Serves one connection.
async fn converse(service: Service, builder: auto::Builder<TokioExecutor>, connection: NewConnection) {
    let NewConnection { stream, peer: _, watcher, permit } = connection;
    let first_request = Arc::new(Notify::new());
    let notify = Arc::clone(&first_request);
    let served = builder.serve_connection(
        TokioIo::new(stream),
        service_fn(move |request| {
            // Ends the first wait below: from here on hyper's clock limits the time for headers.
            notify.notify_one();
            let service = service.clone();
            async move { Ok::<_, Infallible>(answer(&service, request).await) }
        }),
    );
    let mut served = std::pin::pin!(watcher.watch(served));
    // The timer is for a client that sends nothing: hyper's own clock starts only when it knows the protocol's version.
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = first_request.notified() => served.await,
        () = tokio::time::sleep(READ_TIMEOUT) => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended badly");
    }
    drop(permit);
}

async fn answer(service: &Service, request: Request<Incoming>) -> JsonResponse {
    let method = request.method().clone();
    match (request.uri().path(), &method) {
        ("/supported", &Method::GET) => match service.facilitator.supported().await {
            Ok(supported) => reply(StatusCode::OK, &supported),
            Err(error) => unavailable(&error),
        },
        ("/health", &Method::GET) => health(service).await,
        ("/verify" | "/settle", &Method::POST) => {
            let settle = request.uri().path() == "/settle";
            if !authorized(service, &request) {
                let error = "this facilitator wants `Authorization: Bearer` with its token";
                return failure(StatusCode::UNAUTHORIZED, error);
            }
            match read(request).await {
                Ok(payment) if settle => settlement(service, payment).await,
                Ok(payment) => verification(service, &payment).await,
                Err(reply) => *reply,
            }
        }
        ("/supported" | "/health", _) => not_allowed("GET"),
        ("/verify" | "/settle", _) => not_allowed("POST"),
        _ => failure(StatusCode::NOT_FOUND, "there are GET /supported, POST /verify, POST /settle and GET /health"),
    }
}

fn authorized(service: &Service, request: &Request<Incoming>) -> bool {
    let Some(expected) = &service.authorization else {
        return true;
    };
    // Hashes are compared, so that the time does not show how much of a guess is right.
    request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|sent| <[u8; 32]>::from(Sha256::digest(sent.as_bytes())) == *expected)
}
