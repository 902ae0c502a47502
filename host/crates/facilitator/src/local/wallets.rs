//! Bounds the cost of contract wallets: the judgements of signatures at once, and the gas of transactions that revert.
//!
//! A contract decides for itself whether a signature is its own (ERC-1271), and may decide otherwise when the gas is
//! paid for. Simulations run as the transaction will, and a wallet whose transaction reverted all the same is refused
//! for a while, so that it burns the gas of few.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy::primitives::Address;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// The time for which a wallet is refused after its transaction was reverted.
const REFUSED_FOR: Duration = Duration::from_secs(60 * 60);

/// The time for which an address counts as one without code.
const NO_CODE_FOR: Duration = Duration::from_secs(2 * 60);

/// Addresses that are remembered, at most, in either of the two lists.
const MAX_ADDRESSES: usize = 16_384;

/// Signatures of unproven payers that are judged at once, and that wait.
const AT_ONCE: usize = 4;
const MAX_WAITING: usize = 32;

/// Gas that a transfer by authorisation takes beside the wallet's judgement, with the protocol's 21,000.
const TRANSFER_GAS: u64 = 130_000;

/// Gas of a call by itself: the protocol's 21,000, and the call's data.
const CALL_GAS: u64 = 30_000;

#[derive(Debug)]
pub(super) struct Wallets {
    /// The most gas that a wallet may take to judge a signature.
    gas: u64,
    reverted: AddressesUntil,
    without_code: AddressesUntil,
    turns: Semaphore,
    waiting: AtomicUsize,
}

/// Addresses until a time.
#[derive(Debug, Default)]
struct AddressesUntil(Mutex<HashMap<Address, Instant>>);

impl Wallets {
    pub(super) fn new(gas: u64) -> Self {
        Self {
            gas,
            reverted: AddressesUntil::default(),
            without_code: AddressesUntil::default(),
            turns: Semaphore::new(AT_ONCE),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The most gas that a wallet may take to judge a signature.
    pub(super) fn gas(&self) -> u64 {
        self.gas
    }

    /// The gas of an `eth_call` of the judgement.
    pub(super) fn call_gas(&self) -> u64 {
        self.gas.saturating_add(CALL_GAS)
    }

    /// The most gas of a transaction that settles a wallet's payment.
    pub(super) fn tx_gas(&self) -> u64 {
        self.gas.saturating_add(TRANSFER_GAS)
    }

    /// Refuses the wallet for a while: its transaction was reverted.
    pub(super) fn reverted(&self, wallet: Address) {
        self.reverted.add(wallet, REFUSED_FOR);
    }

    pub(super) fn is_refused(&self, wallet: Address) -> bool {
        self.reverted.has(wallet)
    }

    pub(super) fn has_no_code(&self, address: Address) {
        self.without_code.add(address, NO_CODE_FOR);
    }

    pub(super) fn is_without_code(&self, address: Address) -> bool {
        self.without_code.has(address)
    }

    /// Waits for a turn to ask the chain about a payer who has proven nothing. None if too many wait already.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let _place = Place::take(&self.waiting)?;
        self.turns.acquire().await.ok()
    }
}

/// A place among the judgements that wait. Dropping it gives it back, also when the wait is dropped half way.
struct Place<'w>(&'w AtomicUsize);

impl<'w> Place<'w> {
    fn take(waiting: &'w AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AddressesUntil {
    fn add(&self, address: Address, keep: Duration) {
        let now = Instant::now();
        let mut addresses = self.0.lock();
        if addresses.len() >= MAX_ADDRESSES {
            addresses.retain(|_, until| *until > now);
        }
        if addresses.len() >= MAX_ADDRESSES {
            // The older half: half of the entries end before the middle one.
            let mut ends: Vec<Instant> = addresses.values().copied().collect();
            let (_, middle, _) = ends.select_nth_unstable(MAX_ADDRESSES / 2);
            let middle = *middle;
            addresses.retain(|_, until| *until > middle);
        }
        addresses.insert(address, now + keep);
    }

    fn has(&self, address: Address) -> bool {
        self.0.lock().get(&address).is_some_and(|until| *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_bounded_and_the_newest_stay() {
        let addresses = AddressesUntil::default();
        for number in 0..3 * MAX_ADDRESSES as u64 {
            addresses.add(Address::left_padding_from(&number.to_be_bytes()), REFUSED_FOR);
        }
        assert!(addresses.0.lock().len() <= MAX_ADDRESSES);
        assert!(addresses.has(Address::left_padding_from(&(3 * MAX_ADDRESSES as u64 - 1).to_be_bytes())));
    }

    #[tokio::test]
    async fn few_ask_at_once_and_few_wait() {
        let wallets = Wallets::new(1);
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(wallets.turn().await.expect("a turn"));
        }
        let places: Vec<_> = (0..MAX_WAITING).map(|_| Place::take(&wallets.waiting).expect("a place")).collect();
        assert!(wallets.turn().await.is_none(), "the queue is full");
        drop(places);
        turns.pop();
        assert!(wallets.turn().await.is_some());
    }
}
