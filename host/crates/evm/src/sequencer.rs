//! Transactions of our own keys: one order of nonces for each key, without gaps and without collisions.
//!
//! A call is handed in and waited for; the sequencer owns it from then on, so a caller that goes away
//! loses nothing. Each key has two tasks: `dispatch` takes what has queued, tries it, and sends it,
//! many calls in one transaction when there are many; `follow` sees to it that what was sent gets into
//! a block, and says what became of it. A call that is tried and reverts is never sent.
//!
//! Sending waits for the node's reply but never for a block. A nonce is given back only when the node
//! said no; when it said nothing, the transaction is sent again until its nonce is used.

mod dispatch;
mod flight;
mod follow;
mod signer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::abi::MULTICALL3;
use super::budget::GasBudget;
use super::fees::FeeOracle;
use super::{CallError, Chain, ChainError, GasLimits, Key, TxReceipt};
use flight::{CallProgress, QueuedCall};
use signer::Lane;

/// How transactions are sent and followed.
#[derive(Clone, Copy, Debug)]
pub struct SequencerSettings {
    /// Calls that come within this time of a transaction of the same key wait for its end, and go
    /// together. One that comes later goes at once. While transactions wait for a block it is up to four times
    /// as long.
    pub batch_delay: Duration,
    /// Calls in one transaction, at most.
    pub max_batch: usize,
    /// Transactions of one key that wait for a block. Nodes keep 16 of an account for sure.
    pub max_in_flight: usize,
    /// A transaction that is in no block after this time is replaced by one that pays more.
    pub stuck_after: Duration,
    /// A transaction that is in no block after this time is given to the node again.
    pub resend_after: Duration,
    /// A nonce that is used, but by no transaction that the node can show, is somebody else's after
    /// this time.
    pub displaced_after: Duration,
    /// Blocks that a transaction must be in or under: 1 is the block itself.
    pub confirmations: u64,
    /// How often the balances of the wallets are read.
    pub balance_interval: Duration,
}

impl Default for SequencerSettings {
    fn default() -> Self {
        Self {
            batch_delay: Duration::from_millis(40),
            max_batch: 100,
            max_in_flight: 16,
            stuck_after: Duration::from_secs(20),
            resend_after: Duration::from_secs(5),
            displaced_after: Duration::from_secs(10),
            confirmations: 1,
            balance_interval: Duration::from_secs(15),
        }
    }
}

/// A call that changes the chain.
#[derive(Clone, Debug)]
pub struct TxCall {
    pub to: Address,
    pub data: Bytes,
    /// In a transaction of its own: it may take more gas than it says, at the cost of its neighbours.
    pub alone: bool,
}

/// The transaction of a call, in a block.
#[derive(Clone, Debug)]
pub struct Inclusion {
    pub receipt: Arc<TxReceipt>,
    /// With other calls. That it succeeded then says nothing about this one.
    pub shared: bool,
}

/// Why a call was not sent, and will not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It would revert.
    #[error("the transaction would revert: {0}")]
    Reverts(String),
    /// Our own account, our own limits or the node stand against it.
    #[error("the transaction cannot be sent: {0}")]
    Refused(String),
    /// The node did not answer before anything was sent.
    #[error("{0}")]
    Unreachable(CallError),
}

/// What is known of a call after some time.
#[derive(Clone, Debug)]
pub enum TxStatus {
    Included(Inclusion),
    NotSent(SendError),
    /// Not yet known: the newest transaction, once there is one. It may be waited for again.
    Pending(Option<B256>),
    /// As far as it was known when the sequencer stopped. Nobody follows it any more.
    Abandoned(Option<B256>),
}

/// Stands for a call that was handed in.
#[derive(Clone, Debug)]
pub struct TxHandle {
    progress: watch::Receiver<CallProgress>,
}

impl TxHandle {
    /// Waits for the end, so long.
    pub async fn wait(&self, at_most: Duration) -> TxStatus {
        let mut progress = self.progress.clone();
        let ended = tokio::time::timeout(at_most, progress.wait_for(CallProgress::is_end)).await;
        let abandoned = matches!(ended, Ok(Err(_)));
        drop(ended);
        match (progress.borrow().clone(), abandoned) {
            (CallProgress::Included(landing), _) => TxStatus::Included(landing),
            (CallProgress::NotSent(error), _) => TxStatus::NotSent(error),
            (CallProgress::Queued, false) => TxStatus::Pending(None),
            (CallProgress::Sent(hash), false) => TxStatus::Pending(Some(hash)),
            (CallProgress::Queued, true) => TxStatus::Abandoned(None),
            (CallProgress::Sent(hash), true) => TxStatus::Abandoned(Some(hash)),
        }
    }
}

