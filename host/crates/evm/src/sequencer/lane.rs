//! The lane of one key: its money, its transactions, and their signatures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, U256};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::GasWallet;
use super::call::{OpenCalls, QueuedCall, SendError};
use super::observer::TransactionEvent;
use super::pending::PendingTxs;
use super::shared::{Shared, USUAL_GAS};
use crate::call_error::CallError;
use crate::ether::Ether;
use crate::key::Key;
use crate::transaction::{SignedTx, Transaction};

/// Settlements that a wallet should be able to pay for, unless the settings say how much it should have.
const ENOUGH_SETTLEMENTS: u64 = 200;

/// A lane is stuck when something in it has waited for this many times the wait for one replacement.
const STUCK_TIMES: u32 = 3;

/// The interval at which the balance of an empty wallet is read: it is about to be funded.
const EMPTY_INTERVAL: Duration = Duration::from_secs(3);

/// The lane of one key, whose transactions are sent in the order of their nonces.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) open_calls: OpenCalls,
    /// Notified when a transaction was sent, for a follower that sleeps.
    pub(super) sent: Notify,
    /// Notified when one transaction fewer waits for a block.
    pub(super) included: Notify,
    key: Key,
    queue: mpsc::UnboundedSender<QueuedCall>,
    pending: Mutex<PendingTxs>,
    /// The time since which the first call in the queue waits for room.
    queued_since: Mutex<Option<Instant>>,
    /// In wei, as of the last reading, less what was spent since.
    balance: Mutex<Option<U256>>,
    /// The log says that the wallet is low, and does not say yet that it is funded again.
    is_logged_low: AtomicBool,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, key: Key, queue: mpsc::UnboundedSender<QueuedCall>) -> Self {
        Self {
            shared,
            open_calls: OpenCalls::default(),
            sent: Notify::new(),
            included: Notify::new(),
            key,
            queue,
            pending: Mutex::default(),
            queued_since: Mutex::default(),
            balance: Mutex::new(None),
            is_logged_low: AtomicBool::new(false),
        }
    }

    pub(super) fn address(&self) -> Address {
        self.key.address()
    }

    pub(super) fn open_calls(&self) -> usize {
        self.open_calls.load(Ordering::Relaxed)
    }

    /// Queues a call for the dispatcher.
    pub(super) fn enqueue(&self, call: QueuedCall) {
        if let Err(mpsc::error::SendError(call)) = self.queue.send(call) {
            call.give_up(SendError::Refused("the sequencer has stopped".to_owned()));
        }
    }

    /// Locks the transactions. Never held across an await, and never taken while the balance is held.
    pub(super) fn pending(&self) -> MutexGuard<'_, PendingTxs> {
        self.pending.lock()
    }

    /// Takes note of the first call in the queue.
    pub(super) fn first_in_queue(&self, call: Option<&QueuedCall>) {
        *self.queued_since.lock() = call.map(|call| call.since);
    }

    /// The time for which a call has waited for its transaction or a transaction for its block, if that is too long for
    /// a payment that would have to wait behind it.
    pub(super) fn stuck_for(&self) -> Option<Duration> {
        let queued = *self.queued_since.lock();
        let oldest = self.pending().waiting_since().into_iter().chain(queued).min()?;
        let waited = oldest.elapsed();
        (waited > self.shared.settings.stuck_after * STUCK_TIMES).then_some(waited)
    }

    pub(super) fn balance(&self) -> MutexGuard<'_, Option<U256>> {
        self.balance.lock()
    }

    /// The wallet's balance and the balance that it should have, while it has less. A balance that was never read
    /// counts as enough.
    pub(super) fn low_balance(&self) -> Option<(U256, U256)> {
        let balance = (*self.balance())?;
        let needed = self.shared.limits.low_balance.unwrap_or_else(|| {
            let fees = self.shared.fees.last();
            fees.map_or(U256::ONE, |fees| self.shared.max_cost_of(fees, ENOUGH_SETTLEMENTS * USUAL_GAS))
        });
        (balance < needed.max(U256::ONE)).then_some((balance, needed))
    }

    /// The wallet, as it was read last. The balance is read by itself, because [`Self::low_balance`] locks it again.
    pub(super) fn wallet(&self) -> GasWallet {
        let balance = *self.balance();
        GasWallet {
            address: self.address(),
            balance,
            needed: self.low_balance().map(|(_, needed)| needed),
            open_calls: self.open_calls(),
            stuck_for: self.stuck_for(),
            waiting: self.pending().named(GasWallet::SHOWN),
        }
    }

    pub(super) fn balance_interval(&self) -> Duration {
        let usual = self.shared.settings.balance_interval;
        if self.low_balance().is_some() { usual.min(EMPTY_INTERVAL) } else { usual }
    }

    /// Reads the balance, and logs when that makes the wallet low or funded.
    pub(super) async fn refresh_balance(&self) -> Result<U256, CallError> {
        let found = self.shared.chain.balance(self.address()).await?;
        *self.balance() = Some(found);
        self.log_balance(found);
        Ok(found)
    }

    /// Logs each change between low and funded once. The change is judged by what was logged and not by the balance
    /// before, because a refused transaction and a fee that rises make a wallet low between two readings.
    fn log_balance(&self, found: U256) {
        let low = self.low_balance();
        let was_logged = self.is_logged_low.swap(low.is_some(), Ordering::Relaxed);
        let wallet = self.address();
        match low {
            Some((balance, needed)) if !was_logged => tracing::error!(
                %wallet, balance = %Ether(balance), needed = %Ether(needed),
                "the gas wallet is empty, or soon will be: fund it; until then no payment is taken"
            ),
            None if was_logged => {
                tracing::info!(%wallet, balance = %Ether(found), "the gas wallet is funded: payments are taken again");
            }
            Some(_) | None => {}
        }
    }

    /// Refuses what the wallet cannot pay. Reads the balance again before it says no.
    pub(super) async fn check_balance(&self, cost: U256) -> Result<(), SendError> {
        let known = *self.balance();
        if known.is_none_or(|balance| balance >= cost) {
            return Ok(());
        }
        let balance = self.refresh_balance().await.map_err(SendError::Unreachable)?;
        if balance >= cost {
            return Ok(());
        }
        Err(SendError::Refused(format!(
            "the gas wallet {} has {}, and the transaction may cost {}",
            self.address(),
            Ether(balance),
            Ether(cost)
        )))
    }

    /// Tells the observer what became of a transaction.
    pub(super) fn tell(&self, event: TransactionEvent) {
        if let Some(observer) = &self.shared.observer {
            observer.happened(self.address(), event);
        }
    }

    pub(super) fn sign(&self, nonce: u64, tx: &Transaction) -> Result<SignedTx, SendError> {
        let signed = tx.sign(&self.key, self.shared.chain.chain_id(), nonce);
        signed.map_err(|error| SendError::Refused(error.to_string()))
    }
}
