//! Stands between a client of MCP and its host, and loses the answers to paid calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;

use crate::http_server::{Reply, Server};

/// A proxy of messages. Dropping it ends it.
#[derive(Debug)]
pub struct McpProxy {
    server: Server,
    /// The number of answers that are still to be lost.
    loses: Arc<AtomicUsize>,
    paid: Arc<AtomicUsize>,
}

impl McpProxy {
    /// A proxy of this address that loses the first answers to calls with a payment.
    pub async fn losing(answers: usize, url: String) -> Self {
        let (loses, paid) = (Arc::new(AtomicUsize::new(answers)), Arc::<AtomicUsize>::default());
        let (left, count) = (Arc::clone(&loses), Arc::clone(&paid));
        let client = reqwest::Client::new();
        let server = Server::start(|_| {
            move |_path: String, body: Bytes| {
                let (client, url, left, count) = (client.clone(), url.clone(), Arc::clone(&left), Arc::clone(&count));
                async move { forward(&client, &url, body, &left, &count).await }
            }
        })
        .await;
        Self { server, loses, paid }
    }

    /// Loses this many more answers.
    pub fn lose(&self, answers: usize) {
        self.loses.store(answers, Ordering::SeqCst);
    }

    /// The number of calls with a payment so far.
    pub fn paid_calls(&self) -> usize {
        self.paid.load(Ordering::SeqCst)
    }

    /// The address of the proxy.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.server.address)
    }
}

async fn forward(client: &reqwest::Client, url: &str, body: Bytes, loses: &AtomicUsize, paid: &AtomicUsize) -> Reply {
    if body.is_empty() {
        // No stream of notices: clients go on without.
        return Some(Response::builder().status(405).body(Full::default()).expect("a response"));
    }
    let is_paid = body.windows(14).any(|part| part == b"\"x402/payment\"");
    let request = client.post(url).header("content-type", "application/json").body(body);
    let answer = request.header("accept", "application/json, text/event-stream").send().await.ok()?;
    let mut reply = Response::builder().status(answer.status());
    for name in ["content-type", "mcp-session-id"] {
        if let Some(value) = answer.headers().get(name) {
            reply = reply.header(name, value);
        }
    }
    let body = answer.bytes().await.ok()?;
    if is_paid {
        paid.fetch_add(1, Ordering::SeqCst);
        let is_lost = loses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_lost {
            return None;
        }
    }
    Some(reply.body(Full::new(body)).expect("a response"))
}
