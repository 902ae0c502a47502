//! A facilitator that really verifies and settles, and then says, or does not say, what a test wants.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::hostile_http::{Closer, Reply, Server, reply};

/// How a request to `/verify` or `/settle` is met. Where the real thing is done first, only the answer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Done, and told.
    Honest,
    /// Done after a while.
    Slow(Duration),
    /// Accepted, and never answered; nothing is done.
    Hang,
    /// Done; the connection is closed instead of an answer.
    DropAfter,
    /// Nothing is done; the connection is closed instead of an answer.
    DropBefore,
    /// Done; 500 with a JSON error.
    ErrorAfter,
    /// Nothing is done; 500 with a JSON error.
    ErrorBefore,
    /// Nothing is done; 200 with `success: false`, or `isValid: false`, and a reason.
    Refuse,
    /// Done; 200 with `success: false` and a reason.
    RefuseAfter,
    /// Done; told with an empty transaction.
    NoTransaction,
    /// Done; told of another payer.
    OtherPayer,
    /// Done; told of another network.
    OtherNetwork,
    /// Done; the answer is cut in the middle.
    Truncated,
    /// Done; 502 with a page of HTML.
    Html,
    /// Nothing is done: everything is valid.
    Valid,
    /// Nothing is done; the transaction of an earlier payment is told.
    SameTransaction,
    /// Done; `settlement_pending` with its transaction.
    Pending,
    /// Done and told; and then nobody can connect any more.
    GoneAfter,
}

/// See the module. Stops when dropped.
#[derive(Debug)]
pub struct HostileFacilitator {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The real one.
    behind: String,
    client: reqwest::Client,
    state: Mutex<State>,
    /// One settlement at a time: two with the same bytes have the same answer.
    settling: tokio::sync::Mutex<()>,
    closer: Closer,
}

#[derive(Debug, Default)]
struct State {
    verify: Script,
    settle: Script,
    heard: Vec<(String, Bytes)>,
    /// Successes, by the bytes that asked for them: asked again in the same bytes, it says the same.
    settled: HashMap<Bytes, (u16, Bytes)>,
    last: Option<Value>,
}

/// What is done now, and what before that.
#[derive(Debug)]
struct Script {
    always: Mode,
    first: VecDeque<Mode>,
}

impl Default for Script {
    fn default() -> Self {
        Self { always: Mode::Honest, first: VecDeque::new() }
    }
}

