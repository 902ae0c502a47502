//! A chain with funded accounts for tests, payments for it, and a proxy before its node that loses requests and
//! answers on purpose.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a node and a facilitator that fail, for tests"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use alloy::primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy::sol_types::{SolCall, SolValue};
use coinslot_devnet::{CHAIN_ID, Devnet, DevnetConfig, wallet1271_runtime_code};
use coinslot_evm::abi::IEip3009;
use coinslot_evm::{Chain, ChainSettings, GasLimits, Key, SenderKind, Sequencer, SequencerSettings, TxCall, TxStatus};
use coinslot_x402::exact::{Authorization, Domain};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::price::{Amount, Asset, Price};
use coinslot_x402::{Network, Object, Versions, X402Version, v1, v2};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::Seller;
use super::local::{Local, LocalConfig};

pub const SELLER: Address = address!("0x00000000000000000000000000000000005e11e5");
pub const PRICE: u64 = 10_000;

/// A chain, its accounts, and a proxy before its node.
#[derive(Debug)]
pub struct World {
    pub proxy: Proxy,
    pub chain: Arc<Chain>,
    pub gas: Key,
    pub payer: Key,
    pub asset: Asset,
    pub url: String,
    /// The seller of its configurations: one host that restarts.
    pub seller: Seller,
    _devnet: Devnet,
}

impl World {
    pub async fn start() -> Self {
        let (gas, payer) = (Key::random(), Key::random());
        let ether = U256::from(10).pow(U256::from(18));
        let config = DevnetConfig {
            listen: "127.0.0.1:0".parse().expect("an address"),
            block_time: None,
            funded: vec![(gas.address(), ether, U256::ZERO), (payer.address(), ether, U256::from(5_000_000))],
        };
        let devnet = Devnet::start(config).await.expect("the chain starts");
        let url = devnet.rpc_url();
        let proxy = Proxy::start(&url).await;
        let chain = Chain::connect(&parse(&url), CHAIN_ID, ChainSettings::default()).await;
        Self {
            proxy,
            chain: Arc::new(chain.expect("connected")),
            gas,
            payer,
            asset: Asset::known(&Network::eip155(CHAIN_ID), None).expect("known"),
            url,
            seller: Seller::random(SenderKind::Host),
            _devnet: devnet,
        }
    }

    /// A configuration that goes through the proxy, with short waits.
    pub fn config(&self) -> LocalConfig {
        let mut config = LocalConfig::new(
            parse(&self.proxy.url),
            self.asset.network.clone(),
            vec![self.asset.clone()],
            vec![self.gas.clone()],
        );
        config.seller = self.seller;
        config.chain.poll_interval = Duration::from_millis(10);
        config.chain.request_timeout = Duration::from_secs(2);
        config.receipt_timeout = Duration::from_secs(1);
        config.sequencer.resend_after = Duration::from_millis(300);
        config.sequencer.displaced_after = Duration::from_millis(200);
        config
    }

    /// A configuration with waits for many payments at once on a busy machine.
    pub fn config_for_many(&self) -> LocalConfig {
        let mut config = self.config();
        config.chain.request_timeout = Duration::from_secs(30);
        config.receipt_timeout = Duration::from_secs(60);
        config.sequencer.resend_after = Duration::from_secs(60);
        config
    }

    pub async fn local(&self) -> Local {
        Local::connect(self.config()).await.expect("connected")
    }

    pub fn token(&self) -> Address {
        self.asset.address.parse().expect("an address")
    }

    pub async fn usdc(&self, account: Address) -> u64 {
        let call = IEip3009::balanceOfCall { account };
        let balance = self.chain.call(self.token(), &call, None).await;
        balance.expect("a balance").to()
    }

