//! Reads blocks, and pins other reads to one of them.

use std::time::Duration;

use alloy::eips::{BlockId, RpcBlockHash};
use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::rpc::json_rpc::{RpcError, RpcRecv, RpcSend};
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use serde::Deserialize;
use tokio::time::Instant;

use super::{CallError, Chain};
use crate::health::{ChainTrouble, makes_blocks_on_demand};
use crate::span::LogSpan;

/// The code of an error about the form of a request (JSON-RPC 2.0, section 5.1).
const INVALID_PARAMS: i64 = -32_602;

/// A block, to which reads are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedBlock {
    pub number: u64,
    pub hash: B256,
    /// The hash of the block below it.
    pub parent: B256,
    /// In Unix seconds.
    pub time: u64,
}

/// The fields of a block that are read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
}

impl From<Header> for PinnedBlock {
    fn from(header: Header) -> Self {
        Self { number: header.number.to(), hash: header.hash, parent: header.parent_hash, time: header.timestamp.to() }
    }
}

impl Chain {
    /// `eth_call` at a block, as [`Self::call`]. A node that does not have this very block answers with an error.
    pub async fn call_at<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        block: &PinnedBlock,
    ) -> Result<C::Return, CallError> {
        let answer = self.run_at(to, call.abi_encode().into(), block).await?;
        C::abi_decode_returns(&answer).map_err(|error| CallError::Reverted(format!("{}: {error}", C::SIGNATURE)))
    }

    /// `eth_call` of these data at a block.
    pub async fn run_at(&self, to: Address, data: Bytes, block: &PinnedBlock) -> Result<Bytes, CallError> {
        let request = TransactionRequest::default().to(to).input(data.into());
        self.read_at("eth_call", request, block).await
    }

    /// The number of transactions that an account has in the blocks up to this one.
    pub(crate) async fn nonce_at(&self, address: Address, block: &PinnedBlock) -> Result<u64, CallError> {
        let nonce: U64 = self.read_at("eth_getTransactionCount", address, block).await?;
        Ok(nonce.to())
    }

    /// The native balance at a block, in wei.
    pub(crate) async fn balance_at(&self, address: Address, block: &PinnedBlock) -> Result<U256, CallError> {
        self.read_at("eth_getBalance", address, block).await
    }

    /// Reads the state after a block with a method that takes a subject and a block.
    async fn read_at<S: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        subject: S,
        block: &PinnedBlock,
    ) -> Result<R, CallError> {
        let by_hash = BlockId::Hash(RpcBlockHash { block_hash: block.hash, require_canonical: Some(true) });
        match self.client.request(method, (&subject, by_hash)).await {
            Ok(answer) => {
                self.health.answered();
                Ok(answer)
            }
            // The node does not take a block by its hash (EIP-1898). It is asked by the number, and the block must
            // still be the same afterwards.
            Err(RpcError::ErrorResp(refusal)) if refusal.code == INVALID_PARAMS => {
                let answer = self.request(method, (&subject, U64::from(block.number))).await?;
                match self.block(block.number).await? {
                    Some(now) if now.hash == block.hash => Ok(answer),
                    _ => Err(CallError::Unreachable("the block was replaced while it was read".to_owned())),
                }
            }
            Err(error) => Err(self.classify(method, error)),
        }
    }

    /// The number of the newest block.
    pub async fn block_number(&self) -> Result<u64, CallError> {
        let number: U64 = self.request("eth_blockNumber", ()).await?;
        self.health.saw_head(number.to(), None, Instant::now());
        Ok(number.to())
    }

    /// The newest block.
    pub async fn newest_block(&self) -> Result<PinnedBlock, CallError> {
        let block = self.read_block("latest").await?;
        let block = block.ok_or_else(|| CallError::Unreachable("the node has no newest block".to_owned()))?;
        self.health.saw_head(block.number, Some(block.time), Instant::now());
        Ok(block)
    }

    /// The newest block that the chain calls final: none of another branch can take its place.
    pub async fn final_block(&self) -> Result<PinnedBlock, CallError> {
        let block = self.read_block("finalized").await?;
        block.ok_or_else(|| CallError::Unreachable("the node has no final block".to_owned()))
    }

    /// The block with a number. None if the node does not have it.
    pub async fn block(&self, number: u64) -> Result<Option<PinnedBlock>, CallError> {
        self.read_block(U64::from(number)).await
    }

    /// The block so many blocks below this one, found from parent to parent: no reorganisation during the reads can
    /// make the answer a block of another branch. None if the node does not have one of the blocks.
    pub(crate) async fn ancestor(&self, block: &PinnedBlock, depth: u64) -> Result<Option<PinnedBlock>, CallError> {
        let mut found = *block;
        for _ in 0..depth {
            let parent: Option<Header> = self.request("eth_getBlockByHash", (found.parent, false)).await?;
            let Some(parent) = parent else { return Ok(None) };
            let parent = PinnedBlock::from(parent);
            if (parent.hash, parent.number.checked_add(1)) != (found.parent, Some(found.number)) {
                return Err(CallError::Unreachable(
                    "the node answered with another block than it was asked for".to_owned(),
                ));
            }
            found = parent;
        }
        Ok(Some(found))
    }

    async fn read_block(&self, block: impl RpcSend) -> Result<Option<PinnedBlock>, CallError> {
        let header: Option<Header> = self.request("eth_getBlockByNumber", (block, false)).await?;
        Ok(header.map(PinnedBlock::from))
    }

    /// The hash of the transaction in a block that has a sender and a nonce. None: no transaction in it has them.
    pub(crate) async fn transaction_in(
        &self,
        block: &PinnedBlock,
        sender: Address,
        nonce: u64,
    ) -> Result<Option<B256>, CallError> {
        #[derive(Clone, Debug, Deserialize)]
        struct Body {
            transactions: Vec<Sent>,
        }
        #[derive(Clone, Debug, Deserialize)]
        struct Sent {
            hash: B256,
            from: Address,
            nonce: U64,
        }
        let body: Option<Body> = self.request("eth_getBlockByHash", (block.hash, true)).await?;
        let body =
            body.ok_or_else(|| CallError::Unreachable("the node does not have a block that it showed".to_owned()))?;
        let found = body.transactions.iter().find(|sent| (sent.from, sent.nonce) == (sender, U64::from(nonce)));
        Ok(found.map(|sent| sent.hash))
    }

    /// The time of a block in Unix seconds. None if the node does not have the block.
    pub async fn block_time(&self, number: u64) -> Result<Option<u64>, CallError> {
        Ok(self.block(number).await?.map(|block| block.time))
    }

    /// True if the node says that it is a development chain, which makes a block only when there is a transaction.
    pub async fn makes_blocks_on_demand(&self) -> bool {
        let client: Result<String, _> = self.request("web3_clientVersion", ()).await;
        client.is_ok_and(|client| makes_blocks_on_demand(&client))
    }

    /// The reason for which the chain cannot be used at the moment, as far as earlier requests showed it. It asks
    /// nothing.
    pub fn trouble(&self) -> Option<ChainTrouble> {
        self.health.trouble(Instant::now())
    }

    /// Reads the newest block, for [`Self::trouble`], unless it was read within this time.
    pub async fn look(&self, fresh: Duration) {
        let known = self.health.head_read(Instant::now()).is_some_and(|age| age < fresh);
        if (!known || self.trouble().is_some())
            && let Err(error) = self.newest_block().await
        {
            tracing::debug!(%error, node = self.node, "the newest block cannot be read");
        }
    }

    /// The span of the next question for logs.
    pub(crate) fn log_span(&self) -> LogSpan {
        *self.log_span.lock()
    }

    /// Remembers what a node allows, for the next questions.
    pub(crate) fn keep_log_span(&self, span: LogSpan) {
        *self.log_span.lock() = span;
    }
}
