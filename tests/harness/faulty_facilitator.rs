//! A proxy in front of a working facilitator that loses, delays and forges its answers on demand.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::http_server::{Closer, Reply, Server, reply};

/// The answer of the proxy to a request to `/verify` or `/settle`. "Done" means that the facilitator behind it really
/// verified or settled; only its answer is then replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FacilitatorMode {
    /// Done, and answered truthfully.
    Honest,
    /// Done after this time.
    Slow(Duration),
    /// Not done, and never answered.
    Hang,
    /// Done; the connection is closed instead of an answer.
    DropAfter,
    /// Not done; the connection is closed instead of an answer.
    DropBefore,
    /// Done; 500 with a JSON error.
    ErrorAfter,
    /// Not done; 500 with a JSON error.
    ErrorBefore,
    /// Not done; 200 with `success: false`, or `isValid: false`, and a reason that precedes every transaction.
    Refuse,
    /// Not done; 200 with `success: false` and this reason.
    RefuseAs(&'static str),
    /// Done; 200 with `success: false` and a reason that may follow a transaction.
    RefuseAfter,
    /// 200 with `success: false` and a reason that may follow a transaction. Done this long afterwards.
    RefuseBefore(Duration),
    /// Done; the answer has an empty transaction.
    NoTransaction,
    /// Done; the answer names another payer.
    OtherPayer,
    /// Done; the answer names another network.
    OtherNetwork,
    /// Done; the answer's body is cut in the middle.
    Truncated,
    /// Done; 502 with a page of HTML.
    Html,
    /// Not done; every payment is called valid.
    Valid,
    /// Not done; the answer is a success with the transaction of the previous payment.
    SameTransaction,
    /// Done; `settlement_pending` with its transaction.
    Pending,
    /// Done and answered truthfully; after that no connection is accepted any more.
    GoneAfter,
}

/// A running proxy that a test can tell to fail. Dropping it closes every connection.
#[derive(Debug)]
pub struct FaultyFacilitator {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The URL of the facilitator behind the proxy.
    upstream: String,
    client: reqwest::Client,
    state: Mutex<FacilitatorState>,
    /// Held while a request is done: one at a time, so that a repetition finds the first one's answer.
    settling: tokio::sync::Mutex<()>,
    closer: Closer,
}

#[derive(Debug, Default)]
struct FacilitatorState {
    verify: Script,
    settle: Script,
    /// Path and body of every request.
    requests: Vec<(String, Bytes)>,
    /// Successful answers by request body: a repetition in the same bytes gets the same answer.
    settled: HashMap<Bytes, (u16, Bytes)>,
    /// The last successful answer.
    last: Option<Value>,
}

/// The modes of the next requests: first the queue, then `always`.
#[derive(Debug)]
struct Script {
    always: FacilitatorMode,
    next: VecDeque<FacilitatorMode>,
}

impl Default for Script {
    fn default() -> Self {
        Self { always: FacilitatorMode::Honest, next: VecDeque::new() }
    }
}

impl FaultyFacilitator {
    /// Starts a proxy in front of the facilitator at this URL.
    pub(crate) async fn start(upstream: String) -> Self {
        let mut made = None;
        let server = Server::start(|closer| {
            let shared = Arc::new(Shared {
                upstream,
                client: reqwest::Client::new(),
                state: Mutex::default(),
                settling: tokio::sync::Mutex::default(),
                closer,
            });
            made = Some(Arc::clone(&shared));
            move |path: String, body: Bytes| {
                let shared = Arc::clone(&shared);
                async move { shared.answer(&path, body).await }
            }
        })
        .await;
        Self { server, shared: made.expect("made with the server") }
    }

    /// The URL of the proxy.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Sets the mode of every following `/verify`.
    pub fn on_verify(&self, mode: FacilitatorMode) {
        self.shared.state().verify.always = mode;
    }

    /// Sets the mode of every following `/settle`.
    pub fn on_settle(&self, mode: FacilitatorMode) {
        self.shared.state().settle.always = mode;
    }

    /// Queues the mode of one `/verify`; several are used in order.
    pub fn next_verify(&self, mode: FacilitatorMode) {
        self.shared.state().verify.next.push_back(mode);
    }

    /// Queues the mode of one `/settle`; several are used in order.
    pub fn next_settle(&self, mode: FacilitatorMode) {
        self.shared.state().settle.next.push_back(mode);
    }

    /// The bodies of all requests to `/verify` so far.
    pub fn verifies(&self) -> Vec<Bytes> {
        self.shared.requests("/verify")
    }

    /// The bodies of all requests to `/settle` so far.
    pub fn settles(&self) -> Vec<Bytes> {
        self.shared.requests("/settle")
    }

