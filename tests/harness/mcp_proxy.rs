//! Stands between a client of MCP and its host, and loses the answers to paid calls, or keeps the payments and answers
//! itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use serde_json::{Value, json};

use crate::http_server::{Reply, Server, reply};

/// The answer of a proxy that keeps payments: after a time this result. None: it closes the connection.
pub(crate) type KeptPaymentAnswer = (Duration, Option<Value>);

/// What a proxy does with a call that is paid. It gets the payment and how often it came before.
type Keep = dyn Fn(&Value, usize) -> KeptPaymentAnswer + Send + Sync;

/// A proxy of messages. Dropping it ends it.
#[derive(Debug)]
pub struct McpProxy {
    server: Server,
    /// The number of answers that are still to be lost.
    loses: Arc<AtomicUsize>,
    payments: Payments,
}

/// The payments that came, in their order.
type Payments = Arc<Mutex<Vec<Value>>>;

impl McpProxy {
    /// A proxy of this address that loses the first answers to calls with a payment.
    pub async fn losing(answers: usize, url: String) -> Self {
        Self::start(url, answers, None, None).await
    }

    /// A proxy that keeps the payments, for which it wants to have so many seconds, and answers paid calls itself.
    pub async fn keeping<F>(url: String, seconds: u64, keep: F) -> Self
    where
        F: Fn(&Value, usize) -> KeptPaymentAnswer + Send + Sync + 'static,
    {
        Self::start(url, 0, Some(seconds), Some(Arc::new(keep))).await
    }

    async fn start(url: String, answers: usize, seconds: Option<u64>, keep: Option<Arc<Keep>>) -> Self {
        let (loses, payments) = (Arc::new(AtomicUsize::new(answers)), Payments::default());
        let way = Arc::new(Way {
            client: reqwest::Client::new(),
            url,
            loses: Arc::clone(&loses),
            payments: Arc::clone(&payments),
            seconds,
            keep,
        });
        let server = Server::start(|_| {
            move |_path: String, body: Bytes| {
                let way = Arc::clone(&way);
                async move { way.answer(body).await }
            }
        })
        .await;
        Self { server, loses, payments }
    }

    /// Loses this many more answers.
    pub fn lose(&self, answers: usize) {
        self.loses.store(answers, Ordering::SeqCst);
    }

    /// The number of calls with a payment so far.
    pub fn paid_calls(&self) -> usize {
        self.payments.lock().expect("not poisoned").len()
    }

    /// The EIP-3009 authorisations that came, each once.
    pub fn authorizations(&self) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        for payment in self.payments.lock().expect("not poisoned").iter() {
            let authorization = &payment["payload"]["authorization"];
            if !all.contains(authorization) {
                all.push(authorization.clone());
            }
        }
        all
    }

    /// The address of the proxy.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.server.address)
    }
}

/// The way from a client to the host.
struct Way {
    client: reqwest::Client,
    url: String,
    loses: Arc<AtomicUsize>,
    payments: Payments,
    /// The time of a payment that challenges ask for, in place of the host's.
    seconds: Option<u64>,
    keep: Option<Arc<Keep>>,
}

impl Way {
    async fn answer(&self, body: Bytes) -> Reply {
        if body.is_empty() {
            // No stream of notices: clients go on without.
            return Some(Response::builder().status(405).body(Full::default()).expect("a response"));
        }
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let payment = message.pointer("/params/_meta/x402~1payment").cloned();
        if let Some(payment) = &payment {
            let before = self.take(payment);
            if let Some(keep) = &self.keep {
                let (time, result) = keep(payment, before);
                tokio::time::sleep(time).await;
                let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result? });
                return Some(reply(200, answer.to_string()));
            }
        }
        self.forward(body, payment.is_some()).await
    }

    /// Notes a payment, and says how often it came before.
    fn take(&self, payment: &Value) -> usize {
        let mut payments = self.payments.lock().expect("not poisoned");
        let before = payments.iter().filter(|other| *other == payment).count();
        payments.push(payment.clone());
        before
    }

    async fn forward(&self, body: Bytes, is_paid: bool) -> Reply {
        let request = self.client.post(&self.url).header("content-type", "application/json").body(body);
        let answer = request.header("accept", "application/json, text/event-stream").send().await.ok()?;
        let mut reply = Response::builder().status(answer.status());
        for name in ["content-type", "mcp-session-id"] {
            if let Some(value) = answer.headers().get(name) {
                reply = reply.header(name, value);
            }
        }
        let mut body = answer.bytes().await.ok()?;
        let is_lost =
            || self.loses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_paid && is_lost() {
            return None;
        }
        if let (Some(seconds), Ok(mut message)) = (self.seconds, serde_json::from_slice::<Value>(&body)) {
            let accepts = message.pointer_mut("/result/structuredContent/accepts").and_then(Value::as_array_mut);
            accepts.into_iter().flatten().for_each(|entry| entry["maxTimeoutSeconds"] = seconds.into());
            body = message.to_string().into();
        }
        Some(reply.body(Full::new(body)).expect("a response"))
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("url", &self.url).finish_non_exhaustive()
    }
}