    /// Transactions that an account has sent.
    pub async fn sent(&self, account: Address) -> u64 {
        let nonce = self.rpc("eth_getTransactionCount", json!([account, "latest"])).await;
        let nonce = nonce.as_str().expect("a number");
        u64::from_str_radix(&nonce[2..], 16).expect("hex")
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let client = reqwest::Client::new();
        let answer = client.post(&self.url).json(&body).send().await;
        let answer: Value = answer.expect("sent").json().await.expect("JSON");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    pub fn authorization(&self) -> Authorization {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        Authorization {
            from: self.payer.address(),
            to: SELLER,
            value: U256::from(PRICE),
            valid_after: U256::ZERO,
            valid_before: U256::from(now + 60),
            nonce: B256::from(secp256k1::rand::random::<[u8; 32]>()),
        }
    }

    pub fn signature(&self, key: &Key, authorization: &Authorization) -> Bytes {
        let domain = Domain::new("USDC", "2", CHAIN_ID, self.token());
        let signature = key.sign(domain.digest(authorization)).expect("signed");
        signature.as_bytes().to_vec().into()
    }

    pub fn payment(&self) -> PaymentRequest {
        self.payment_of(&self.authorization())
    }

    /// A version 2 payment by the payer's key.
    pub fn payment_of(&self, authorization: &Authorization) -> PaymentRequest {
        self.payment_with(authorization, &self.signature(&self.payer, authorization))
    }

    pub fn payment_with(&self, authorization: &Authorization, signature: &Bytes) -> PaymentRequest {
        let requirements = self.price().requirements();
        let accepted = match serde_json::to_value(&requirements) {
            Ok(Value::Object(accepted)) => accepted,
            other => panic!("{other:?}"),
        };
        PaymentRequest::V2 {
            payload: v2::PaymentPayload {
                x402_version: X402Version,
                resource: None,
                accepted,
                payload: payload(authorization, signature),
                extensions: None,
            },
            requirements,
            declaration: None,
        }
    }

    pub fn payment_v1(&self, authorization: &Authorization) -> PaymentRequest {
        let signature = self.signature(&self.payer, authorization);
        PaymentRequest::V1 {
            payload: v1::PaymentPayload {
                x402_version: X402Version,
                scheme: "exact".to_owned(),
                network: "base-sepolia".to_owned(),
                payload: payload(authorization, &signature),
            },
            requirements: self
                .price()
                .requirements_v1("http://127.0.0.1/", "", "")
                .expect("version 1 knows the network"),
        }
    }

    pub fn price(&self) -> Price {
        Price {
            amount: Amount(U256::from(PRICE)),
            asset: Arc::new(self.asset.clone()),
            pay_to: SELLER.to_string().into(),
            max_timeout_seconds: 60,
            flow: coinslot_x402::Flow::Authorization,
            quote: None,
            versions: Versions::Both,
        }
    }

    /// Submits an authorisation from another account.
    pub async fn submit(&self, authorization: &Authorization) -> B256 {
        let call = IEip3009::transferWithAuthorization_1Call {
            from: authorization.from,
            to: authorization.to,
            value: authorization.value,
            validAfter: authorization.valid_after,
            validBefore: authorization.valid_before,
            nonce: authorization.nonce,
            signature: self.signature(&self.payer, authorization),
        };
        self.send_from_another_account(call.abi_encode().into()).await
    }

    /// Cancels an authorisation of the payer.
    pub async fn cancel(&self, authorization: &Authorization) -> B256 {
        alloy::sol! {
            function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
        }
        let separator = self.chain.call(self.token(), &IEip3009::DOMAIN_SEPARATORCall {}, None).await;
        let typehash = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
        let (authorizer, nonce) = (authorization.from, authorization.nonce);
        let message = keccak256((typehash, authorizer, nonce).abi_encode());
        let digest = keccak256([&[0x19, 0x01][..], &separator.expect("a domain")[..], &message[..]].concat());
        let signature = self.payer.sign(digest).expect("signed").as_bytes().to_vec().into();
        let call = cancelAuthorizationCall { authorizer, nonce, signature };
        self.send_from_another_account(call.abi_encode().into()).await
    }

    /// Sends a call to the token from a new account.
    async fn send_from_another_account(&self, data: Bytes) -> B256 {
        let other = Key::random();
        let ether = "0xde0b6b3a7640000";
        self.rpc("anvil_setBalance", json!([other.address(), ether])).await;
        let settings = SequencerSettings::default();
        let sequencer = Sequencer::start(self.chain.clone(), vec![other], GasLimits::default(), settings, None).await;
        let order = TxCall { to: self.token(), data, alone: false, max_gas: None };
        let ticket = sequencer.expect("started").submit(order);
        match ticket.wait(Duration::from_secs(5)).await {
            TxStatus::Included(landing) if landing.receipt.succeeded() => landing.receipt.transaction_hash,
            other => panic!("not submitted: {other:?}"),
        }
    }

    /// A new payer with so much of the token.
    pub async fn another_payer(&self, usdc: u64) -> Key {
        let key = Key::random();
        self.endow(key.address(), usdc).await;
        key
    }

    /// Gives an account so much of the token, whatever it had.
    pub async fn endow(&self, account: Address, usdc: u64) {
        let slot = keccak256((account, U256::ZERO).abi_encode());
        let value = B256::from(U256::from(usdc));
        self.rpc("anvil_setStorageAt", json!([self.token(), slot, value])).await;
    }

    /// A payment by another payer's key.
    pub fn payment_by(&self, payer: &Key) -> PaymentRequest {
        let mut authorization = self.authorization();
        authorization.from = payer.address();
        self.payment_with(&authorization, &self.signature(payer, &authorization))
    }

    /// Gas that a transaction used.
    pub async fn gas_used(&self, transaction: &str) -> u64 {
        let receipt = self.rpc("eth_getTransactionReceipt", json!([transaction])).await;
        let gas = receipt["gasUsed"].as_str().expect("a number");
        u64::from_str_radix(&gas[2..], 16).expect("hex")
    }

    /// A contract wallet of an owner, with money.
    pub async fn wallet(&self, owner: Address, at: Address) {
        self.rpc("anvil_setCode", json!([at, wallet1271_runtime_code()])).await;
        let owner = B256::left_padding_from(owner.as_slice());
        self.rpc("anvil_setStorageAt", json!([at, "0x0", owner])).await;
    }
}

pub fn parse(url: &str) -> Url {
    url.parse().expect("a URL")
}

pub fn payload(authorization: &Authorization, signature: &Bytes) -> Object {
    let payload = json!({
        "signature": signature,
        "authorization": {
            "from": authorization.from,
            "to": authorization.to,
            "value": authorization.value.to_string(),
            "validAfter": authorization.valid_after.to_string(),
            "validBefore": authorization.valid_before.to_string(),
            "nonce": authorization.nonce,
        },
    });
    match payload {
        Value::Object(payload) => payload,
        other => panic!("{other}"),
    }
}

/// The fault of a request for a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// The request does not arrive.
    Request,
    /// The request arrives, its reply does not.
    Reply,
    /// The request does not arrive, and is answered with a hash all the same, as by a node that loses a transaction.
    Swallow,
    /// The request arrives, and is answered with an error, as by a gateway that failed after it had passed it on.
    Mangle,
    /// The request does not arrive, and is answered with the same error.
    Deny,
}

