//! The methods that only a development chain has, under the names of Hardhat and anvil.
//!
//! Intervals are in seconds, as anvil reads `evm_setIntervalMining` (Hardhat: milliseconds). An edit of the state shows
//! at once, in the state after the newest block.

use std::time::Duration;

use alloy::primitives::{Address, Bytes, U64, U256};
use revm::state::Bytecode;
use serde_json::{Value, json};

use super::chain::DevnetChain;
use super::error::RpcError;
use super::node::{MiningMode, Node};
use super::params::Params;

/// Most blocks that one call may mine: each of them is built and kept.
const MAX_BLOCKS: u64 = 10_000;

/// True for the names that these methods have, and for others of the same tools.
pub(super) fn is_method(name: &str) -> bool {
    ["evm_", "anvil_", "hardhat_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Runs one of these methods; none if the method is not among them.
pub(super) fn call(node: &Node, method: &str, params: &Params) -> Result<Option<Value>, RpcError> {
    match method {
        "evm_mine" => mine(node, params),
        "anvil_mine" | "hardhat_mine" => mine_many(node, params),
        "evm_setNextBlockTimestamp" => set_next_timestamp(node, params),
        "evm_increaseTime" => Ok(json!(node.write().clock.advance(params.required_number(0)?))),
        "evm_setAutomine" | "anvil_setAutoMine" => set_automine(node, params),
        "evm_setIntervalMining" | "anvil_setIntervalMining" => set_interval_mining(node, params),
        "evm_snapshot" | "anvil_snapshot" => Ok(json!(U64::from(node.write().snapshot()))),
        "evm_revert" | "anvil_revert" => Ok(json!(node.write().revert_to(params.required_number(0)?))),
        "anvil_setBalance" | "hardhat_setBalance" => set_balance(node, params),
        "anvil_setNonce" | "hardhat_setNonce" => set_nonce(node, params),
        "anvil_setCode" | "hardhat_setCode" => set_code(node, params),
        "anvil_setStorageAt" | "hardhat_setStorageAt" => set_storage(node, params),
        _ => return Ok(None),
    }
    .map(Some)
}

/// `[timestamp]`, optional: mines one block.
fn mine(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let mut chain = node.write();
    if let Some(timestamp) = params.number(0)? {
        fix_next_timestamp(&mut chain, timestamp)?;
    }
    chain.mine(usize::MAX);
    Ok(json!("0x0"))
}

/// `[blocks, seconds between them]`, both optional: one block, and no seconds.
fn mine_many(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let count = params.number(0)?.unwrap_or(1);
    let interval = params.number(1)?.unwrap_or(0);
    if count > MAX_BLOCKS {
        return Err(RpcError::Param { index: 0, reason: format!("at most {MAX_BLOCKS} blocks at once") });
    }
    let mut chain = node.write();
    for block in 0..count {
        if block > 0 {
            chain.clock.advance(interval);
        }
        chain.mine(usize::MAX);
    }
    Ok(Value::Null)
}

/// `[timestamp]`.
fn set_next_timestamp(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let timestamp = params.required_number(0)?;
    fix_next_timestamp(&mut node.write(), timestamp)?;
    Ok(Value::Null)
}

fn fix_next_timestamp(chain: &mut DevnetChain, asked: u64) -> Result<(), RpcError> {
    let newest = chain.head().header.timestamp;
    if asked < newest {
        return Err(RpcError::TimestampTooLow { asked, newest });
    }
    chain.clock.fix_next(asked);
    Ok(())
}

/// `[on]`. Switching automine off leaves interval mining as it is.
fn set_automine(node: &Node, params: &Params) -> Result<Value, RpcError> {
    match (params.required::<bool>(0)?, node.mining()) {
        (true, _) => node.set_mining(MiningMode::OnDemand),
        (false, MiningMode::OnDemand) => node.set_mining(MiningMode::Manual),
        (false, MiningMode::Every(_) | MiningMode::Manual) => {}
    }
    Ok(Value::Null)
}

/// `[seconds]`. Zero switches interval mining off, and leaves automine as it is.
fn set_interval_mining(node: &Node, params: &Params) -> Result<Value, RpcError> {
    match (params.required_number(0)?, node.mining()) {
        (0, MiningMode::Every(_)) => node.set_mining(MiningMode::Manual),
        (0, MiningMode::OnDemand | MiningMode::Manual) => {}
        (seconds, _) => node.set_mining(MiningMode::Every(Duration::from_secs(seconds))),
    }
    Ok(Value::Null)
}

/// `[address, wei]`.
fn set_balance(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let (address, balance) = (params.required::<Address>(0)?, params.required::<U256>(1)?);
    node.write().state.set_balance(address, balance);
    Ok(Value::Null)
}

/// `[address, nonce]`.
fn set_nonce(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let (address, nonce) = (params.required::<Address>(0)?, params.required_number(1)?);
    node.write().state.set_nonce(address, nonce);
    Ok(Value::Null)
}

/// `[address, runtime code]`.
fn set_code(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let (address, code) = (params.required::<Address>(0)?, params.required::<Bytes>(1)?);
    let code =
        Bytecode::new_raw_checked(code).map_err(|error| RpcError::Param { index: 1, reason: error.to_string() })?;
    node.write().state.set_code(address, code);
    Ok(Value::Null)
}

/// `[address, slot, value]`.
fn set_storage(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let (address, slot) = (params.required::<Address>(0)?, params.required::<U256>(1)?);
    let value = params.required::<U256>(2)?;
    node.write().state.set_storage(address, slot, value);
    Ok(json!(true))
}
