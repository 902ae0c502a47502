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

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::U256;
use bytes::Bytes;
use coinslot_base::accept::{NewConnection, accept};
use coinslot_base::text::first_chars;
use coinslot_x402::facilitator::{PaymentRequest, VerifyResponse};
use coinslot_x402::{Reason, SettlementResponse};
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::local::Local;
use super::{Facilitator, Readiness, Settlement, Unavailable, Verification};

/// The largest request that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

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

type JsonResponse = Response<Full<Bytes>>;

/// Serves until `shutdown` ends, then waits for open requests and settlements, up to [`SHUTDOWN_TIMEOUT`].
pub async fn serve(listener: TcpListener, service: Service, shutdown: impl Future<Output = ()>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
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

async fn read(request: Request<Incoming>) -> Result<PaymentRequest, Box<JsonResponse>> {
    let refuse = |status, text: &str| Err(Box::new(failure(status, text)));
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = match tokio::time::timeout(READ_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "at most 64 KiB are read: a payment request has a few");
        }
        Ok(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "the body ended early"),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
    };
    match serde_json::from_slice(&body) {
        Ok(payment) => Ok(payment),
        Err(error) => refuse(
            StatusCode::BAD_REQUEST,
            &format!("not a payment request, which is {{x402Version, paymentPayload, paymentRequirements}}: {error}"),
        ),
    }
}

async fn verification(service: &Service, payment: &PaymentRequest) -> JsonResponse {
    // A payment that is called valid now could not be settled, and its seller would have worked for nothing.
    if service.facilitator.readiness() == Readiness::NoGas {
        return failure_for_now("this facilitator cannot settle now: try again later with the same payment");
    }
    let answer = match service.facilitator.verify(payment).await {
        Verification::Valid { payer, .. } => {
            VerifyResponse { is_valid: true, invalid_reason: None, invalid_message: None, payer: Some(payer) }
        }
        Verification::Invalid { reason, message, payer } => VerifyResponse {
            is_valid: false,
            invalid_reason: Some(reason),
            invalid_message: message,
            payer: Some(payer.or_else(|| named_payer(payment)).unwrap_or_default()),
        },
        Verification::Unavailable(error) => return unavailable(&error),
    };
    reply(StatusCode::OK, &answer)
}

async fn settlement(service: &Service, payment: PaymentRequest) -> JsonResponse {
    let facilitator = service.facilitator.clone();
    let payer = named_payer(&payment);
    let network = payment.network_name().to_owned();
    // A task of its own: a client that hangs up drops this future, and must not drop a settlement that was sent.
    let task = service.settlements.spawn(async move { facilitator.settle_once(&payment).await });
    let failed = |reason: String, message, transaction| SettlementResponse {
        success: false,
        error_reason: Some(reason),
        error_message: message,
        payer,
        transaction,
        network,
        amount: None,
        extensions: None,
        extra: None,
    };
    match task.await {
        Ok(Settlement::Settled(settled)) => reply(StatusCode::OK, &settled),
        Ok(Settlement::Refused { reason, message, transaction }) => {
            reply(StatusCode::OK, &failed(reason, message, transaction))
        }
        Ok(Settlement::Unknown { transaction: Some(hash), message }) => {
            tracing::warn!(transaction = hash, message, "a settlement is open");
            let reason = Reason::SettlementPending.to_string();
            let message = "the transaction has no receipt yet: ask again with the same payment";
            reply(StatusCode::OK, &failed(reason, Some(message.to_owned()), hash))
        }
        // Without a hash the protocol has no answer for it: `success` would be wrong either way.
        Ok(Settlement::Unknown { transaction: None, message }) => unavailable(&Unavailable { message }),
        Err(error) => unavailable(&Unavailable { message: error.to_string() }),
    }
}

async fn health(service: &Service) -> JsonResponse {
    match service.facilitator.gas().await {
        Ok(gas) => {
            let ready = gas.balance >= service.min_gas;
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let body = json!({
                "ready": ready,
                "network": service.facilitator.network(),
                "gasWallet": gas.address.to_string(),
                "gasBalanceWei": gas.balance.to_string(),
            });
            reply(status, &body)
        }
        Err(error) => unavailable(&error),
    }
}

/// The payer that the payload names, in at most 64 characters. Strict clients want a payer in every answer.
fn named_payer(payment: &PaymentRequest) -> Option<String> {
    payment.named_payer().map(|text| first_chars(text, 64).to_owned())
}

fn reply<T: Serialize>(status: StatusCode, body: &T) -> JsonResponse {
    let body = serde_json::to_vec(body).expect("our answers have string keys and no failing serializers");
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn failure(status: StatusCode, error: &str) -> JsonResponse {
    reply::<Value>(status, &json!({ "error": error }))
}

fn not_allowed(allowed: &'static str) -> JsonResponse {
    let mut reply = failure(StatusCode::METHOD_NOT_ALLOWED, &format!("this path answers {allowed}"));
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

/// The answer while the chain cannot be asked. The details are for the operator's log.
fn unavailable(error: &Unavailable) -> JsonResponse {
    tracing::warn!(%error, "the chain cannot be asked");
    failure_for_now("the chain cannot be asked at the moment: try again with the same payment")
}

fn failure_for_now(error: &str) -> JsonResponse {
    let mut reply = failure(StatusCode::SERVICE_UNAVAILABLE, error);
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    reply
}
