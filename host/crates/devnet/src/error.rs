//! Errors of JSON-RPC calls, with their codes and words.
//!
//! A revert has code 3 and the output as `data`, as from go-ethereum: alloy, viem and ethers read the reason from
//! there.

use alloy::primitives::Bytes;
use alloy::sol_types::{Panic, Revert, SolError as _};
use revm::context::result::{ExecutionResult, HaltReason};

use super::rejection::TxRejection;

/// An error of a JSON-RPC call. Errors that go-ethereum has too have go-ethereum's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum RpcError {
    #[error("parse error: {0}")]
    Parse(serde_json::Error),
    #[error("invalid request: {0}")]
    Request(&'static str),
    #[error("the method {0} does not exist/is not available")]
    Method(String),
    #[error(
        "the method {0} changes the chain itself, and a web page of another machine may not: call it from a program, \
             or from a page of localhost"
    )]
    Forbidden(String),
    #[error("missing value for required argument {0}")]
    MissingParam(usize),
    #[error("invalid argument {index}: {reason}")]
    Param { index: usize, reason: String },
    #[error("batch too large: {calls} calls, at most {limit}")]
    BatchTooLarge { calls: usize, limit: usize },
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

impl RpcError {
    /// The error of an execution that failed.
    pub(super) fn of(result: ExecutionResult) -> Self {
        match result {
            ExecutionResult::Revert { output, .. } => Self::Reverted(output),
            ExecutionResult::Halt { reason, .. } => Self::Halted(reason),
            ExecutionResult::Success { .. } => Self::Internal,
        }
    }

    /// The error's code: JSON-RPC 2.0's own, or go-ethereum's.
    pub(super) fn code(&self) -> i64 {
        match self {
            Self::Parse(_) => -32700,
            Self::Request(_) | Self::BatchTooLarge { .. } => -32600,
            Self::Method(_) | Self::Forbidden(_) => -32601,
            Self::MissingParam(_) | Self::Param { .. } => -32602,
            Self::Internal => -32603,
            Self::Reverted(_) => 3,
            // go-ethereum's code for pruned history.
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

/// `: ` and the revert reason, if the output is one of Solidity's two standard errors; otherwise nothing.
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
