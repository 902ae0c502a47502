//! Sends the transactions of our own keys: one order of nonces for each key, without gaps and without collisions.
//!
//! A call is submitted and waited for; the sequencer owns it from then on, so a caller that goes away loses nothing.
//! Each key has two tasks: `dispatch` takes the calls that have queued, simulates them, and sends them, many calls in
//! one transaction when there are many (`submit` gives it its nonce); `follow` sees to it that transactions get into
//! a block (`resend` helps them), and ends their calls. A call that reverts when it is simulated is never sent.
//!
//! Sending waits for the node's reply but never for a block. A nonce is given back only when the node refused the
//! transaction; when the node did not answer, the transaction is sent again until its nonce is used.

mod call;
mod dispatch;
mod follow;
mod lane;
mod observer;
mod pending;
mod resend;
mod shared;
mod submit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, Bytes, U256};
use alloy::rpc::types::TransactionRequest;
use tokio::sync::mpsc;

use crate::abi::MULTICALL3;
use crate::call_error::CallError;
use crate::chain::{Chain, ChainError};
use crate::ether::Ether;
use crate::fees::GasLimits;
use crate::health::ChainTrouble;
use crate::key::Key;
use call::QueuedCall;
use dispatch::Dispatcher;
use follow::Follower;
use lane::Lane;
use shared::{Shared, USUAL_GAS};

pub use call::{Inclusion, SendError, TxCall, TxHandle, TxStatus};
pub use observer::{TransactionEvent, TransactionObserver};
pub use pending::WaitingTransaction;
pub use shared::SequencerSettings;

/// The reason for which nothing can be settled at the moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    #[error(
        "the gas wallet {address} has {}, and {} are needed: send it at least {}",
        Ether(*balance), Ether(*needed), Ether(needed.saturating_sub(*balance))
    )]
    LowBalance { address: Address, balance: U256, needed: U256 },
    #[error("the gas budget of the day is used up: {spent} of {limit} wei")]
    BudgetSpent { spent: U256, limit: U256 },
    #[error("the base fee is {base} wei, above the limit of {limit}")]
    FeeAboveLimit { base: u128, limit: u128 },
    #[error("the transactions of {address} have waited for {} seconds", .since.as_secs())]
    Stuck { address: Address, since: Duration },
    #[error(transparent)]
    Chain(#[from] ChainTrouble),
}

/// A wallet that pays for gas, as it was read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GasWallet {
    pub address: Address,
    /// In wei, less what was spent since the last reading. None if it could not be read yet.
    pub balance: Option<U256>,
    /// The balance that it should have, in wei, while it has less.
    pub needed: Option<U256>,
    /// Calls that are not in a block yet, or wait for their transaction.
    pub open_calls: usize,
    /// The time for which its oldest transaction has waited, while that is too long.
    pub stuck_for: Option<Duration>,
    /// Its transactions that are in no block, by their nonces, at most [`GasWallet::SHOWN`].
    pub waiting: Vec<WaitingTransaction>,
}

impl GasWallet {
    /// The most transactions that are named one by one. Nodes promise to keep 16 of an account.
    pub const SHOWN: usize = 32;
}

/// Sends the transactions of some keys. Nothing else may use these keys on this chain. When it is dropped it stops,
/// after the transactions that were sent are in a block.
#[derive(Debug)]
pub struct Sequencer {
    lanes: Vec<Arc<Lane>>,
    shared: Arc<Shared>,
}

impl Sequencer {
    /// Starts two tasks for each key. There must be a key; one that occurs twice counts once. The observer hears of the
    /// transactions of all of them.
    pub async fn start(
        chain: Arc<Chain>,
        keys: Vec<Key>,
        limits: GasLimits,
        settings: SequencerSettings,
        observer: Option<Arc<dyn TransactionObserver>>,
    ) -> Result<Self, ChainError> {
        let code = chain.code(MULTICALL3).await;
        let code = code.map_err(|error| ChainError::Read { node: chain.node().to_owned(), error })?;
        if code.is_empty() {
            tracing::info!("no Multicall3 at {MULTICALL3}: every payment gets a transaction of its own");
        }
        let shared = Arc::new(Shared::open(chain, limits, settings, !code.is_empty(), observer).await);
        // The balance that a wallet should have depends on the fees.
        drop(shared.fees.now().await);
        let mut lanes: Vec<Arc<Lane>> = Vec::new();
        for key in keys {
            if lanes.iter().any(|lane| lane.address() == key.address()) {
                continue;
            }
            let (queue, incoming) = mpsc::unbounded_channel();
            let lane = Arc::new(Lane::new(shared.clone(), key, queue));
            // A failed first reading leaves the balance unknown, which counts as funded until the next one.
            drop(lane.refresh_balance().await);
            tokio::spawn(Dispatcher::new(lane.clone(), incoming).run());
            tokio::spawn(Follower::new(lane.clone()).run());
            lanes.push(lane);
        }
        Ok(Self { lanes, shared })
    }

