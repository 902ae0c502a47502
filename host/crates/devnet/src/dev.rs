//! The methods that only a development chain has, under the names that Hardhat and anvil gave them.
//!
//! Seconds are seconds (anvil's reading of `evm_setIntervalMining`), and a state edit shows at once, in
//! the state after the newest block.

use std::time::Duration;

use alloy::primitives::{Address, Bytes, U64, U256};
use revm::state::Bytecode;
use serde_json::{Value, json};

use super::node::{MiningMode, Node};
use super::params::Params;
use super::rpc::RpcError;

/// Blocks that one call may mine: each is built and kept.
const MAX_BLOCKS: u64 = 10_000;

/// None when the method is not one of these.
pub(super) fn call(node: &Node, method: &str, params: &Params) -> Result<Option<Value>, RpcError> {
    let result = match method {
        "evm_mine" => {
            let mut chain = node.write();
            if let Some(timestamp) = params.number(0)? {
                fix_next_timestamp(&mut chain, timestamp)?;
            }
            chain.mine(usize::MAX);
            json!("0x0")
        }
        "anvil_mine" | "hardhat_mine" => mine_many(node, params)?,
        "evm_setNextBlockTimestamp" => {
            let timestamp = params.number(0)?.ok_or(RpcError::MissingParam(0))?;
            fix_next_timestamp(&mut node.write(), timestamp)?;
            Value::Null
        }
        "evm_increaseTime" => {
            let seconds = params.number(0)?.ok_or(RpcError::MissingParam(0))?;
            json!(node.write().clock.advance(seconds))
        }
        "evm_setAutomine" | "anvil_setAutoMine" => {
            let on_demand = params.required::<bool>(0)?;
            match (on_demand, node.mining()) {
                (true, _) => node.set_mining(MiningMode::OnDemand),
                (false, MiningMode::OnDemand) => node.set_mining(MiningMode::Manual),
                (false, MiningMode::Every(_) | MiningMode::Manual) => {}
            }
            Value::Null
        }
        "evm_setIntervalMining" | "anvil_setIntervalMining" => {
            match (params.number(0)?.ok_or(RpcError::MissingParam(0))?, node.mining()) {
                (0, MiningMode::Every(_)) => node.set_mining(MiningMode::Manual),
                (0, MiningMode::OnDemand | MiningMode::Manual) => {}
                (seconds, _) => node.set_mining(MiningMode::Every(Duration::from_secs(seconds))),
            }
            Value::Null
        }
        "evm_snapshot" | "anvil_snapshot" => json!(U64::from(node.write().snapshot())),
        "evm_revert" | "anvil_revert" => {
            let id = params.number(0)?.ok_or(RpcError::MissingParam(0))?;
            json!(node.write().revert_to(id))
        }
        "anvil_setBalance" | "hardhat_setBalance" => {
            let (address, balance) = (params.required::<Address>(0)?, params.required::<U256>(1)?);
            node.write().state.set_balance(address, balance);
            Value::Null
        }
        "anvil_setNonce" | "hardhat_setNonce" => {
            let (address, nonce) =
                (params.required::<Address>(0)?, params.number(1)?.ok_or(RpcError::MissingParam(1))?);
            node.write().state.set_nonce(address, nonce);
            Value::Null
        }
        "anvil_setCode" | "hardhat_setCode" => {
            let (address, code) = (params.required::<Address>(0)?, params.required::<Bytes>(1)?);
            let code = Bytecode::new_raw_checked(code)
                .map_err(|error| RpcError::Param { index: 1, reason: error.to_string() })?;
            node.write().state.set_code(address, code);
            Value::Null
        }
        "anvil_setStorageAt" | "hardhat_setStorageAt" => {
            let (address, slot) = (params.required::<Address>(0)?, params.required::<U256>(1)?);
            let value = params.required::<U256>(2)?;
            node.write().state.set_storage(address, slot, value);
            json!(true)
        }
        _ => return Ok(None),
    };
    Ok(Some(result))
}

/// `[blocks, seconds between them]`, both optional: one block, and no seconds.
fn mine_many(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let count = params.number(0)?.unwrap_or(1);
    let apart = params.number(1)?.unwrap_or(0);
    if count > MAX_BLOCKS {
        return Err(RpcError::Param { index: 0, reason: format!("at most {MAX_BLOCKS} blocks at once") });
    }
    let mut chain = node.write();
    for block in 0..count {
        if block > 0 {
            chain.clock.advance(apart);
        }
        chain.mine(usize::MAX);
    }
    Ok(Value::Null)
}

fn fix_next_timestamp(chain: &mut super::chain::DevnetChain, asked: u64) -> Result<(), RpcError> {
    let newest = chain.head().header.timestamp;
    if asked < newest {
        return Err(RpcError::TimestampTooLow { asked, newest });
    }
    chain.clock.fix_next(asked);
    Ok(())
}