/// One key and what it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub address: Address,
    /// In wei, as of the last reading.
    pub balance: Option<U256>,
    /// Calls that were handed in and have not ended.
    pub open: usize,
    /// Transactions that wait for a block.
    pub in_flight: usize,
}

/// Why nothing can be settled at the moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    #[error("the gas wallet {address} has {balance} wei and should have {needed}")]
    LowBalance { address: Address, balance: U256, needed: U256 },
    #[error("the gas budget of the day is used up: {spent} of {limit} wei")]
    BudgetSpent { spent: U256, limit: U256 },
    #[error("the base fee is {base} wei, above the limit of {limit}")]
    FeeAboveLimit { base: u128, limit: u128 },
}

/// What the keys of one chain share.
#[derive(Debug)]
struct Shared {
    chain: Arc<Chain>,
    limits: GasLimits,
    settings: SequencerSettings,
    fees: FeeOracle,
    budget: GasBudget,
    /// Whether many calls fit one transaction on this chain.
    multicall: bool,
    /// Gas of one call among many, as it is given to it.
    gas_each: AtomicU64,
    stop: CancellationToken,
}

/// Sends the transactions of some keys, which nobody else may use on this chain. Stops when dropped,
/// after what was sent has landed.
#[derive(Debug)]
pub struct Sequencer {
    signers: Vec<Arc<Lane>>,
    common: Arc<Shared>,
}

impl Sequencer {
    /// Starts two tasks for each key. There must be a key.
    pub async fn start(
        chain: Arc<Chain>,
        keys: Vec<Key>,
        limits: GasLimits,
        settings: SequencerSettings,
    ) -> Result<Self, ChainError> {
        let code = chain.code(MULTICALL3).await;
        let code = code.map_err(|error| ChainError::Read { node: chain.shown.clone(), error })?;
        if code.is_empty() {
            tracing::info!("no Multicall3 at {MULTICALL3}: every payment gets a transaction of its own");
        }
        let common = Arc::new(Shared {
            budget: GasBudget::new(limits.budget_per_day, limits.journal.clone()),
            limits,
            settings,
            fees: FeeOracle::new(chain.clone()),
            multicall: !code.is_empty(),
            gas_each: AtomicU64::new(signer::GAS_EACH),
            stop: CancellationToken::new(),
            chain,
        });
        let mut signers: Vec<Arc<Lane>> = Vec::new();
        for key in keys {
            if signers.iter().any(|signer| signer.address() == key.address()) {
                continue;
            }
            let (queue, jobs) = mpsc::unbounded_channel();
            let signer = Arc::new(Lane::new(common.clone(), key, queue));
            // Unread for now is not empty: the first reading comes soon.
            drop(signer.weigh().await);
            tokio::spawn(dispatch::run(signer.clone(), jobs));
            tokio::spawn(follow::run(signer.clone()));
            signers.push(signer);
        }
        drop(common.fees.now().await);
        Ok(Self { signers, common })
    }

    /// Takes a call. The least busy key that has money sends it.
    pub fn submit(&self, order: TxCall) -> TxHandle {
        let (progress, seen) = watch::channel(CallProgress::Queued);
        let chosen = self.signers.iter().min_by_key(|signer| (signer.low().is_some(), signer.open()));
        if let Some(signer) = chosen {
            signer.take(QueuedCall::new(order, progress, signer.load.clone()));
        } else {
            progress.send_replace(CallProgress::NotSent(SendError::Refused("there is no key".to_owned())));
        }
        TxHandle { progress: seen }
    }

    /// Whether a payment that is taken now could be settled, as far as it is known. Asks nobody.
    pub fn ready(&self) -> Result<(), Unready> {
        let fees = self.common.fees.last();
        let limit = self.common.limits.max_fee_per_gas;
        if let Some(base) = fees.map(|fees| fees.base).filter(|base| *base > limit) {
            return Err(Unready::FeeAboveLimit { base, limit });
        }
        let one = fees.map_or(U256::ZERO, |fees| self.common.price_of(fees, signer::USUAL_GAS));
        if let Err(exhausted) = self.common.budget.allows(one) {
            return Err(Unready::BudgetSpent { spent: exhausted.spent, limit: exhausted.limit });
        }
        let mut low = None;
        for signer in &self.signers {
            match signer.low() {
                None => return Ok(()),
                Some((balance, needed)) => {
                    low.get_or_insert(Unready::LowBalance { address: signer.address(), balance, needed });
                }
            }
        }
        low.map_or(Ok(()), Err)
    }

    /// The keys' addresses, in the order in which they were given.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        self.signers.iter().map(|signer| signer.address())
    }

    /// Every key and what it is doing.
    pub fn standings(&self) -> Vec<Standing> {
        self.signers.iter().map(|signer| signer.standing()).collect()
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.common.stop.cancel();
    }
}

/// The number of calls that one key has taken and not ended.
type OpenCalls = Arc<AtomicUsize>;
