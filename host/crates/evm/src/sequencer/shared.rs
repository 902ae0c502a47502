//! Settings of a sequencer, and the state that its lanes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::primitives::{Bytes, U256};
use tokio_util::sync::CancellationToken;

use super::call::SendError;
use super::observer::TransactionObserver;
use crate::budget::GasBudget;
use crate::chain::Chain;
use crate::fees::{BlockFees, FeeOracle, GasLimits, TxFees};
use crate::sender_tag::SenderTag;

/// Gas of one call among many in a transaction, until transactions have shown what it takes.
const USUAL_BATCH_GAS: u64 = 90_000;

/// The most gas that a call among many is given.
pub(super) const MAX_BATCH_GAS: u64 = 150_000;

/// The least gas that a call among many is given.
const MIN_BATCH_GAS: u64 = 45_000;

/// Gas of a transaction without calls: the protocol's 21,000, the frame of Multicall3 and the tag.
pub(super) const BASE_GAS: u64 = 30_000;

/// The protocol's gas for a transaction that does nothing.
pub(super) const EMPTY_TX_GAS: u64 = 21_000;

/// Gas of a payment that has its own transaction, usually.
pub(super) const USUAL_GAS: u64 = 70_000;

/// The way in which transactions are sent and followed.
#[derive(Clone, Copy, Debug)]
pub struct SequencerSettings {
    /// Calls that come within this time of a transaction of the same key wait for its end, and go together. One that
    /// comes later goes at once. While transactions wait for a block it is up to four times as long.
    pub batch_delay: Duration,
    /// Calls in one transaction, at most.
    pub max_batch: usize,
    /// Transactions of one key that wait for a block. Nodes keep 16 of an account for sure.
    pub max_in_flight: usize,
    /// A transaction that is in no block after this time is replaced by one that pays more.
    pub stuck_after: Duration,
    /// A transaction that is in no block after this time is given to the node again.
    pub resend_after: Duration,
    /// A nonce that is used, but by no transaction that the node can show, counts as used by a foreign transaction
    /// after this time.
    pub displaced_after: Duration,
    /// Blocks that a transaction must be in or under: 1 is the block itself.
    pub confirmations: u64,
    /// The interval at which the balances of the wallets are read.
    pub balance_interval: Duration,
    /// The tag at the end of the call data of each transaction.
    pub tag: Option<SenderTag>,
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
            tag: None,
        }
    }
}

/// The state that the lanes of one chain share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) chain: Arc<Chain>,
    pub(super) limits: GasLimits,
    pub(super) settings: SequencerSettings,
    pub(super) fees: FeeOracle,
    pub(super) budget: GasBudget,
    /// The chain has Multicall3, so that many calls fit one transaction.
    pub(super) has_multicall: bool,
    pub(super) batch_gas: BatchGas,
    pub(super) stop: CancellationToken,
    pub(super) observer: Option<Arc<dyn TransactionObserver>>,
}

impl Shared {
    pub(super) async fn open(
        chain: Arc<Chain>,
        limits: GasLimits,
        settings: SequencerSettings,
        has_multicall: bool,
        observer: Option<Arc<dyn TransactionObserver>>,
    ) -> Self {
        Self {
            budget: GasBudget::open(limits.budget_per_day, limits.journal.clone()).await,
            limits,
            settings,
            fees: FeeOracle::new(chain.clone()),
            has_multicall,
            batch_gas: BatchGas(AtomicU64::new(USUAL_BATCH_GAS)),
            stop: CancellationToken::new(),
            observer,
            chain,
        }
    }

    /// The most that this much gas costs at these fees, in wei.
    pub(super) fn max_cost_of(&self, fees: BlockFees, gas: u64) -> U256 {
        fees.tx_fees(self.limits.max_fee_per_gas).max_cost(gas)
    }

    /// The data of a call as they are simulated and sent: with the tag of this sender.
    pub(super) fn tagged(&self, data: &Bytes) -> Bytes {
        self.settings.tag.map_or_else(|| data.clone(), |tag| tag.append_to(data))
    }

    /// The fees of a transaction that is sent now. Refuses while the base fee is above our limit.
    pub(super) async fn tx_fees(&self) -> Result<TxFees, SendError> {
        let fees = self.fees.now().await.map_err(SendError::Unreachable)?;
        let limit = self.limits.max_fee_per_gas;
        if fees.base > limit {
            return Err(SendError::Refused(format!("the base fee is {} wei, above the limit of {limit}", fees.base)));
        }
        Ok(fees.tx_fees(limit))
    }
}

/// The estimate of the gas that one call among many takes. Transactions in blocks keep it up to date.
#[derive(Debug)]
pub(super) struct BatchGas(AtomicU64);

impl BatchGas {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Raises the estimate after it did not suffice.
    pub(super) fn raise(&self) {
        self.0.fetch_max(MAX_BATCH_GAS * 3 / 4, Ordering::Relaxed);
    }

    /// Updates the estimate from a transaction that made this many calls. It rises at once and falls slowly: a call
    /// that gets too little gas costs a second simulation, one that gets too much costs nothing.
    pub(super) fn observe(&self, gas_used: u64, calls: u64) {
        let used = gas_used.saturating_sub(EMPTY_TX_GAS) / calls;
        let wanted = used + used / 4;
        let next = wanted.max((3 * self.get() + wanted) / 4).clamp(MIN_BATCH_GAS, MAX_BATCH_GAS);
        self.0.store(next, Ordering::Relaxed);
    }
}
