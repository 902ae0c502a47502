//! A receiver of webhooks that accepts, refuses or hangs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The answer of the receiver to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverMode {
    Accept,
    /// Answers with this status.
    Refuse(u16),
    /// Answers messages about payments with 400, and accepts all others.
    RefusePayments,
    /// Never answers.
    Hang,
}

/// A message that the receiver has accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The header fields whose names begin with `webhook-`.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Accepted {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// A running receiver. It accepts until it is told otherwise.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<ReceiverState>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct ReceiverState {
    mode: Mutex<ReceiverMode>,
    tried: AtomicUsize,
    accepted: Mutex<Vec<Accepted>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(ReceiverState {
            mode: Mutex::new(ReceiverMode::Accept),
            tried: AtomicUsize::new(0),
            accepted: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Changes what happens to the messages that come from now on.
    pub fn set(&self, mode: ReceiverMode) {
        *self.state.mode.lock().expect("unpoisoned") = mode;
    }

    /// The number of messages that have come.
    pub fn tried(&self) -> usize {
        self.state.tried.load(Ordering::Relaxed)
    }

    /// The messages that were accepted, in their order.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.state.accepted.lock().expect("unpoisoned").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<ReceiverState>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, state: Arc<ReceiverState>) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers = request.headers().iter().filter(|(name, _)| name.as_str().starts_with("webhook-"));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    let headers = headers.collect();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    state.tried.fetch_add(1, Ordering::Relaxed);
    let mode = *state.mode.lock().expect("unpoisoned");
    let mut response = Response::new(Full::default());
    let is_payment = body.windows(18).any(|part| part == b"\"type\":\"payment.pa");
    match mode {
        ReceiverMode::RefusePayments if is_payment => *response.status_mut() = StatusCode::BAD_REQUEST,
        ReceiverMode::Accept | ReceiverMode::RefusePayments => {
            let body = String::from_utf8_lossy(&body).into_owned();
            state.accepted.lock().expect("unpoisoned").push(Accepted { headers, body });
        }
        ReceiverMode::Refuse(status) => *response.status_mut() = StatusCode::from_u16(status).expect("a status"),
        ReceiverMode::Hang => std::future::pending().await,
    }
    Ok(response)
}
