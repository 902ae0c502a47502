//! Declares the errors of a wallet that pays a token.

use alloy::primitives::U256;

use crate::call_error::CallError;
use crate::ether::Ether;

/// The reason for which a transfer was not signed. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The token would refuse the transfer, now at least: its receiver or the wallet is blocked, or the token paused.
    #[error("the token refuses the transfer: {0}")]
    Reverts(String),
    #[error(
        "the wallet has {have} atomic units of the token, and the transfer takes {need}: send it at least {}",
        need.saturating_sub(*have)
    )]
    TokenBalance { have: U256, need: U256 },
    #[error(
        "the wallet has {}, and the gas of the transfer may cost {}: send it at least {}",
        Ether(*have), Ether(*need), Ether(need.saturating_sub(*have))
    )]
    GasBalance { have: U256, need: U256 },
    /// In wei per unit of gas.
    #[error("a unit of gas costs {needed} wei, above the limit of {limit}: wait, or raise the limit")]
    FeeAboveLimit { needed: u128, limit: u128 },
    #[error(
        "the wallet has {pending} transactions, and {mined} of them are in blocks: one waits, and no other is begun \
         before it is in a block; nothing else may use the key"
    )]
    Busy { mined: u64, pending: u64 },
    #[error("the node knows {mined} transactions of the wallet, and {least} were in blocks before: it is behind")]
    NodeBehind { mined: u64, least: u64 },
    /// The bytes are not those of this transfer, signed by this wallet for this nonce on this chain.
    #[error("the stored transaction is not one of this wallet, nonce and transfer")]
    WrongTransaction,
    #[error("the transfer cannot be signed: {0}")]
    Signing(String),
    /// The node did not answer, or answered with an error of its own.
    #[error(transparent)]
    Unreachable(CallError),
}

impl From<CallError> for TransferError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Reverted(text) => Self::Reverts(text),
            error @ (CallError::Refused(_) | CallError::Unreachable(_)) => Self::Unreachable(error),
        }
    }
}

/// The reason for which a node did not confirm that it has a transaction. None is a proof that no node has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BroadcastError {
    /// A transaction in a block has the nonce: this one, an earlier one of the transfer, or a foreign one.
    #[error("the nonce is used")]
    NonceUsed,
    /// Its fees are below the base fee, or do not replace what the node has under the nonce.
    #[error("the fees are too low")]
    Underpriced,
    #[error("the wallet cannot pay for the gas")]
    NoMoney,
    #[error("the node refused the transaction: {0}")]
    Refused(String),
    #[error(transparent)]
    Unreachable(CallError),
}
