//! Rejections of transactions, in the words of go-ethereum, which clients recognise.

use alloy::eips::eip2718::Eip2718Error;
use alloy::primitives::U256;
use revm::context::result::InvalidTransaction;

use super::spec::CHAIN_ID;

/// The reason for which a transaction is not taken into the pool, or not simulated.
#[derive(Debug, thiserror::Error)]
pub(super) enum TxRejection {
    #[error("failed to decode signed transaction: {0}")]
    Undecodable(Eip2718Error),
    #[error("failed to decode signed transaction: {0} bytes after its end")]
    TrailingBytes(usize),
    #[error("invalid sender: the signature recovers to no address")]
    InvalidSender,
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    NotReplayProtected,
    #[error("invalid chain id for signer: have {have} want {CHAIN_ID}")]
    WrongChain { have: u64 },
    #[error("transaction type not supported")]
    TypeNotSupported,
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized { size: usize, limit: usize },
    #[error("already known")]
    AlreadyKnown,
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    #[error("txpool is full")]
    PoolFull,
    #[error("nonce too low: next nonce {next}, tx nonce {tx}")]
    NonceTooLow { next: u64, tx: u64 },
    #[error("nonce too high: more than {limit} ahead of next nonce {next}, tx nonce {tx}")]
    NonceTooFar { next: u64, tx: u64, limit: u64 },
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    InsufficientFunds { balance: U256, cost: U256 },
    #[error("max fee per gas less than block base fee: maxFeePerGas: {cap}, baseFee: {base_fee}")]
    FeeCapTooLow { cap: u128, base_fee: u64 },
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFeeCap,
    #[error("exceeds block gas limit")]
    ExceedsBlockGasLimit,
    #[error("intrinsic gas too low: gas {have}, minimum needed {want}")]
    IntrinsicGasTooLow { have: u64, want: u64 },
    #[error("insufficient gas for floor data gas cost: gas {have}, minimum needed {want}")]
    FloorDataGasTooLow { have: u64, want: u64 },
    #[error("sender not an eoa")]
    SenderHasCode,
    #[error("max initcode size exceeded")]
    InitCodeTooLarge,
    #[error("invalid transaction: {0}")]
    Invalid(InvalidTransaction),
    #[error("the transaction cannot be executed: {0}")]
    Inexecutable(String),
}

impl TxRejection {
    /// Translates revm's error. `cap` is the transaction's fee cap and `base_fee` the block's, which revm's error
    /// lacks.
    pub(super) fn of(invalid: InvalidTransaction, cap: u128, base_fee: u64) -> Self {
        match invalid {
            InvalidTransaction::PriorityFeeGreaterThanMaxFee => Self::TipAboveFeeCap,
            InvalidTransaction::GasPriceLessThanBasefee => Self::FeeCapTooLow { cap, base_fee },
            InvalidTransaction::CallerGasLimitMoreThanBlock => Self::ExceedsBlockGasLimit,
            InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
                Self::IntrinsicGasTooLow { have: gas_limit, want: initial_gas }
            }
            InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
                Self::FloorDataGasTooLow { have: gas_limit, want: gas_floor }
            }
            InvalidTransaction::RejectCallerWithCode => Self::SenderHasCode,
            InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
                Self::InsufficientFunds { balance: *balance, cost: *fee }
            }
            InvalidTransaction::NonceTooLow { tx, state } => Self::NonceTooLow { next: state, tx },
            InvalidTransaction::CreateInitCodeSizeLimit => Self::InitCodeTooLarge,
            other => Self::Invalid(other),
        }
    }
}
