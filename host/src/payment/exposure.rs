//! Bounds the exposure of a host: the money for answers in progress whose payments are not settled, in each asset.
//! Above the bound payments are settled before the guest runs.

use std::sync::Arc;

use alloy::primitives::U256;
use parking_lot::Mutex;

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
    fn what_was_unsettled_before_the_start_counts_also_above_the_cap() {
        let unsettled = Arc::new(Unsettled::default());
        let before = [unsettled.add(U256::from(5)), unsettled.add(U256::MAX)];
        assert!(unsettled.take(U256::from(1), U256::from(9)).is_none());
        drop(before);
        assert!(unsettled.take(U256::from(9), U256::from(9)).is_some());
    }
}
