//! A JSON-RPC proxy in front of a chain that loses, delays, forges and reorders calls on demand.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use alloy::consensus::{SignableTransaction, Transaction as _, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy::primitives::{Address, B256, Bytes as Data, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::http_server::{Reply, Server, reply};

const SEND: &str = "eth_sendRawTransaction";
const CHAIN_ID: u64 = 84532;

/// The answer of the proxy to a call, instead of passing it on and returning the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// The call is passed on after this time.
    Slow(Duration),
    /// The call is not passed on and never answered.
    Hang,
    /// The call is passed on; the connection is closed instead of an answer.
    LoseReply,
    /// The call is not passed on; the answer is a JSON-RPC error with this message.
    Refuse(&'static str),
    /// The call is passed on; the answer is a JSON-RPC error with this message all the same.
    RefuseAfter(&'static str),
    /// The call is not passed on; the answer has this HTTP status.
    Status(u16),
    /// The call is not passed on; the answer is not JSON.
    Garbage,
    /// The call is not passed on; the answer has more bytes than any question needs.
    Huge,
    /// The call is passed on; the block in the answer was made this much earlier.
    Aged(Duration),
    /// The call is not passed on; the result is `null`, as for a receipt or a transaction that a node does not have.
    Null,
}

/// A running proxy that a test can tell to fail. Dropping it closes every connection.
#[derive(Debug)]
pub struct FaultyNode {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    state: Mutex<NodeState>,
    /// Held while a transaction is handled: one at a time, so that a snapshot of the chain contains no other.
    sending: tokio::sync::Mutex<()>,
    front_runner: PrivateKeySigner,
}

#[derive(Debug, Default)]
struct NodeState {
    /// Method, fault, and how many calls it is still for. The first that matches decides.
    faults: Vec<(&'static str, NodeFault, usize)>,
    transactions: OnTransaction,
    /// Transactions that were accepted and are withheld from the chain.
    withheld: Vec<(TxEnvelope, Data)>,
    calls: Vec<String>,
}

/// The answer of the proxy to `eth_sendRawTransaction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum OnTransaction {
    #[default]
    Pass,
    Withhold,
    FrontRun,
    FrontRunUntagged,
    FrontRunWithAnotherTag,
    Reorg,
}

impl FaultyNode {
    /// Starts a proxy in front of the chain at this URL. The front-runner's account needs ether.
    pub(crate) async fn start(upstream: String, front_runner: PrivateKeySigner) -> Self {
        let shared = Arc::new(Shared {
            upstream,
            client: reqwest::Client::new(),
            state: Mutex::default(),
            sending: tokio::sync::Mutex::default(),
            front_runner,
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

    /// The URL of the proxy.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Applies a fault to every call of this method, `*` for all methods, until [`Self::heal`].
    pub fn always(&self, method: &'static str, fault: NodeFault) {
        self.next(method, fault, usize::MAX);
    }

    /// Applies a fault to the next so many calls of this method, `*` for all methods.
    pub fn next(&self, method: &'static str, fault: NodeFault, times: usize) {
        self.shared.state().faults.push((method, fault, times));
    }

    /// Removes all faults and passes transactions on again. Withheld transactions stay withheld.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.faults.clear();
        state.transactions = OnTransaction::Pass;
    }

    /// Accepts transactions and shows them as pending, but withholds them from the chain.
    pub fn withhold(&self) {
        self.shared.state().transactions = OnTransaction::Withhold;
    }

    /// Passes on the withheld transactions, and those that follow.
    pub async fn release(&self) {
        let _one = self.shared.sending.lock().await;
        let withheld = {
            let mut state = self.shared.state();
            state.transactions = OnTransaction::Pass;
            std::mem::take(&mut state.withheld)
        };
        for (_, raw) in withheld {
            self.shared.pass(SEND, json!([raw])).await;
        }
    }

    /// Drops the withheld transactions, as a restarted node does, and passes on those that follow.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.transactions = OnTransaction::Pass;
        state.withheld.clear();
    }

    /// Submits the authorisation of each transaction from another account before passing the transaction on.
    pub fn front_run(&self) {
        self.shared.state().transactions = OnTransaction::FrontRun;
    }

    /// The same, with the call alone: without the tag that the host puts behind it.
    pub fn front_run_untagged(&self) {
        self.shared.state().transactions = OnTransaction::FrontRunUntagged;
    }

    /// The same, with a tag that the front-runner made up in place of the host's.
    pub fn front_run_with_another_tag(&self) {
        self.shared.state().transactions = OnTransaction::FrontRunWithAnotherTag;
    }

    /// Replaces the block of each transaction by one without it, and sends the transaction again 700 ms later.
    pub fn reorg(&self) {
        self.shared.state().transactions = OnTransaction::Reorg;
    }

    /// The number of calls of this method.
    pub fn calls(&self, method: &str) -> usize {
        self.shared.state().calls.iter().filter(|called| *called == method).count()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, NodeState> {
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
            Some(NodeFault::Slow(long)) => tokio::time::sleep(long).await,
            Some(NodeFault::Hang) => return std::future::pending().await,
            Some(NodeFault::Refuse(text)) => return Some(reply(200, refused(text).to_string())),
            Some(NodeFault::Status(status)) => return Some(reply(status, "busy")),
            Some(NodeFault::Garbage) => return Some(reply(200, "{\"jsonrpc\": <!doctype html>")),
            Some(NodeFault::Huge) => {
                let result = format!("0x{}", "0".repeat(20 << 20));
                return Some(reply(200, json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()));
            }
            Some(NodeFault::Null) => {
                return Some(reply(200, json!({"jsonrpc": "2.0", "id": id, "result": null}).to_string()));
            }
            Some(NodeFault::LoseReply | NodeFault::RefuseAfter(_) | NodeFault::Aged(_)) | None => {}
        }
        let mut answer = self.upstream_answer(&method, call["params"].clone()).await;
        match fault {
            Some(NodeFault::LoseReply) => return None,
            Some(NodeFault::RefuseAfter(text)) => answer = refused(text),
            Some(NodeFault::Aged(age)) => {
                let made: U256 = serde_json::from_value(answer["result"]["timestamp"].clone()).expect("a time");
                answer["result"]["timestamp"] = json!(format!("{:#x}", made - U256::from(age.as_secs())));
            }
            _ => {}
        }
        answer["id"] = id;
        Some(reply(200, answer.to_string()))
    }

    /// The answer of the chain, corrected for withheld transactions.
    async fn upstream_answer(&self, method: &str, params: Value) -> Value {
        match method {
            // A host that takes money refuses the embedded chain, which it knows by this answer.
            "web3_clientVersion" => result(json!("hostile-node/1")),
            SEND => self.send(params).await,
            "eth_getTransactionByHash" => {
                let withheld = self.state().withheld.iter().any(|(tx, _)| params[0] == json!(tx.tx_hash()));
                if withheld {
                    return result(json!({"hash": params[0], "blockHash": null, "blockNumber": null}));
                }
                self.pass(method, params).await
            }
            "eth_getTransactionCount" if params[1] == "pending" => {
                let mut answer = self.pass(method, params.clone()).await;
                let sender: Address = serde_json::from_value(params[0].clone()).expect("an address");
                let next: U256 = serde_json::from_value(answer["result"].clone()).expect("a number");
                let withheld = self.state().withheld.iter().filter(|(tx, _)| sender_of(tx) == sender).count();
                answer["result"] = json!(format!("{:#x}", next + U256::from(withheld)));
                answer
            }
            _ => self.pass(method, params).await,
        }
    }

    async fn send(&self, params: Value) -> Value {
        let _one = self.sending.lock().await;
        let raw: Data = serde_json::from_value(params[0].clone()).expect("bytes");
        let tx = TxEnvelope::decode_2718(&mut raw.as_ref()).expect("a signed transaction");
        let transactions = self.state().transactions;
        match transactions {
            OnTransaction::Pass => self.pass(SEND, params).await,
            OnTransaction::Withhold => {
                let hash = *tx.tx_hash();
                let mut state = self.state();
                if state.withheld.iter().all(|(known, _)| *known.tx_hash() != hash) {
                    state.withheld.push((tx, raw));
                }
                result(json!(hash))
            }
            OnTransaction::FrontRun => {
                self.front_run(&tx, tx.input().clone()).await;
                self.pass(SEND, params).await
            }
            OnTransaction::FrontRunUntagged => {
                self.front_run(&tx, call_without_tag(tx.input())).await;
                self.pass(SEND, params).await
            }
            OnTransaction::FrontRunWithAnotherTag => {
                let call = call_without_tag(tx.input());
                self.front_run(&tx, [&call[..], b"coinsloth", &[7; 16]].concat().into()).await;
                self.pass(SEND, params).await
            }
            OnTransaction::Reorg => {
                let before = self.pass("evm_snapshot", json!([])).await["result"].clone();
                let answer = self.pass(SEND, params.clone()).await;
                let reverted = self.pass("evm_revert", json!([before])).await;
                assert_eq!(reverted["result"], true, "the chain goes back to the snapshot");
                self.pass("evm_mine", json!([])).await;
                let (client, upstream) = (self.client.clone(), self.upstream.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(700)).await;
                    pass(&client, &upstream, SEND, params).await;
                });
                answer
            }
        }
    }

    /// Submits the call of a transaction from the front-runner's account, which puts it into a block at once.
    async fn front_run(&self, tx: &TxEnvelope, input: Data) {
        let from = self.front_runner.address();
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
            input,
        };
        let signature = self.front_runner.sign_hash_sync(&copy.signature_hash()).expect("a signature");
        let signed = TxEnvelope::from(copy.into_signed(signature));
        let hash: B256 = *signed.tx_hash();
        let sent = self.pass(SEND, json!([Data::from(signed.encoded_2718())])).await;
        assert_eq!(sent["result"], json!(hash), "the front-runner's transaction is accepted");
    }

    async fn pass(&self, method: &str, params: Value) -> Value {
        pass(&self.client, &self.upstream, method, params).await
    }
}

fn sender_of(tx: &TxEnvelope) -> Address {
    tx.signature().recover_address_from_prehash(&tx.signature_hash()).expect("a sender")
}

fn result(result: Value) -> Value {
    json!({"jsonrpc": "2.0", "result": result})
}

async fn pass(client: &reqwest::Client, upstream: &str, method: &str, params: Value) -> Value {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let asked = client.post(upstream).json(&call).send().await.expect("the chain");
    asked.json().await.expect("JSON")
}

/// The data of a call that ends in the tag of its sender, without the tag.
fn call_without_tag(tagged: &Data) -> Data {
    let call = tagged.len() - tagged.len() % 32 + 4;
    assert_eq!(tagged.slice(call..)[..8], *b"coinslot", "a selector, whole words, and the tag");
    tagged.slice(..call)
}
