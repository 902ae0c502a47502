//! The methods that every Ethereum client expects: `web3_`, `net_` and `eth_`.
//!
//! `eth_call`, `eth_estimateGas` and the reads of state take any kept block. "pending" is the newest state, except for
//! the transaction count, which includes the sender's pooled transactions.

use alloy::consensus::transaction::{Recovered, TransactionInfo};
use alloy::consensus::{Header, Transaction as _, TxEnvelope};
use alloy::eips::eip4895::Withdrawals;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy::rpc::types::{self, BlockTransactions, FeeHistory, Filter, Transaction};
use revm::context::result::ExecutionResult;
use serde::Serialize;
use serde_json::{Value, json};

use super::block::Block;
use super::chain::DevnetChain;
use super::error::RpcError;
use super::node::Node;
use super::params::{self, Params};
use super::spec::{CHAIN_ID, CLIENT_VERSION_PREFIX};
use super::{execute, fees, logs, pool};

/// Most blocks of one `eth_feeHistory`: go-ethereum's limit.
const MAX_FEE_HISTORY: u64 = 1_024;

/// Runs one of these methods; none if the method is not among them.
pub(super) fn call(node: &Node, method: &str, params: &Params) -> Result<Option<Value>, RpcError> {
    let result = match method {
        "web3_clientVersion" => encode(format!("{CLIENT_VERSION_PREFIX}{}", env!("CARGO_PKG_VERSION"))),
        "web3_sha3" => encode(keccak256(params.required::<Bytes>(0)?)),
        "net_version" => encode(CHAIN_ID.to_string()),
        "net_listening" => encode(true),
        "net_peerCount" => encode(U64::ZERO),
        "eth_chainId" => encode(U64::from(CHAIN_ID)),
        "eth_syncing" | "eth_mining" => encode(false),
        "eth_accounts" => encode(<[Address; 0]>::default()),
        "eth_blockNumber" => encode(U64::from(node.read().head().header.number)),
        "eth_gasPrice" => encode(U256::from(node.read().next_context().base_fee + fees::SUGGESTED_TIP)),
        "eth_maxPriorityFeePerGas" => encode(U256::from(fees::SUGGESTED_TIP)),
        "eth_blobBaseFee" => encode(U256::ONE),
        "eth_feeHistory" => fee_history(&node.read(), params),
        "eth_sendRawTransaction" => encode(node.submit(pool::decode(&params.required::<Bytes>(0)?)?)?),
        "eth_call" => simulate(&node.read(), params),
        "eth_estimateGas" => estimate(&node.read(), params),
        "eth_getBalance" => {
            let (chain, address) = (node.read(), params.required(0)?);
            encode(chain.state_after(params.block(&chain, 1)?).balance(address))
        }
        "eth_getCode" => {
            let (chain, address) = (node.read(), params.required(0)?);
            encode(chain.state_after(params.block(&chain, 1)?).code(address).original_bytes())
        }
        "eth_getStorageAt" => {
            let (chain, address, slot) = (node.read(), params.required(0)?, params.required(1)?);
            encode(B256::from(chain.state_after(params.block(&chain, 2)?).storage(address, slot)))
        }
        "eth_getTransactionCount" => transaction_count(&node.read(), params),
        "eth_getTransactionByHash" => encode(transaction_by_hash(&node.read(), params.required(0)?)),
        "eth_getTransactionByBlockHashAndIndex" | "eth_getTransactionByBlockNumberAndIndex" => {
            let (chain, index) = (node.read(), params.required_number(1)?);
            let block = params::block(&chain, params.required(0)?);
            encode(block.and_then(|block| mined(block, usize::try_from(index).ok()?)))
        }
        "eth_getTransactionReceipt" => {
            let chain = node.read();
            encode(chain.place_of(params.required(0)?).map(|(block, index)| &block.receipts[index]))
        }
        "eth_getBlockReceipts" => {
            let chain = node.read();
            encode(params::block(&chain, params.required(0)?).map(|block| &block.receipts))
        }
        "eth_getBlockByNumber" | "eth_getBlockByHash" => block(&node.read(), params),
        "eth_getBlockTransactionCountByNumber" | "eth_getBlockTransactionCountByHash" => {
            let chain = node.read();
            encode(params::block(&chain, params.required(0)?).map(|block| U64::from(block.transactions.len())))
        }
        "eth_getUncleCountByBlockNumber" | "eth_getUncleCountByBlockHash" => {
            let chain = node.read();
            encode(params::block(&chain, params.required(0)?).map(|_| U64::ZERO))
        }
        "eth_getLogs" => encode(logs::matching(&node.read(), &params.required::<Filter>(0)?)?),
        _ => return Ok(None),
    };
    result.map(Some)
}

fn encode(result: impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(result).map_err(|error| {
        tracing::error!(%error, "the embedded chain could not encode a result");
        RpcError::Internal
    })
}

fn simulate(chain: &DevnetChain, params: &Params) -> Result<Value, RpcError> {
    let (call, block) = (params.call(0)?, params.block(chain, 1)?);
    params.absent(2, "state overrides")?;
    params.absent(3, "block overrides")?;
    match execute::call(chain.state_after(block), chain.context_for(block), &call)? {
        ExecutionResult::Success { output, .. } => encode(output.data()),
        failed => Err(RpcError::of(failed)),
    }
}

fn estimate(chain: &DevnetChain, params: &Params) -> Result<Value, RpcError> {
    let (call, block) = (params.call(0)?, params.block(chain, 1)?);
    params.absent(2, "state overrides")?;
    let gas = execute::estimate(chain.state_after(block), chain.context_for(block), &call)?.map_err(RpcError::of)?;
    encode(U64::from(gas))
}

