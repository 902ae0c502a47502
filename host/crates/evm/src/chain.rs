//! One EVM chain behind a JSON-RPC.
//!
//! Receipts and logs are read into types of our own, because chains have transaction types that alloy's closed set
//! does not know. Error texts never carry the node's URL: it often holds an API key.

mod block;

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::providers::Provider;
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RpcError, RpcRecv, RpcSend};
use alloy::rpc::types::{Filter, Log, TransactionRequest};
use alloy::sol_types::SolCall;
use alloy::transports::{TransportError, TransportErrorKind};
use parking_lot::Mutex as SyncMutex;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::health::{NodeHealth, max_head_age};
use crate::receipt::TxReceipt;
use crate::refusal::NodeRefusal;
use crate::span::LogSpan;
use crate::transport::node_client;

pub use block::PinnedBlock;

use crate::call_error::CallError;
use crate::health::DEVNET_CLIENT;

/// The most blocks that one question for logs spans.
const LOG_SPAN: u64 = 2_000;

/// A chain, reached through one node. Cheap to share behind an `Arc`.
pub struct Chain {
    client: RpcClient,
    /// The node's URL. It often holds an API key, so that error texts show `node` instead.
    url: String,
    /// The host of the URL.
    node: String,
    chain_id: u64,
    poll: Duration,
    /// The time of the last reading of the block number, and the number. Callers share one reading per interval.
    head: Mutex<Option<(Instant, u64)>>,
    /// The span that the last question for logs had.
    log_span: SyncMutex<LogSpan>,
    health: NodeHealth,
}

/// The pace of requests to a node, and their limits.
#[derive(Clone, Copy, Debug)]
pub struct ChainSettings {
    /// The interval at which receipts are looked for: 100 to 200 ms suits chains with blocks of a second or two.
    pub poll_interval: Duration,
    /// The time after which a call counts as unanswered.
    pub request_timeout: Duration,
    /// The age of the newest block at which the chain counts as standing still. None: some twenty block times for a
    /// chain that is known, and no limit for others and for development chains.
    pub max_head_age: Option<Duration>,
}

impl Default for ChainSettings {
    fn default() -> Self {
        Self { poll_interval: Duration::from_millis(150), request_timeout: Duration::from_secs(10), max_head_age: None }
    }
}

/// The reason for which a chain cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("no HTTP client for the node: {0}")]
    Client(String),
    #[error("cannot ask {node} for its chain id: {error}")]
    Asked { node: String, error: CallError },
    #[error("cannot read {node}: {error}")]
    Read { node: String, error: CallError },
    #[error("{node} is chain {found}, not {expected}: the RPC URL belongs to another network")]
    WrongChain { node: String, expected: u64, found: u64 },
}

impl Chain {
    /// Connects, and checks that the node is on this chain.
    pub async fn connect(url: &Url, chain_id: u64, settings: ChainSettings) -> Result<Self, ChainError> {
        let http = reqwest::Client::builder()
            .connect_timeout(settings.request_timeout.min(Duration::from_secs(5)))
            .timeout(settings.request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ChainError::Client(error.to_string()))?;
        let node = url.host_str().unwrap_or("the node").to_owned();
        let mut chain = Self {
            client: node_client(http, url.clone()),
            url: url.to_string(),
            node: node.clone(),
            chain_id,
            poll: settings.poll_interval.max(Duration::from_millis(10)),
            head: Mutex::new(None),
            log_span: SyncMutex::new(LogSpan::new(LOG_SPAN)),
            health: NodeHealth::new(settings.max_head_age),
        };
        let found: Result<U64, _> = chain.request("eth_chainId", ()).await;
        match found {
            Ok(found) if found == U64::from(chain_id) => {
                if settings.max_head_age.is_none()
                    && let Some(usual) = max_head_age(chain_id)
                {
                    // A node that does not name itself is no development chain.
                    let on_demand = chain.makes_blocks_on_demand().await;
                    chain.health = NodeHealth::new((!on_demand).then_some(usual));
                }
                Ok(chain)
            }
            Ok(found) => Err(ChainError::WrongChain { node, expected: chain_id, found: found.to() }),
            Err(error) => Err(ChainError::Asked { node, error }),
        }
    }