/// The error of a gateway, which says nothing about the node behind it.
const GATEWAY_ERROR: &str = "internal error";

/// A proxy before a JSON-RPC node.
#[derive(Debug)]
pub struct Proxy {
    pub url: String,
    faults: Arc<Mutex<Vec<(&'static str, ProxyFault)>>>,
    /// The number of calls of each method, and the first parameter of the last one.
    calls: Arc<Mutex<HashMap<String, (usize, Value)>>>,
    rewrite: Arc<Mutex<Option<Rewrite>>>,
    /// The most blocks in one question for logs.
    log_range: Arc<AtomicU64>,
    /// The node takes blocks by their number only.
    numbers_only: Arc<AtomicBool>,
}

/// Changes the answer to a method: its result, or its error.
pub type Rewrite = fn(&str, &mut Value);

impl Proxy {
    pub async fn start(upstream: &str) -> Self {
        let faults = Arc::new(Mutex::new(Vec::new()));
        let calls = Arc::new(Mutex::new(HashMap::new()));
        let rewrite = Arc::new(Mutex::new(None));
        let (rules, counts, upstream) = (faults.clone(), calls.clone(), upstream.to_owned());
        let rewriting = rewrite.clone();
        let log_range = Arc::new(AtomicU64::new(u64::MAX));
        let numbers_only = Arc::new(AtomicBool::new(false));
        let (allowed, only) = (log_range.clone(), numbers_only.clone());
        let client = reqwest::Client::new();
        let address = serve(move |request: Request<Incoming>| {
            let (rules, counts, upstream, client) = (rules.clone(), counts.clone(), upstream.clone(), client.clone());
            let rewriting: Arc<Mutex<Option<Rewrite>>> = rewriting.clone();
            let (allowed, only) = (allowed.load(Ordering::SeqCst), only.load(Ordering::SeqCst));
            async move {
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                let call: Value = serde_json::from_slice(&body).expect("JSON");
                let method = call["method"].as_str().unwrap_or_default().to_owned();
                let fault = {
                    let rules: std::sync::MutexGuard<'_, Vec<(&str, ProxyFault)>> = rules.lock().expect("not poisoned");
                    rules.iter().find(|(name, _)| *name == method || *name == "*").map(|(_, fault)| *fault)
                };
                {
                    let mut counts: std::sync::MutexGuard<'_, HashMap<String, (usize, Value)>> =
                        counts.lock().expect("not poisoned");
                    let count = counts.entry(method.clone()).or_default();
                    *count = (count.0 + 1, call["params"][0].clone());
                }
                if fault == Some(ProxyFault::Request) {
                    return bad_gateway();
                }
                if fault == Some(ProxyFault::Swallow) {
                    let answer = json!({"jsonrpc": "2.0", "id": call["id"], "result": B256::repeat_byte(1)});
                    return Response::new(Full::new(answer.to_string().into()));
                }
                let refusal_with = |code: i64, text: &str| {
                    let error = json!({"code": code, "message": text});
                    let answer = json!({"jsonrpc": "2.0", "id": call["id"], "error": error});
                    Response::new(Full::new(answer.to_string().into()))
                };
                let refusal = |text: &str| refusal_with(-32_000, text);
                if only && call["params"][1]["blockHash"].is_string() {
                    return refusal_with(-32_602, "invalid argument 1: a number or a tag is expected");
                }
                if fault == Some(ProxyFault::Deny) {
                    return refusal(GATEWAY_ERROR);
                }
                if method == "eth_getLogs" && blocks_in(&call["params"][0]) > allowed {
                    return refusal("the range of blocks is too large");
                }
                let sent = client.post(&upstream).header("content-type", "application/json").body(body).send().await;
                let answer = sent.expect("forwarded").bytes().await.expect("an answer");
                if fault == Some(ProxyFault::Reply) {
                    return bad_gateway();
                }
                if fault == Some(ProxyFault::Mangle) {
                    return refusal(GATEWAY_ERROR);
                }
                let rewrite = *rewriting.lock().expect("not poisoned");
                let Some(rewrite) = rewrite else { return Response::new(Full::new(answer)) };
                let mut answer: Value = serde_json::from_slice(&answer).expect("JSON");
                let content = if answer.get("error").is_some() { "error" } else { "result" };
                rewrite(&method, &mut answer[content]);
                Response::new(Full::new(answer.to_string().into()))
            }
        })
        .await;
        Self { url: format!("http://{address}"), faults, calls, rewrite, log_range, numbers_only }
    }