    /// Stops accepting connections; the port is closed when this returns.
    pub async fn close(&self) {
        self.server.close().await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, FacilitatorState> {
        self.state.lock().expect("not poisoned")
    }

    fn requests(&self, path: &str) -> Vec<Bytes> {
        self.state().requests.iter().filter(|(at, _)| at == path).map(|(_, body)| body.clone()).collect()
    }

    async fn answer(self: &Arc<Self>, path: &str, body: Bytes) -> Reply {
        if !matches!(path, "/verify" | "/settle") {
            let asked = self
                .client
                .get(format!("{}{path}", self.upstream))
                .send()
                .await
                .expect("the facilitator behind the proxy");
            let status = asked.status().as_u16();
            let mut supported: Value = asked.json().await.expect("JSON");
            // A stranger's facilitator, which does not say that its transactions settle several payments.
            for kind in supported["kinds"].as_array_mut().into_iter().flatten() {
                kind.as_object_mut().and_then(|kind| kind.remove("extra"));
            }
            return Some(reply(status, supported.to_string()));
        }
        let mode = {
            let mut state = self.state();
            state.requests.push((path.to_owned(), body.clone()));
            let script = if path == "/verify" { &mut state.verify } else { &mut state.settle };
            script.next.pop_front().unwrap_or(script.always)
        };
        match mode {
            FacilitatorMode::Hang => return std::future::pending().await,
            FacilitatorMode::DropBefore => return None,
            FacilitatorMode::ErrorBefore => return Some(reply(500, "{\"error\":\"internal\"}")),
            FacilitatorMode::Refuse if path == "/verify" => {
                return Some(reply(200, json!({"isValid": false, "invalidReason": "invalid_payload"}).to_string()));
            }
            FacilitatorMode::Refuse => {
                return Some(reply(200, refusal(&body, "invalid_exact_evm_insufficient_balance")));
            }
            FacilitatorMode::RefuseAs(reason) => return Some(reply(200, refusal(&body, reason))),
            FacilitatorMode::RefuseBefore(pause) => {
                let (shared, path, later) = (Arc::clone(self), path.to_owned(), body.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    shared.upstream_answer(&path, &later).await
                });
                return Some(reply(200, refusal(&body, "invalid_exact_evm_transaction_failed")));
            }
            FacilitatorMode::Valid => {
                return Some(reply(200, json!({"isValid": true, "payer": payer(&body)}).to_string()));
            }
            FacilitatorMode::SameTransaction => {
                let mut last = self.state().last.clone().expect("an earlier settlement");
                last["payer"] = json!(payer(&body));
                return Some(reply(200, last.to_string()));
            }
            FacilitatorMode::Slow(long) => tokio::time::sleep(long).await,
            _ => {}
        }
        let (status, answer) = self.upstream_answer(path, &body).await;
        let mut document: Value = serde_json::from_slice(&answer).unwrap_or_default();
        match mode {
            FacilitatorMode::DropAfter => return None,
            FacilitatorMode::ErrorAfter => return Some(reply(500, "{\"error\":\"internal\"}")),
            FacilitatorMode::RefuseAfter => {
                return Some(reply(200, refusal(&body, "invalid_exact_evm_transaction_failed")));
            }
            FacilitatorMode::NoTransaction => document["transaction"] = json!(""),
            FacilitatorMode::OtherPayer => document["payer"] = json!("0x00000000000000000000000000000000000000e1"),
            FacilitatorMode::OtherNetwork => document["network"] = json!("eip155:1"),
            FacilitatorMode::Truncated => return Some(reply(status, answer.slice(..answer.len() / 2))),
            FacilitatorMode::Html => return Some(reply(502, "<html><h1>502 Bad Gateway</h1></html>")),
            FacilitatorMode::Pending => {
                let hash = document["transaction"].as_str().unwrap_or_default().to_owned();
                document = serde_json::from_str(&refusal(&body, "")).expect("JSON");
                document["errorReason"] = json!("settlement_pending");
                document["transaction"] = json!(hash);
            }
            FacilitatorMode::GoneAfter => {
                self.closer.close().await;
                let mut last = reply(status, answer);
                last.headers_mut().insert("connection", hyper::header::HeaderValue::from_static("close"));
                return Some(last);
            }
            _ => return Some(reply(status, answer)),
        }
        Some(reply(status, document.to_string()))
    }

    /// Status and body of the facilitator behind the proxy.
    async fn upstream_answer(&self, path: &str, body: &Bytes) -> (u16, Bytes) {
        let _one = self.settling.lock().await;
        if let Some(known) = self.state().settled.get(body).filter(|_| path == "/settle") {
            return known.clone();
        }
        let request = self.client.post(format!("{}{path}", self.upstream)).body(body.clone());
        let asked =
            request.header("content-type", "application/json").send().await.expect("the facilitator behind the proxy");
        let status = asked.status().as_u16();
        let answer = asked.bytes().await.expect("an answer");
        if let Ok(document) = serde_json::from_slice::<Value>(&answer)
            && document["success"] == true
        {
            let mut state = self.state();
            state.settled.insert(body.clone(), (status, answer.clone()));
            state.last = Some(document);
        }
        (status, answer)
    }
}

fn payer(body: &[u8]) -> Value {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    request["paymentPayload"]["payload"]["authorization"]["from"].clone()
}

/// The answer of a failed settlement, with this reason.
fn refusal(body: &[u8], reason: &str) -> String {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    json!({
        "success": false, "errorReason": reason, "transaction": "",
        "network": request["paymentRequirements"]["network"], "payer": payer(body),
    })
    .to_string()
}