    /// The host of the node, for error texts.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        self.poll
    }

    /// The chain's id, as the node confirmed it.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// `eth_call` against the latest block, with the gas cap if given. An answer that does not
    /// decode counts as a revert: the contract does not have the function.
    pub async fn call<C: SolCall>(&self, to: Address, call: &C, gas: Option<u64>) -> Result<C::Return, CallError> {
        let mut request = TransactionRequest::default().to(to).input(call.abi_encode().into());
        request.gas = gas;
        let answer = self.run(request).await?;
        C::abi_decode_returns(&answer).map_err(|error| CallError::Reverted(format!("{}: {error}", C::SIGNATURE)))
    }

    /// `eth_call` of any request, a contract's creation too, against the latest block.
    pub(crate) async fn run(&self, request: TransactionRequest) -> Result<Bytes, CallError> {
        self.request("eth_call", (request, "latest")).await
    }

    /// The least gas that the call succeeds with. A call that does not is a revert.
    pub(crate) async fn estimate(&self, request: TransactionRequest) -> Result<u64, CallError> {
        let gas: U64 = self.request("eth_estimateGas", (request, "latest")).await?;
        Ok(gas.to())
    }

    /// The number of transactions that an account has in blocks.
    pub(crate) async fn mined_nonce(&self, address: Address) -> Result<u64, CallError> {
        self.nonce(address, "latest").await
    }

    /// The number of transactions that an account has in blocks and in the node's pool.
    pub(crate) async fn pending_nonce(&self, address: Address) -> Result<u64, CallError> {
        self.nonce(address, "pending").await
    }

    async fn nonce(&self, address: Address, tag: &'static str) -> Result<u64, CallError> {
        let nonce: U64 = self.request("eth_getTransactionCount", (address, tag)).await?;
        Ok(nonce.to())
    }

    /// Gives a signed transaction to the node. A node that has it already counts as a success.
    pub(crate) async fn send_raw(&self, raw: &Bytes) -> Result<(), CallError> {
        let sent: Result<B256, _> = self.request("eth_sendRawTransaction", (raw,)).await;
        match sent {
            Ok(_) => Ok(()),
            Err(CallError::Refused(text)) if NodeRefusal::of(&text) == NodeRefusal::Known => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The code at an address; empty for plain accounts.
    pub async fn code(&self, address: Address) -> Result<Bytes, CallError> {
        self.request("eth_getCode", (address, "latest")).await
    }

    /// The native balance in wei, which pays for gas.
    pub async fn balance(&self, address: Address) -> Result<U256, CallError> {
        self.request("eth_getBalance", (address, "latest")).await
    }

    /// Asks whether the node has a transaction, in a block or in its pool.
    pub(crate) async fn has_transaction(&self, hash: B256) -> Result<bool, CallError> {
        let found: Option<serde_json::Value> = self.request("eth_getTransactionByHash", (hash,)).await?;
        Ok(found.is_some())
    }

    /// The receipt of a transaction that is in a block.
    pub async fn receipt(&self, hash: B256) -> Result<Option<TxReceipt>, CallError> {
        self.request("eth_getTransactionReceipt", (hash,)).await
    }

    /// The logs that match.
    pub async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, CallError> {
        self.request("eth_getLogs", (filter,)).await
    }

    /// The block number, read at most once per poll interval however many tasks ask.
    pub(crate) async fn head(&self) -> Result<u64, CallError> {
        // The lock is held while the node is asked, so that tasks that come meanwhile wait for this answer.
        let mut head = self.head.lock().await;
        match *head {
            Some((read, number)) if read.elapsed() < self.poll => Ok(number),
            _ => {
                let number = self.block_number().await?;
                *head = Some((Instant::now(), number));
                Ok(number)
            }
        }
    }

    /// Makes one request. The meaning of an error is decided here and nowhere else.
    pub(crate) async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, CallError> {
        let answer = self.client.request(method, params).await;
        if answer.is_ok() {
            self.health.answered();
        }
        answer.map_err(|error| self.classify(method, error))
    }

    fn classify(&self, method: &str, error: RpcError<TransportErrorKind>) -> CallError {
        match &error {
            RpcError::ErrorResp(_) | RpcError::DeserError { .. } => self.health.answered(),
            _ => self.health.did_not_answer(Instant::now()),
        }
        match error {
            RpcError::ErrorResp(payload) => {
                let text = payload.message.to_string();
                let lower = text.to_lowercase();
                // geth, anvil and reth: 3. Nethermind: -32015. Others only say it.
                let reverted = payload.code == 3
                    || payload.code == -32015
                    || ["revert", "out of gas", "gas required exceeds", "invalid opcode"]
                        .iter()
                        .any(|sign| lower.contains(sign));
                // Only these two run a contract, so elsewhere such a text is a refusal by the node.
                if reverted && matches!(method, "eth_call" | "eth_estimateGas") {
                    CallError::Reverted(text)
                } else {
                    CallError::Refused(self.redact(&text))
                }
            }
            RpcError::DeserError { err, .. } => CallError::Unreachable(format!("{method}: {err}")),
            other => CallError::Unreachable(self.redact(&format!("{method}: {other}"))),
        }
    }

    fn redact(&self, text: &str) -> String {
        // The client tells the address without the user, and with a path that may be the key.
        let bare = Url::parse(&self.url).ok().and_then(|mut url| {
            url.set_password(None).ok()?;
            url.set_username("").ok()?;
            Some(url.to_string())
        });
        let known = [self.url.as_str(), self.url.trim_end_matches('/')].into_iter().chain(bare.as_deref());
        known.fold(text.to_owned(), |text, url| text.replace(url, &self.node))
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("node", &self.node).field("chain_id", &self.chain_id).finish_non_exhaustive()
    }
}

/// Asks whether the node behind `provider` is an embedded chain, where nothing paid is money.
///
/// An error means that the node did not answer, which is not a no.
pub async fn is_devnet(provider: &impl Provider) -> Result<bool, TransportError> {
    Ok(provider.get_client_version().await?.starts_with(DEVNET_CLIENT))
}