    /// Submits a call. The lane with the fewest open calls sends it, among those with money if there are any.
    pub fn submit(&self, call: TxCall) -> TxHandle {
        let chosen = self
            .lanes
            .iter()
            .min_by_key(|lane| (lane.low_balance().is_some(), lane.stuck_for().is_some(), lane.open_calls()));
        let Some(lane) = chosen else {
            let (call, handle) = QueuedCall::new(call, Arc::default());
            call.give_up(SendError::Refused("there is no key".to_owned()));
            return handle;
        };
        let (call, handle) = QueuedCall::new(call, lane.open_calls.clone());
        lane.enqueue(call);
        handle
    }

    /// Fails if a payment that is taken now could not be settled, as far as is known. It asks no node, so that it may
    /// be called for each request.
    pub fn ready(&self) -> Result<(), Unready> {
        if let Some(trouble) = self.shared.chain.trouble() {
            return Err(trouble.into());
        }
        let fees = self.shared.fees.last();
        let limit = self.shared.limits.max_fee_per_gas;
        if let Some(base) = fees.map(|fees| fees.base).filter(|base| *base > limit) {
            return Err(Unready::FeeAboveLimit { base, limit });
        }
        let one = fees.map_or(U256::ZERO, |fees| self.shared.max_cost_of(fees, USUAL_GAS));
        if let Err(exhausted) = self.shared.budget.allows(one) {
            return Err(Unready::BudgetSpent { spent: exhausted.spent, limit: exhausted.limit });
        }
        // One wallet that can send is enough; otherwise the first says what is wrong.
        let mut unready = None;
        for lane in &self.lanes {
            let problem = match (lane.low_balance(), lane.stuck_for()) {
                (None, None) => return Ok(()),
                (Some((balance, needed)), _) => Unready::LowBalance { address: lane.address(), balance, needed },
                (None, Some(since)) => Unready::Stuck { address: lane.address(), since },
            };
            unready.get_or_insert(problem);
        }
        unready.map_or(Ok(()), Err)
    }

    /// True if one transaction may make the calls of several callers.
    pub fn shares_transactions(&self) -> bool {
        self.shared.has_multicall && self.shared.settings.max_batch > 1
    }

    /// `eth_call` as the transactions of this sequencer are sent: from the wallet that would pay, at the price of gas
    /// that it would pay, and with this much gas.
    pub async fn simulate(&self, to: Address, data: Bytes, gas: u64) -> Result<Bytes, CallError> {
        let fees = self.shared.fees.now().await?.tx_fees(self.shared.limits.max_fee_per_gas);
        let payer = self.lanes.iter().find(|lane| lane.low_balance().is_none()).or(self.lanes.first());
        let payer = payer.map(|lane| lane.address()).unwrap_or_default();
        let request = TransactionRequest::default().from(payer).to(to).input(data.into()).gas_limit(gas);
        self.shared.chain.run(fees.priced(request)).await
    }

    /// The wallets that pay for gas, in the order of their keys, as they were read last. It asks no node.
    pub fn wallets(&self) -> Vec<GasWallet> {
        self.lanes.iter().map(|lane| lane.wallet()).collect()
    }

    /// The cost of the gas of each day, in wei, by the days since 1970, for the last 400 days on which it
    /// was anything.
    pub fn gas_by_day(&self) -> BTreeMap<u64, U256> {
        self.shared.budget.by_day()
    }

    /// The cost of the gas since this process began, in wei, as receipts told it. It never shrinks.
    pub fn gas_charged(&self) -> U256 {
        self.shared.budget.charged()
    }

    /// The keys' addresses, in the order in which they were given.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        self.lanes.iter().map(|lane| lane.address())
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
