//! Remembers the payers whose settlements failed of late: their next payments are settled before the guest runs.

use std::collections::HashMap;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_settlement_is_forgotten_after_a_day() {
        let failed = FailedSettlements::default();
        failed.add("0xAB", UnixTime(1_000), UnixTime(1_000));
        assert!(failed.has("0xab", UnixTime(1_001)));
        assert!(!failed.has("0xab", UnixTime(1_000 + MEMORY)));
        failed.add("0xAB", UnixTime(900), UnixTime(1_002));
        assert!(failed.has("0xab", UnixTime(999 + MEMORY)), "the last one counts, in whatever order they are added");
    }
}