impl HostileFacilitator {
    /// In front of a real one at this URL.
    pub(crate) async fn start(behind: String) -> Self {
        let mut made = None;
        let server = Server::start(|closer| {
            let shared = Arc::new(Shared {
                behind,
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

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// From now on.
    pub fn on_verify(&self, mode: Mode) {
        self.shared.state().verify.always = mode;
    }

    /// From now on.
    pub fn on_settle(&self, mode: Mode) {
        self.shared.state().settle.always = mode;
    }

    /// The next time, once; several are done one after the other.
    pub fn next_verify(&self, mode: Mode) {
        self.shared.state().verify.first.push_back(mode);
    }

    /// The next time, once; several are done one after the other.
    pub fn next_settle(&self, mode: Mode) {
        self.shared.state().settle.first.push_back(mode);
    }

    /// Bodies of all requests to `/verify` so far.
    pub fn verifies(&self) -> Vec<Bytes> {
        self.shared.heard("/verify")
    }

    /// Bodies of all requests to `/settle` so far.
    pub fn settles(&self) -> Vec<Bytes> {
        self.shared.heard("/settle")
    }

    /// From when this returns on, nobody can connect.
    pub async fn close(&self) {
        self.server.close().await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    fn heard(&self, path: &str) -> Vec<Bytes> {
        self.state().heard.iter().filter(|(heard, _)| heard == path).map(|(_, body)| body.clone()).collect()
    }

    async fn answer(&self, path: &str, body: Bytes) -> Reply {
        if !matches!(path, "/verify" | "/settle") {
            let asked = self.client.get(format!("{}{path}", self.behind)).send().await.expect("the real one");
            let status = asked.status().as_u16();
            return Some(reply(status, asked.bytes().await.expect("an answer")));
        }
        let mode = {
            let mut state = self.state();
            state.heard.push((path.to_owned(), body.clone()));
            let script = if path == "/verify" { &mut state.verify } else { &mut state.settle };
            script.first.pop_front().unwrap_or(script.always)
        };
        match mode {
            Mode::Hang => return std::future::pending().await,
            Mode::DropBefore => return None,
            Mode::ErrorBefore => return Some(reply(500, "{\"error\":\"internal\"}")),
            Mode::Refuse if path == "/verify" => {
                return Some(reply(200, json!({"isValid": false, "invalidReason": "invalid_payload"}).to_string()));
            }
            Mode::Refuse => return Some(reply(200, refusal(&body, ""))),
            Mode::Valid => return Some(reply(200, json!({"isValid": true, "payer": payer(&body)}).to_string())),
            Mode::SameTransaction => {
                let mut last = self.state().last.clone().expect("an earlier settlement");
                last["payer"] = json!(payer(&body));
                return Some(reply(200, last.to_string()));
            }
            Mode::Slow(long) => tokio::time::sleep(long).await,
            _ => {}
        }
        let (status, told) = self.really(path, &body).await;
        let mut document: Value = serde_json::from_slice(&told).unwrap_or_default();
        match mode {
            Mode::DropAfter => return None,
            Mode::ErrorAfter => return Some(reply(500, "{\"error\":\"internal\"}")),
            Mode::RefuseAfter => return Some(reply(200, refusal(&body, ""))),
            Mode::NoTransaction => document["transaction"] = json!(""),
            Mode::OtherPayer => document["payer"] = json!("0x00000000000000000000000000000000000000e1"),
            Mode::OtherNetwork => document["network"] = json!("eip155:1"),
            Mode::Truncated => return Some(reply(status, told.slice(..told.len() / 2))),
            Mode::Html => return Some(reply(502, "<html><h1>502 Bad Gateway</h1></html>")),
            Mode::Pending => {
                let hash = document["transaction"].as_str().unwrap_or_default().to_owned();
                document = serde_json::from_str(&refusal(&body, &hash)).expect("JSON");
                document["errorReason"] = json!("settlement_pending");
            }
            Mode::GoneAfter => {
                self.closer.close().await;
                let mut last = reply(status, told);
                last.headers_mut().insert("connection", hyper::header::HeaderValue::from_static("close"));
                return Some(last);
            }
            _ => return Some(reply(status, told)),
        }
        Some(reply(status, document.to_string()))
    }

    /// What the real one does and says.
    async fn really(&self, path: &str, body: &Bytes) -> (u16, Bytes) {
        let _one = self.settling.lock().await;
        if let Some(known) = self.state().settled.get(body).filter(|_| path == "/settle") {
            return known.clone();
        }
        let request = self.client.post(format!("{}{path}", self.behind)).body(body.clone());
        let asked = request.header("content-type", "application/json").send().await.expect("the real one");
        let status = asked.status().as_u16();
        let told = asked.bytes().await.expect("an answer");
        if let Ok(document) = serde_json::from_slice::<Value>(&told)
            && document["success"] == true
        {
            let mut state = self.state();
            state.settled.insert(body.clone(), (status, told.clone()));
            state.last = Some(document);
        }
        (status, told)
    }
}

fn payer(body: &[u8]) -> Value {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    request["paymentPayload"]["payload"]["authorization"]["from"].clone()
}

/// A settlement that failed, as far as can be heard.
fn refusal(body: &[u8], transaction: &str) -> String {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    json!({
        "success": false, "errorReason": "invalid_exact_evm_transaction_failed", "transaction": transaction,
        "network": request["paymentRequirements"]["network"], "payer": payer(body),
    })
    .to_string()
}
