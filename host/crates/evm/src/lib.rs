//! Reads an EVM chain through a JSON-RPC, and sends transactions of our own keys to it.
//!
//! [`Chain`] asks one node, [`PaymentReader`] asks about many payments at once, [`eip3009`] finds payments in logs, and
//! [`Sequencer`] sends transactions. [`TokenWallet`] signs transfers of a token whose bytes its caller keeps. Failures
//! differ by their meaning: the contract reverted, the node refused, or the node did not answer. Only the first says
//! anything about a payment.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests run guests and read answers themselves"
    )
)]

pub mod abi;
mod budget;
mod call_error;
mod chain;
mod confirmations;
pub mod eip3009;
mod ether;
mod fees;
mod health;
mod key;
mod lookup;
mod multicall;
mod reads;
mod receipt;
mod refusal;
pub mod scan;
mod sender_tag;
mod sequencer;
mod span;
mod token_wallet;
mod transaction;
mod transfer;
mod transport;

pub use call_error::CallError;
pub use chain::{Chain, ChainError, ChainSettings, PinnedBlock, is_devnet};
pub use confirmations::default_confirmations;
pub use ether::Ether;
pub use fees::GasLimits;
pub use health::ChainTrouble;
pub use key::{Key, KeyError};
pub use lookup::{AuthorizationState, LookupBounds};
pub use reads::{PaymentFinding, PaymentQuestion, PaymentReader};
pub use receipt::TxReceipt;
pub use sender_tag::{SenderKind, SenderTag};
pub use sequencer::{
    GasWallet, Inclusion, SendError, Sequencer, SequencerSettings, TransactionEvent, TransactionObserver, TxCall,
    TxHandle, TxStatus, Unready, WaitingTransaction,
};
pub use token_wallet::{
    BroadcastError, SignedTransfer, TokenTransfer, TokenWallet, TransferError, TransferOutcome, WalletBalances,
};
pub use transfer::{MovedMoney, MovedToken};
pub use transport::node_client;
