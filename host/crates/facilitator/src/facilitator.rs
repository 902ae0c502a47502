//! Declares the trait of every facilitator, and the facts that it returns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use coinslot_evm::GasWallet;
use coinslot_x402::facilitator::{PaymentRequest, Supported};
use coinslot_x402::{Network, Reason, SettlementResponse};

/// Verifies and settles payments.
#[async_trait]
pub trait Facilitator: Send + Sync + std::fmt::Debug {
    /// Checks that the payment would settle now. It only reads.
    async fn verify(&self, request: &PaymentRequest) -> Verification;

    /// Moves the money. It may be called again with the same request: the money never moves twice.
    async fn settle(&self, request: &PaymentRequest) -> Settlement;

    /// Tells whether anything would be settled now, as far as is known. It asks nothing over the network: it is called
    /// for each request.
    fn readiness(&self) -> Readiness;

    /// The state of each facilitator that this one calls, as its last calls showed it. It asks nobody.
    fn statuses(&self) -> Vec<FacilitatorStatus> {
        vec![FacilitatorStatus { readiness: self.readiness(), ..FacilitatorStatus::default() }]
    }

    /// Lists what can be verified and settled.
    async fn supported(&self) -> Result<Supported, Unavailable>;

    /// Judges a signature that is not the key's at the payer's address: by the contract that stands there (ERC-1271).
    ///
    /// It is called before a payment is claimed, for any client and without payment, so its work is bounded: few of
    /// these questions are asked of the chain at once, more wait in a short queue, and the rest is `Unavailable`. That
    /// an address has no code is remembered for some minutes.
    async fn check_contract_signature(&self, _request: &PaymentRequest) -> SignatureVerdict {
        SignatureVerdict::Unavailable(Unavailable { message: "contracts cannot be asked here".to_owned() })
    }

    /// Judges a signature of an account that is no payment's, and not that of the account's key: by the contract that
    /// stands there. Its work is bounded as that of [`Self::check_contract_signature`].
    async fn check_account_signature(&self, _signed: &AccountSignature) -> SignatureVerdict {
        SignatureVerdict::Unavailable(Unavailable { message: "contracts cannot be asked here".to_owned() })
    }

    /// Keeps [`Self::readiness`] true while no payment comes: looks every few seconds at what is down or may be. It
    /// never returns; it is spawned once.
    async fn watch(&self) {
        std::future::pending().await
    }
}

/// A signature that is no payment's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSignature {
    pub network: Network,
    pub account: Address,
    /// The hash that was signed.
    pub hash: B256,
    pub signature: Bytes,
}

/// The ability of a facilitator to settle payments at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// Gas cannot be paid: the wallet is empty, the day's budget is used up, or gas costs more than the limit.
    NoGas,
    /// Every circuit is open, the node does not answer, the chain stands still, or transactions are stuck.
    Down,
}

/// The state of one facilitator, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacilitatorStatus {
    /// Its name in the configuration, where that is known.
    pub name: Option<Arc<str>>,
    pub readiness: Readiness,
    /// The reason why it cannot settle, where it says so.
    pub trouble: Option<String>,
    /// The time after which it is tried again, while its circuit is open.
    pub circuit_open_for: Option<Duration>,
    /// The wallets that pay for gas. None of a facilitator elsewhere.
    pub wallets: Vec<GasWallet>,
    /// The cost of the gas of its wallets on each day, in wei, by the days since 1970.
    pub gas_by_day: BTreeMap<u64, U256>,
    /// The cost of that gas since this process began, in wei. None of a facilitator elsewhere.
    pub gas_charged: Option<U256>,
}

impl Default for FacilitatorStatus {
    fn default() -> Self {
        Self {
            name: None,
            readiness: Readiness::Ready,
            trouble: None,
            circuit_open_for: None,
            wallets: Vec::new(),
            gas_by_day: BTreeMap::new(),
            gas_charged: None,
        }
    }
}

/// The verdict of a facilitator on a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The payment would settle. The payer is as the facilitator sees it; callers compare it with their own view.
    Valid { payer: String, kind: PayerKind },
    /// The payment would not settle.
    Invalid { reason: String, message: Option<String>, payer: Option<String> },
    /// No verdict is known; nothing was written anywhere.
    Unavailable(Unavailable),
}

/// The verdict on a signature that only a contract can judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureVerdict {
    Valid,
    /// The contract says no, or there is none.
    Invalid {
        message: Option<String>,
    },
    Unavailable(Unavailable),
}

/// The kind of account at the payer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayerKind {
    /// An account with a key. Its signature stays valid.
    Account,
    /// A contract, which may change its mind between verification and settlement.
    Contract,
    /// The facilitator does not say.
    Unknown,
}

/// The end of a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The money moved, as far as the proof goes; the transaction is not empty.
    Settled { settlement: SettlementResponse, proof: Proof },
    /// The payment was refused: the reason, and the transaction that failed if one was sent.
    Refused { reason: String, message: Option<String>, transaction: String, finality: Finality },
    /// The money moved to the receiver, by this transaction, for a sale of another seller.
    SettledElsewhere { transaction: String },
    /// The money may have moved, or may yet: the transaction, if known. Ask again with the same request.
    ///
    /// `unanswered`: the call ended in a time-out or a broken connection, so that nothing at all was said about it. A
    /// payer can bring about a facilitator's answers, failures of its own included, by what it does on the chain
    /// meanwhile; the absence of an answer it cannot.
    Unknown { transaction: Option<String>, message: String, unanswered: bool },
    /// Provably nothing was sent, and nothing will be by this call. It says nothing about earlier calls.
    NotSent { message: String },
}

/// The grounds for a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Logs that this process read in the block of this number, deep enough in the chain.
    Logs { block: u64 },
    /// The facilitator's word. `alone`: its transactions settle one payment each.
    Word { alone: bool },
}

/// The certainty that a refused payment stays unpaid. It is about this call, and for a facilitator in this process
/// about the calls since it started. After an earlier call whose end is unknown, no refusal is final to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// The reason cannot follow a broadcast.
    Final,
    /// This process's own transaction failed in a block at which the authorisation is unused: it moved nothing. Every
    /// account that saw its signature may submit it again while it is valid.
    Failed,
    /// The authorisation was used before this call sent anything. If no earlier call sent it, another sender used it.
    UsedBefore,
    /// A transaction may have been sent all the same.
    Open,
}

/// No answer that can be believed. Nothing was sent to a chain on behalf of this request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unavailable {
    /// The cause, for the operator's log; clients see a fixed sentence.
    pub message: String,
}

impl Verification {
    /// An invalid payment with one of the protocol's reasons.
    pub fn invalid(reason: Reason, payer: Option<String>) -> Self {
        Self::Invalid { reason: reason.as_str().to_owned(), message: None, payer }
    }
}
