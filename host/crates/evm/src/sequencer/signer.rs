//! One key: its money, its transactions, and what signs them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, TxKind, U256};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc};

use super::super::fees::{BlockFees, TxFees};
use super::super::{CallError, Key};
use super::flight::{CallProgress, PendingTxs, QueuedCall, SignedTx, TxPlan};
use super::{OpenCalls, SendError, Shared, Standing};

/// Gas of one call among many, until transactions have shown what it takes.
pub(super) const GAS_EACH: u64 = 90_000;

/// The most and the least that it is believed to take.
pub(super) const MOST_EACH: u64 = 150_000;
pub(super) const LEAST_EACH: u64 = 45_000;

/// Gas of a transaction for itself, and some more.
pub(super) const GAS_BASE: u64 = 30_000;

/// Gas of a payment that has its own transaction, usually.
pub(super) const USUAL_GAS: u64 = 70_000;

/// Settlements that a wallet should be able to pay for, unless it is said how much it should have.
const ENOUGH: u64 = 200;

/// How often the balance of an empty wallet is read.
const EMPTY_INTERVAL: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) common: Arc<Shared>,
    pub(super) load: OpenCalls,
    /// A transaction is on its way, where there was none.
    pub(super) launched: Notify,
    /// There is one fewer.
    pub(super) landed: Notify,
    key: Key,
    queue: mpsc::UnboundedSender<QueuedCall>,
    flights: Mutex<PendingTxs>,
    /// In wei, as of the last reading, less what was spent since.
    balance: Mutex<Option<U256>>,
}

impl Shared {
    /// What so much gas costs at these fees, at most.
    pub(super) fn price_of(&self, fees: BlockFees, gas: u64) -> U256 {
        U256::from(fees.bid(self.limits.max_fee_per_gas).max_fee).saturating_mul(U256::from(gas))
    }
}

impl Lane {
    pub(super) fn new(common: Arc<Shared>, key: Key, queue: mpsc::UnboundedSender<QueuedCall>) -> Self {
        Self {
            common,
            load: OpenCalls::default(),
            launched: Notify::new(),
            landed: Notify::new(),
            key,
            queue,
            flights: Mutex::default(),
            balance: Mutex::new(None),
        }
    }

    pub(super) fn address(&self) -> Address {
        self.key.address()
    }

    pub(super) fn open(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    pub(super) fn standing(&self) -> Standing {
        let balance = *self.balance();
        let in_flight = self.flights().waiting();
        Standing { address: self.address(), balance, open: self.open(), in_flight }
    }

    /// Queues a call.
    pub(super) fn take(&self, job: QueuedCall) {
        if let Err(mpsc::error::SendError(job)) = self.queue.send(job) {
            job.end(CallProgress::NotSent(SendError::Refused("the sequencer has stopped".to_owned())));
        }
    }

    /// Never held across an await, and never taken while the balance is held.
    pub(super) fn flights(&self) -> MutexGuard<'_, PendingTxs> {
        self.flights.lock()
    }

    pub(super) fn balance(&self) -> MutexGuard<'_, Option<U256>> {
        self.balance.lock()
    }

    /// What the wallet has and what it should have, when it has less.
    pub(super) fn low(&self) -> Option<(U256, U256)> {
        let balance = (*self.balance())?;
        let needed = self.common.limits.low_balance.unwrap_or_else(|| {
            let fees = self.common.fees.last();
            fees.map_or(U256::ONE, |fees| self.common.price_of(fees, ENOUGH * USUAL_GAS))
        });
        (balance < needed.max(U256::ONE)).then_some((balance, needed))
    }

    /// How often the balance is read: an empty wallet is about to be funded.
    pub(super) fn weigh_every(&self) -> Duration {
        let usual = self.common.settings.balance_interval;
        if self.low().is_some() { usual.min(EMPTY_INTERVAL) } else { usual }
    }

    /// Reads the balance.
    pub(super) async fn weigh(&self) -> Result<U256, CallError> {
        let was_low = self.low().is_some();
        let found = self.common.chain.balance(self.address()).await?;
        *self.balance() = Some(found);
        match self.low() {
            Some((balance, needed)) if !was_low => tracing::error!(
                wallet = %self.address(), %balance, %needed,
                "the gas wallet is empty, or soon will be: fund it; until then no payment is taken"
            ),
            None if was_low => {
                tracing::info!(wallet = %self.address(), balance = %found, "the gas wallet is funded: payments are taken again");
            }
            Some(_) | None => {}
        }
        Ok(found)
    }

    pub(super) fn sign(&self, plan: &TxPlan, bid: TxFees) -> Result<SignedTx, SendError> {
        let transaction = TxEip1559 {
            chain_id: self.common.chain.chain_id(),
            nonce: plan.nonce,
            gas_limit: plan.gas,
            max_fee_per_gas: bid.max_fee,
            max_priority_fee_per_gas: bid.tip,
            to: TxKind::Call(plan.to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: plan.data.clone(),
        };
        let signature =
            self.key.sign(transaction.signature_hash()).map_err(|error| SendError::Refused(error.to_string()))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok(SignedTx { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into() })
    }
}
