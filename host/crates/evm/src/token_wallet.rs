//! Pays a token out of one key, one transfer at a time, for a caller that keeps nonces and signed bytes durably.
//!
//! The wallet keeps nothing, so that a crash loses nothing of it. The division of work makes a transfer unrepeatable:
//! the caller takes a nonce ([`TokenWallet::next_nonce`]), has the transfer signed for it ([`TokenWallet::sign`]), and
//! writes nonce and bytes down before they leave ([`TokenWallet::broadcast`]). Every later transaction of the transfer
//! has the same nonce, be it the same bytes again or a replacement with higher fees ([`TokenWallet::reprice`]), and a
//! chain lets a nonce through once. A new nonce is taken when the chain has shown the end of the one before
//! ([`TokenWallet::outcome`]).
//!
//! A wallet has one nonce open on a chain at most, and nothing else uses its key there.

mod error;
mod outcome;
mod sign;

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U256};

use crate::abi::IEip3009::balanceOfCall;
use crate::call_error::CallError;
use crate::chain::Chain;
use crate::fees::FeeOracle;
use crate::key::Key;
use crate::refusal::NodeRefusal;
use crate::scan;

pub use error::{BroadcastError, TransferError};
pub use outcome::TransferOutcome;

/// The gas of a usual transfer, with room.
const USUAL_GAS: u64 = 80_000;

/// The most blocks in one request for logs.
const LOG_BLOCKS: u64 = 2_000;

/// A transfer of a token from the wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTransfer {
    pub token: Address,
    pub to: Address,
    /// In atomic units.
    pub amount: U256,
}

/// A signed transaction that makes a transfer. Its bytes hold the fees, too (EIP-1559, EIP-2718).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransfer {
    pub nonce: u64,
    pub hash: B256,
    pub raw: Bytes,
}

/// The money of a wallet at one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletBalances {
    /// In wei: it pays for gas.
    pub native: U256,
    /// In atomic units.
    pub token: U256,
}

/// A key that pays a token on one chain.
#[derive(Debug)]
pub struct TokenWallet {
    chain: Arc<Chain>,
    key: Key,
    /// In wei per unit of gas.
    max_fee_per_gas: u128,
    /// At least 1.
    confirmations: u64,
    fees: FeeOracle,
}

impl TokenWallet {
    /// A wallet that pays at most this many wei for a unit of gas, and believes a block that has so many blocks from
    /// itself to the newest one: 1 is the block itself. It asks nothing of the chain.
    pub fn new(chain: Arc<Chain>, key: Key, max_fee_per_gas: u128, confirmations: u64) -> Self {
        let fees = FeeOracle::new(chain.clone());
        Self { chain, key, max_fee_per_gas, confirmations: confirmations.max(1), fees }
    }

    /// The address that transfers come from.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The id of the wallet's chain.
    pub fn chain_id(&self) -> u64 {
        self.chain.chain_id()
    }

    /// The nonce of a new transfer: the number of the wallet's transactions in blocks.
    ///
    /// `least` is the first nonce that the caller does not know to be used, or 0. A node that has fewer transactions
    /// is behind, and would have a used nonce signed again. A transaction that waits for a block makes the wallet
    /// [`TransferError::Busy`]: something else uses the key, or an earlier transfer has not ended.
    pub async fn next_nonce(&self, least: u64) -> Result<u64, TransferError> {
        let mined = self.chain.mined_nonce(self.address()).await?;
        if mined < least {
            return Err(TransferError::NodeBehind { mined, least });
        }
        let pending = self.chain.pending_nonce(self.address()).await?;
        if pending > mined { Err(TransferError::Busy { mined, pending }) } else { Ok(mined) }
    }

    /// Gives the bytes of a signed transfer to the node, which may have them already. The caller has stored them.
    ///
    /// No error proves that no node has the transaction: a gateway may have passed it on before it failed.
    pub async fn broadcast(&self, raw: &Bytes) -> Result<(), BroadcastError> {
        let text = match self.chain.send_raw(raw).await {
            Ok(()) => return Ok(()),
            Err(CallError::Refused(text) | CallError::Reverted(text)) => text,
            Err(error @ CallError::Unreachable(_)) => return Err(BroadcastError::Unreachable(error)),
        };
        Err(match NodeRefusal::of(&text) {
            NodeRefusal::NonceUsed => BroadcastError::NonceUsed,
            NodeRefusal::Outbid | NodeRefusal::FeeTooLow => BroadcastError::Underpriced,
            NodeRefusal::Funds => BroadcastError::NoMoney,
            NodeRefusal::Known | NodeRefusal::Rejected | NodeRefusal::Other => BroadcastError::Refused(text),
        })
    }

    /// Lists the transfers from the wallet to an account since this time (Unix seconds): transaction and amount of each transfer.
    pub async fn transfers_to(&self, token: Address, to: Address, since: u64) -> Result<Vec<(B256, U256)>, CallError> {
        let head = self.chain.block_number().await?;
        let first = scan::first_block_since(&self.chain, since, head).await?;
        let found = scan::transfers(&self.chain, token, self.address(), to, first..=head, LOG_BLOCKS).await;
        found.map_err(|error| error.error)
    }

    /// The native balance in wei, which pays for gas.
    pub async fn native_balance(&self) -> Result<U256, CallError> {
        self.chain.balance(self.address()).await
    }

    /// The most that the gas of so many transfers costs at the fees of the moment, in wei.
    pub async fn gas_for(&self, transfers: u64) -> Result<U256, CallError> {
        let fees = self.fees.now().await?.tx_fees(self.max_fee_per_gas);
        Ok(fees.max_cost(transfers.saturating_mul(USUAL_GAS)))
    }

    /// The wallet's money at the newest block.
    pub async fn balances(&self, token: Address) -> Result<WalletBalances, CallError> {
        let block = self.chain.newest_block().await?;
        let account = self.address();
        let native = self.chain.balance_at(account, &block).await?;
        let token = self.chain.call_at(token, &balanceOfCall { account }, &block).await?;
        Ok(WalletBalances { native, token })
    }
}
