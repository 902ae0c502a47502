//! Who must pay first: payers whose settlements failed before, and everybody while too much is unsettled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy::primitives::U256;

use coinslot_x402::UnixTime;

/// How long a failed settlement is held against its payer, in seconds.
pub(super) const MEMORY: u64 = 24 * 60 * 60;

/// Payers that are remembered, at most. Beyond it the oldest are forgotten.
const MAX_PAYERS: usize = 65_536;

/// Failed settlements by payer.
#[derive(Debug, Default)]
pub(super) struct FailedSettlements {
    since: Mutex<HashMap<String, UnixTime>>,
}

impl FailedSettlements {
    /// One more, now.
    pub(super) fn add(&self, payer: &str, now: UnixTime) {
        let mut since = lock(&self.since);
        if since.len() >= MAX_PAYERS {
            since.retain(|_, at| at.plus(MEMORY) > now);
        }
        if since.len() < MAX_PAYERS {
            since.insert(payer.to_ascii_lowercase(), now);
        }
    }

    /// Whether there was one of late.
    pub(super) fn has(&self, payer: &str, now: UnixTime) -> bool {
        lock(&self.since).get(payer).is_some_and(|at| at.plus(MEMORY) > now)
    }
}

/// What is claimed in one asset and neither settled nor given up: what a host may lose if every payer
/// took the money away between verification and settlement.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    sum: Mutex<U256>,
}

/// A share of [`Unsettled`], given back when dropped.
#[derive(Debug)]
pub(super) struct Exposure {
    of: Arc<Unsettled>,
    amount: U256,
}

impl Unsettled {
    /// Adds the amount, unless the sum would exceed the cap.
    pub(super) fn take(self: &Arc<Self>, amount: U256, cap: U256) -> Option<Exposure> {
        let mut sum = lock(&self.sum);
        let next = sum.checked_add(amount).filter(|next| *next <= cap)?;
        *sum = next;
        drop(sum);
        Some(Exposure { of: Arc::clone(self), amount })
    }
}

impl Drop for Exposure {
    fn drop(&mut self) {
        let mut sum = lock(&self.of.sum);
        *sum = sum.saturating_sub(self.amount);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unsettled_stays_under_its_cap() {
        let unsettled = Arc::new(Unsettled::default());
        let cap = U256::from(3);
        let held: Vec<_> = (0..3).map(|_| unsettled.take(U256::from(1), cap)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(unsettled.take(U256::from(1), cap).is_none());
        drop(held);
        assert!(unsettled.take(U256::from(3), cap).is_some());
    }

    #[test]
    fn a_strike_is_forgotten_after_a_day() {
        let strikes = FailedSettlements::default();
        strikes.add("0xAB", UnixTime(1_000));
        assert!(strikes.has("0xab", UnixTime(1_001)));
        assert!(!strikes.has("0xab", UnixTime(1_000 + MEMORY)));
    }
}
