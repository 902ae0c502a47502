//! JSON-RPC 2.0: one request or a batch in, the answers out. Knows no method but where to find them.
//!
//! Invariant: every call with an id gets exactly one answer with that id; a malformed one gets an error
//! object with the standard's code, and a revert has code 3 with the output in `data`, as from
//! go-ethereum (alloy, viem and ethers read the reason from there).

use alloy::primitives::Bytes;
use alloy::sol_types::{Panic, Revert, SolError as _};
use revm::context::result::{ExecutionResult, HaltReason};
use serde_json::{Value, json};

use super::node::Node;
use super::params::Params;
use super::rejection::TxRejection;
use super::{dev, eth};

/// Calls in one batch, go-ethereum's limit.
const MAX_CALLS: usize = 1_000;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum RpcError {
    #[error("parse error: {0}")]
    Parse(serde_json::Error),
    #[error("invalid request: {0}")]
    Request(&'static str),
    #[error("the method {0} does not exist/is not available")]
    Method(String),
    #[error("missing value for required argument {0}")]
    MissingParam(usize),
    #[error("invalid argument {index}: {reason}")]
    Param { index: usize, reason: String },
    #[error("batch too large: {0} calls, at most {MAX_CALLS}")]
    BatchTooLarge(usize),
    #[error("header not found")]
    UnknownBlock,
    #[error("invalid block range params: from {from} to {to}")]
    BlockRange { from: u64, to: u64 },
    #[error("pruned history unavailable: the oldest block kept is {oldest}")]
    HistoryGone { oldest: u64 },
    #[error("query returned more than {limit} logs: ask for fewer blocks")]
    TooManyLogs { limit: usize },
    #[error("execution reverted{}", reason(.0))]
    Reverted(Bytes),
    #[error("{}", halt(.0))]
    Halted(HaltReason),
    #[error(transparent)]
    Refused(#[from] TxRejection),
    #[error("timestamp {asked} is before the newest block's, {newest}")]
    TimestampTooLow { asked: u64, newest: u64 },
    #[error("internal error")]
    Internal,
}

/// The answer's bytes; none when nothing is to be answered (notifications only).
pub(super) fn answer(node: &Node, body: &[u8]) -> Option<Vec<u8>> {
    let answer = match serde_json::from_slice(body) {
        Err(error) => Some(failure(&Value::Null, &RpcError::Parse(error))),
        Ok(Value::Array(calls)) if calls.is_empty() => {
            Some(failure(&Value::Null, &RpcError::Request("an empty batch")))
        }
        Ok(Value::Array(calls)) if calls.len() > MAX_CALLS => {
            Some(failure(&Value::Null, &RpcError::BatchTooLarge(calls.len())))
        }
        Ok(Value::Array(calls)) => {
            let answers: Vec<Value> = calls.into_iter().filter_map(|call| one(node, call)).collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(call) => one(node, call),
    };
    answer.map(|answer| answer.to_string().into_bytes())
}

/// The answer when something of ours broke: it fits a single call and a batch.
pub(super) fn broken() -> Vec<u8> {
    failure(&Value::Null, &RpcError::Internal).to_string().into_bytes()
}

fn one(node: &Node, call: Value) -> Option<Value> {
    let Value::Object(mut call) = call else {
        return Some(failure(&Value::Null, &RpcError::Request("a call is an object")));
    };
    let id = call.remove("id");
    if !matches!(id, None | Some(Value::Null | Value::Number(_) | Value::String(_))) {
        return Some(failure(&Value::Null, &RpcError::Request("id is a string, a number or null")));
    }
    let result = checked(node, call);
    // Only a well-formed call without an id is a notification.
    let id = match (id, &result) {
        (Some(id), _) => id,
        (None, Err(RpcError::Request(_))) => Value::Null,
        (None, _) => return None,
    };
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(fault) => failure(&id, &fault),
    })
}

fn checked(node: &Node, mut call: serde_json::Map<String, Value>) -> Result<Value, RpcError> {
    if call.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(RpcError::Request("jsonrpc is not \"2.0\""));
    }
    let Some(Value::String(method)) = call.remove("method") else {
        return Err(RpcError::Request("method is not a string"));
    };
    let params = match call.remove("params") {
        None | Some(Value::Null) => Params::default(),
        Some(Value::Array(params)) => Params::new(params),
        Some(_) => return Err(RpcError::Request("params is not an array")),
    };
    match eth::call(node, &method, &params)? {
        Some(result) => Ok(result),
        None => dev::call(node, &method, &params)?.ok_or(RpcError::Method(method)),
    }
}

fn failure(id: &Value, fault: &RpcError) -> Value {
    let mut error = json!({ "code": fault.code(), "message": fault.to_string() });
    if let RpcError::Reverted(output) = fault {
        error["data"] = json!(output);
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

impl RpcError {
    /// How a failed execution is told to the caller.
    pub(super) fn of(result: ExecutionResult) -> Self {
        match result {
            ExecutionResult::Revert { output, .. } => Self::Reverted(output),
            ExecutionResult::Halt { reason, .. } => Self::Halted(reason),
            ExecutionResult::Success { .. } => Self::Internal,
        }
    }

    fn code(&self) -> i64 {
        match self {
            Self::Parse(_) => -32700,
            Self::Request(_) | Self::BatchTooLarge(_) => -32600,
            Self::Method(_) => -32601,
            Self::MissingParam(_) | Self::Param { .. } => -32602,
            Self::Internal => -32603,
            Self::Reverted(_) => 3,
            // go-ethereum's code for it.
            Self::HistoryGone { .. } => 4444,
            Self::UnknownBlock
            | Self::BlockRange { .. }
            | Self::TooManyLogs { .. }
            | Self::Halted(_)
            | Self::Refused(_)
            | Self::TimestampTooLow { .. } => -32000,
        }
    }
}

/// `: ` and the reason, when the output holds one of Solidity's two standard errors.
fn reason(output: &Bytes) -> String {
    if let Ok(revert) = Revert::abi_decode(output) {
        return format!(": {}", revert.reason);
    }
    Panic::abi_decode(output).map_or_else(|_| String::new(), |panic| format!(": {panic}"))
}

fn halt(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode".into(),
        HaltReason::InvalidJump => "invalid jump destination".into(),
        other => format!("execution halted: {other:?}"),
    }
}