    /// Refuses blocks by their hash (EIP-1898) from now on.
    pub fn take_numbers_only(&self) {
        self.numbers_only.store(true, Ordering::SeqCst);
    }

    /// Refuses questions for logs of more blocks from now on.
    pub fn allow_log_range(&self, blocks: u64) {
        self.log_range.store(blocks, Ordering::SeqCst);
    }

    /// The number of calls of a method since the proxy started; of all methods for `*`.
    pub fn calls(&self, method: &str) -> usize {
        let calls = self.calls.lock().expect("not poisoned");
        if method == "*" { calls.values().map(|call| call.0).sum() } else { calls.get(method).map_or(0, |call| call.0) }
    }

    /// The first parameter of the last call of a method.
    pub fn last(&self, method: &str) -> Value {
        let calls = self.calls.lock().expect("not poisoned");
        calls.get(method).map(|call| call.1.clone()).unwrap_or_default()
    }

    /// Changes every answer of the node from now on.
    pub fn rewrite(&self, rewrite: Rewrite) {
        *self.rewrite.lock().expect("not poisoned") = Some(rewrite);
    }

    /// Applies these faults from now on. `*` is every method.
    pub fn set(&self, faults: &[(&'static str, ProxyFault)]) {
        *self.faults.lock().expect("not poisoned") = faults.to_vec();
    }
}

/// The blocks that a filter of logs spans.
fn blocks_in(filter: &Value) -> u64 {
    let number = |key: &str| u64::from_str_radix(filter[key].as_str()?.strip_prefix("0x")?, 16).ok();
    number("toBlock").zip(number("fromBlock")).map_or(0, |(to, from)| to + 1 - from)
}

fn bad_gateway() -> Response<Full<bytes::Bytes>> {
    let mut response = Response::new(Full::new("lost".into()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// A server for as long as the test runs.
pub async fn serve<F, R>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Full<bytes::Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}