fn transaction_count(chain: &DevnetChain, params: &Params) -> Result<Value, RpcError> {
    let address = params.required(0)?;
    let nonce = chain.state_after(params.block(chain, 1)?).nonce(address);
    let pending = params.optional::<BlockId>(1)?.is_some_and(|id| id.is_pending());
    encode(U64::from(if pending { chain.pool.nonce_after(address, nonce) } else { nonce }))
}

fn fee_history(chain: &DevnetChain, params: &Params) -> Result<Value, RpcError> {
    let count = params.required_number(0)?;
    let percentiles: Vec<f64> = params.optional(2)?.unwrap_or_default();
    let rising = percentiles.is_sorted() && percentiles.iter().all(|percentile| (0.0..=100.0).contains(percentile));
    if !rising || percentiles.len() > 100 {
        let reason = "at most 100 percentiles, rising, from 0 to 100".into();
        return Err(RpcError::Param { index: 2, reason });
    }
    encode(fees_of(chain, count, params.block(chain, 1)?, &percentiles))
}

/// The fees of the `count` blocks up to `newest`, or of fewer if not so many are kept. The percentiles rise, from 0 to
/// 100.
fn fees_of(chain: &DevnetChain, count: u64, newest: &Block, percentiles: &[f64]) -> FeeHistory {
    let count = count.clamp(1, MAX_FEE_HISTORY);
    let oldest = newest.header.number.saturating_sub(count - 1).max(chain.oldest());
    let mut answer = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for block in (oldest..=newest.header.number).filter_map(|number| chain.block(number)) {
        answer.base_fee_per_gas.push(block.base_fee().into());
        answer.base_fee_per_blob_gas.push(1);
        answer.blob_gas_used_ratio.push(0.0);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of numbers far below 2^52")]
        answer.gas_used_ratio.push(block.header.gas_used as f64 / execute::BLOCK_GAS_LIMIT as f64);
        rewards.push(tips(block, percentiles));
    }
    // One fee more than blocks: that of the block after the newest, as go-ethereum answers.
    answer.base_fee_per_gas.push(fees::next_base_fee(newest.header.gas_used, newest.base_fee()).into());
    answer.base_fee_per_blob_gas.push(1);
    answer.reward = (!percentiles.is_empty()).then_some(rewards);
    answer
}

/// The tip at each percentile of the block's gas, with the transactions sorted by tip; zero for each in an empty block.
fn tips(block: &Block, percentiles: &[f64]) -> Vec<u128> {
    let mut paid: Vec<(u128, u64)> = block
        .transactions
        .iter()
        .zip(&block.receipts)
        .map(|(tx, receipt)| (tx.effective_tip_per_gas(block.base_fee()).unwrap_or(0), receipt.gas_used))
        .collect();
    paid.sort_unstable();
    let at = |percentile: &f64| {
        #[expect(clippy::cast_precision_loss, reason = "gas is far below 2^52")]
        let threshold = block.header.gas_used as f64 * percentile / 100.0;
        let mut sum = 0.0;
        for (tip, gas) in &paid {
            #[expect(clippy::cast_precision_loss, reason = "gas is far below 2^52")]
            {
                sum += *gas as f64;
            }
            if sum >= threshold {
                return *tip;
            }
        }
        paid.last().map_or(0, |(tip, _)| *tip)
    };
    percentiles.iter().map(at).collect()
}

fn block(chain: &DevnetChain, params: &Params) -> Result<Value, RpcError> {
    let id: BlockId = params.required(0)?;
    let full = params.optional(1)?.unwrap_or(false);
    if id == BlockId::Number(BlockNumberOrTag::Pending) {
        let mut pending = encode(served(&chain.assemble(usize::MAX).block, full))?;
        // A pending block has neither. Clients recognise it by that.
        pending["hash"] = Value::Null;
        pending["nonce"] = Value::Null;
        return Ok(pending);
    }
    params::block(chain, id).map_or(Ok(json!(null)), |block| encode(served(block, full)))
}

/// The block as JSON-RPC returns it, with whole transactions if `full`, else with their hashes.
fn served(block: &Block, full: bool) -> types::Block {
    let transactions = if full {
        BlockTransactions::Full((0..block.transactions.len()).filter_map(|index| mined(block, index)).collect())
    } else {
        BlockTransactions::Hashes(block.transactions.iter().map(|tx| *tx.tx_hash()).collect())
    };
    let header = types::Header::<Header> {
        hash: block.hash,
        inner: block.header.clone(),
        total_difficulty: Some(U256::ZERO),
        size: Some(U256::from(block.size)),
    };
    types::Block { header, uncles: Vec::new(), transactions, withdrawals: Some(Withdrawals::default()) }
}

/// A mined or pooled transaction.
fn transaction_by_hash(chain: &DevnetChain, hash: B256) -> Option<Transaction> {
    if let Some((block, index)) = chain.place_of(hash) {
        return mined(block, index);
    }
    let pooled: Recovered<TxEnvelope> = chain.pool.get(hash)?.clone();
    Some(Transaction::from_transaction(pooled, TransactionInfo { hash: Some(hash), ..TransactionInfo::default() }))
}

/// The transaction at this index of a block.
fn mined(block: &Block, index: usize) -> Option<Transaction> {
    let tx = block.transactions.get(index)?;
    let info = TransactionInfo {
        hash: Some(*tx.tx_hash()),
        index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        base_fee: block.header.base_fee_per_gas,
        block_timestamp: Some(block.header.timestamp),
    };
    Some(Transaction::from_transaction(tx.clone(), info))
}
