//! Remembers the two reasons to take the money before the guest runs: a payer whose settlement failed of late, and a
//! sum of unsettled payments that is too large.

use std::collections::HashMap;
use std::sync::Arc;

use alloy::primitives::U256;
use coinslot_x402::UnixTime;
use parking_lot::Mutex;

/// The time for which a failed settlement is held against its payer, in seconds.
pub(super) const MEMORY: u64 = 24 * 60 * 60;

/// The greatest number of payers that are remembered. Above it expired ones are forgotten, and new ones are not added.
const MAX_PAYERS: usize = 65_536;

/// The time of the last failed settlement of each payer.
#[derive(Debug, Default)]
pub(super) struct FailedSettlements {
    since: Mutex<HashMap<String, UnixTime>>,
}

impl FailedSettlements {
    /// Adds a settlement of this payer that failed at this time. An earlier one than is known changes nothing.
    pub(super) fn add(&self, payer: &str, at: UnixTime, now: UnixTime) {
        let mut since = self.since.lock();
        if since.len() >= MAX_PAYERS {
            since.retain(|_, at| at.plus(MEMORY) > now);
        }
        let payer = payer.to_ascii_lowercase();
        // A flood of new payers does not push out those that are known.
        if since.len() < MAX_PAYERS || since.contains_key(&payer) {
            let last = since.entry(payer).or_insert(at);
            *last = at.max(*last);
        }
    }

    /// True if a settlement of this payer failed within [`MEMORY`].
    pub(super) fn has(&self, payer: &str, now: UnixTime) -> bool {
        self.since.lock().get(payer).is_some_and(|at| at.plus(MEMORY) > now)
    }
}

/// The sum that is claimed in one asset and neither settled nor released, in atomic units.
///
/// A host may lose this much if every payer moved the money away between verification and settlement.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    sum: Mutex<U256>,
}

/// A payment's share of [`Unsettled`], given back when it is dropped.
#[derive(Debug)]
pub(super) struct Exposure {
    of: Arc<Unsettled>,
    amount: U256,
}

impl Unsettled {
    /// Adds the amount, unless the sum would exceed the cap.
    pub(super) fn take(self: &Arc<Self>, amount: U256, cap: U256) -> Option<Exposure> {
        let mut sum = self.sum.lock();
        let next = sum.checked_add(amount).filter(|next| *next <= cap)?;
        *sum = next;
        drop(sum);
        Some(Exposure { of: Arc::clone(self), amount })
    }

    /// Adds the amount, also above the cap: a payment of the process before is exposed already.
    pub(super) fn add(self: &Arc<Self>, amount: U256) -> Exposure {
        let mut sum = self.sum.lock();
        // What does not fit is not taken from the sum later.
        let amount = amount.min(U256::MAX - *sum);
        *sum += amount;
        drop(sum);
        Exposure { of: Arc::clone(self), amount }
    }
}

impl Drop for Exposure {
    fn drop(&mut self) {
        let mut sum = self.of.sum.lock();
        *sum = sum.saturating_sub(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unsettled_sum_stays_under_its_cap() {
        let unsettled = Arc::new(Unsettled::default());
        let cap = U256::from(3);
        let held: Vec<_> = (0..3).map(|_| unsettled.take(U256::from(1), cap)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(unsettled.take(U256::from(1), cap).is_none());
        drop(held);
        assert!(unsettled.take(U256::from(3), cap).is_some());
    }

    #[test]
    fn a_failed_settlement_is_forgotten_after_a_day() {
        let failed = FailedSettlements::default();
        failed.add("0xAB", UnixTime(1_000), UnixTime(1_000));
        assert!(failed.has("0xab", UnixTime(1_001)));
        assert!(!failed.has("0xab", UnixTime(1_000 + MEMORY)));
        failed.add("0xAB", UnixTime(900), UnixTime(1_002));
        assert!(failed.has("0xab", UnixTime(999 + MEMORY)), "the last one counts, in whatever order they are added");
    }

    #[test]
    fn what_was_unsettled_before_the_start_counts_also_above_the_cap() {
        let unsettled = Arc::new(Unsettled::default());
        let before = [unsettled.add(U256::from(5)), unsettled.add(U256::MAX)];
        assert!(unsettled.take(U256::from(1), U256::from(9)).is_none());
        drop(before);
        assert!(unsettled.take(U256::from(9), U256::from(9)).is_some());
    }
}
