//! Reads blocks, and pins other reads to one of them.

use std::time::Duration;

use alloy::eips::{BlockId, RpcBlockHash};
use alloy::primitives::{Address, B256, Bytes, U64};
use alloy::rpc::json_rpc::{RpcError, RpcSend};
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
    /// In Unix seconds.
    pub time: u64,
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
        let by_hash = BlockId::Hash(RpcBlockHash { block_hash: block.hash, require_canonical: Some(true) });
        match self.client.request("eth_call", (&request, by_hash)).await {
            Ok(answer) => {
                self.health.answered();
                Ok(answer)
            }
            // The node does not take a block by its hash (EIP-1898). It is asked by the number, and the block must
            // still be the same afterwards.
            Err(RpcError::ErrorResp(refusal)) if refusal.code == INVALID_PARAMS => {
                let answer = self.request("eth_call", (&request, U64::from(block.number))).await?;
                match self.block(block.number).await? {
                    Some(now) if now.hash == block.hash => Ok(answer),
                    _ => Err(CallError::Unreachable("the block was replaced while it was read".to_owned())),
                }
            }
            Err(error) => Err(self.classify("eth_call", error)),
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

    /// The block with a number. None if the node does not have it.
    pub async fn block(&self, number: u64) -> Result<Option<PinnedBlock>, CallError> {
        self.read_block(U64::from(number)).await
    }

    async fn read_block(&self, block: impl RpcSend) -> Result<Option<PinnedBlock>, CallError> {
        #[derive(Clone, Debug, Deserialize)]
        struct Header {
            number: U64,
            hash: B256,
            timestamp: U64,
        }
        let header: Option<Header> = self.request("eth_getBlockByNumber", (block, false)).await?;
        Ok(header.map(|header| PinnedBlock {
            number: header.number.to(),
            hash: header.hash,
            time: header.timestamp.to(),
        }))
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
