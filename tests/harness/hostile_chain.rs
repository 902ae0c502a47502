//! A JSON-RPC node that stands before the embedded chain, and loses, delays, forges and reorders.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use alloy::consensus::{SignableTransaction, Transaction as _, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy::primitives::{Address, B256, Bytes as Data, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::hostile_http::{Reply, Server, reply};

const SEND: &str = "eth_sendRawTransaction";
const CHAIN_ID: u64 = 84532;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered after a while.
    Slow(Duration),
    /// Never answered, and not done.
    Hang,
    /// Done; the connection is closed instead of an answer.
    LoseReply,
    /// Not done; answered with this error.
    Refuse(&'static str),
    /// Done; answered with this error all the same.
    RefuseAfter(&'static str),
    /// Not done; this HTTP status.
    Status(u16),
    /// Not done; something that is no JSON.
    Garbage,
    /// Not done; the result is `null`: a receipt or a transaction that this node does not show.
    Null,
}

/// See the module. Stops when dropped.
#[derive(Debug)]
pub struct HostileChain {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behind: String,
    client: reqwest::Client,
    state: Mutex<State>,
    /// Sent transactions are handled one after the other.
    sending: tokio::sync::Mutex<()>,
    rival: PrivateKeySigner,
}

#[derive(Debug, Default)]
struct State {
    /// The first that fits decides; a count of how often it still does.
    faults: Vec<(&'static str, Fault, usize)>,
    sends: Sends,
    /// Accepted and kept from the chain.
    kept: Vec<(TxEnvelope, Data)>,
    calls: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sends {
    #[default]
    Pass,
    Keep,
    FrontRun,
    Reorg,
}

impl HostileChain {
    /// In front of the chain at this URL. The rival, who needs ether, is whoever front-runs.
    pub(crate) async fn start(behind: String, rival: PrivateKeySigner) -> Self {
        let shared = Arc::new(Shared {
            behind,
            client: reqwest::Client::new(),
            state: Mutex::default(),
            sending: tokio::sync::Mutex::default(),
            rival,
        });
        let answering = Arc::clone(&shared);
        let server = Server::start(|_| {
            move |_, body: Bytes| {
                let shared = Arc::clone(&answering);
                async move { shared.answer(body).await }
            }
        })
        .await;
        Self { server, shared }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Every call of this method, or of all for `*`, until [`Self::heal`].
    pub fn always(&self, method: &'static str, fault: Fault) {
        self.next(method, fault, usize::MAX);
    }

    /// The next so many calls of this method, or of all for `*`.
    pub fn next(&self, method: &'static str, fault: Fault, times: usize) {
        self.shared.state().faults.push((method, fault, times));
    }

    /// No fault any more. What is kept stays kept.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.faults.clear();
        state.sends = Sends::Pass;
    }

    /// From now on transactions are accepted and shown as waiting, and none gets into a block.
    pub fn keep(&self) {
        self.shared.state().sends = Sends::Keep;
    }

    /// Passes on what was kept, and whatever comes.
    pub async fn release(&self) {
        let _one = self.shared.sending.lock().await;
        let kept = {
            let mut state = self.shared.state();
            state.sends = Sends::Pass;
            std::mem::take(&mut state.kept)
        };
        for (_, raw) in kept {
            self.shared.pass(SEND, json!([raw])).await;
        }
    }

    /// Forgets what was kept, as a node does that is started again, and passes on whatever comes.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.sends = Sends::Pass;
        state.kept.clear();
    }

    /// From now on somebody else submits the authorisation in each transaction first.
    pub fn front_run(&self) {
        self.shared.state().sends = Sends::FrontRun;
    }

    /// From now on the block of each transaction is replaced by another without it, and the transaction
    /// is in the one after that.
    pub fn reorg(&self) {
        self.shared.state().sends = Sends::Reorg;
    }

    /// How often this method was called.
    pub fn calls(&self, method: &str) -> usize {
        self.shared.state().calls.iter().filter(|called| *called == method).count()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    async fn answer(&self, body: Bytes) -> Reply {
        let call: Value = serde_json::from_slice(&body).expect("JSON");
        let (id, method) = (call["id"].clone(), call["method"].as_str().unwrap_or_default().to_owned());
        let fault = {
            let mut state = self.state();
            state.calls.push(method.clone());
            let found = state.faults.iter_mut().find(|(of, _, left)| (*of == method || *of == "*") && *left > 0);
            found.map(|(_, fault, left)| {
                *left -= 1;
                *fault
            })
        };
        let refused = |text: &str| json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": text}});
        match fault {
            Some(Fault::Slow(long)) => tokio::time::sleep(long).await,
            Some(Fault::Hang) => return std::future::pending().await,
            Some(Fault::Refuse(text)) => return Some(reply(200, refused(text).to_string())),
            Some(Fault::Status(status)) => return Some(reply(status, "busy")),
            Some(Fault::Garbage) => return Some(reply(200, "{\"jsonrpc\": <!doctype html>")),
            Some(Fault::Null) => {
                return Some(reply(200, json!({"jsonrpc": "2.0", "id": id, "result": null}).to_string()));
            }
            Some(Fault::LoseReply | Fault::RefuseAfter(_)) | None => {}
        }
        let mut answer = self.really(&method, call["params"].clone()).await;
        match fault {
            Some(Fault::LoseReply) => return None,
            Some(Fault::RefuseAfter(text)) => answer = refused(text),
            _ => {}
        }
        answer["id"] = id;
        Some(reply(200, answer.to_string()))
    }

    async fn really(&self, method: &str, params: Value) -> Value {
        match method {
            // An embedded chain may not stand behind a host that takes money; what it is told here is its business.
            "web3_clientVersion" => result(json!("hostile-node/1")),
            SEND => self.send(params).await,
            "eth_getTransactionByHash" => {
                let kept = self.state().kept.iter().any(|(tx, _)| params[0] == json!(tx.tx_hash()));
                if kept {
                    return result(json!({"hash": params[0], "blockHash": null, "blockNumber": null}));
                }
                self.pass(method, params).await
            }
            "eth_getTransactionCount" if params[1] == "pending" => {
                let mut answer = self.pass(method, params.clone()).await;
                let sender: Address = serde_json::from_value(params[0].clone()).expect("an address");
                let next: U256 = serde_json::from_value(answer["result"].clone()).expect("a number");
                let kept = self.state().kept.iter().filter(|(tx, _)| of(tx) == sender).count();
                answer["result"] = json!(format!("{:#x}", next + U256::from(kept)));
                answer
            }
            _ => self.pass(method, params).await,
        }
    }

    async fn send(&self, params: Value) -> Value {
        let _one = self.sending.lock().await;
        let raw: Data = serde_json::from_value(params[0].clone()).expect("bytes");
        let tx = TxEnvelope::decode_2718(&mut raw.as_ref()).expect("a signed transaction");
        let sends = self.state().sends;
        match sends {
            Sends::Pass => self.pass(SEND, params).await,
            Sends::Keep => {
                let hash = *tx.tx_hash();
                let mut state = self.state();
                if state.kept.iter().all(|(known, _)| *known.tx_hash() != hash) {
                    state.kept.push((tx, raw));
                }
                result(json!(hash))
            }
            Sends::FrontRun => {
                self.overtake(&tx).await;
                self.pass(SEND, params).await
            }
            Sends::Reorg => {
                let before = self.pass("evm_snapshot", json!([])).await["result"].clone();
                let answer = self.pass(SEND, params.clone()).await;
                let went = self.pass("evm_revert", json!([before])).await;
                assert_eq!(went["result"], true, "the chain goes back");
                self.pass("evm_mine", json!([])).await;
                let (client, behind) = (self.client.clone(), self.behind.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(700)).await;
                    pass(&client, &behind, SEND, params).await;
                });
                answer
            }
        }
    }

    /// Submits the call of a transaction as one's own, and waits until it is in a block.
    async fn overtake(&self, tx: &TxEnvelope) {
        let from = self.rival.address();
        let nonce: U256 = serde_json::from_value(
            self.pass("eth_getTransactionCount", json!([from, "latest"])).await["result"].clone(),
        )
        .expect("a number");
        let copy = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: nonce.to(),
            gas_limit: tx.gas_limit(),
            max_fee_per_gas: tx.max_fee_per_gas(),
            max_priority_fee_per_gas: tx.max_priority_fee_per_gas().unwrap_or_default(),
            to: tx.to().map_or(TxKind::Create, TxKind::Call),
            value: U256::ZERO,
            access_list: Default::default(),
            input: tx.input().clone(),
        };
        let signature = self.rival.sign_hash_sync(&copy.signature_hash()).expect("a signature");
        let signed = TxEnvelope::from(copy.into_signed(signature));
        let hash: B256 = *signed.tx_hash();
        let sent = self.pass(SEND, json!([Data::from(signed.encoded_2718())])).await;
        assert_eq!(sent["result"], json!(hash), "the rival is heard");
    }

    async fn pass(&self, method: &str, params: Value) -> Value {
        pass(&self.client, &self.behind, method, params).await
    }
}

fn of(tx: &TxEnvelope) -> Address {
    tx.signature().recover_address_from_prehash(&tx.signature_hash()).expect("a sender")
}

fn result(result: Value) -> Value {
    json!({"jsonrpc": "2.0", "result": result})
}

async fn pass(client: &reqwest::Client, behind: &str, method: &str, params: Value) -> Value {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let asked = client.post(behind).json(&call).send().await.expect("the chain");
    asked.json().await.expect("JSON")
}
