//! How often an owed answer is tried again. Its payer has paid once, and every run costs the host: a request that
//! makes its guest fail must not run for ever at the price of one.
//!
//! Kept in memory: after a restart a debt is tried as if it were new.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coinslot_ledger::PaymentId;

/// With so many failures the next try has to wait.
const AT_ONCE: u32 = 5;
/// The first wait; each further failure doubles it.
const FIRST: Duration = Duration::from_secs(2);
/// The longest.
const LONGEST: Duration = Duration::from_secs(300);
/// OwedRetries that are remembered, at most.
const MAX_DEBTS: usize = 65_536;

/// OwedRetries whose guests failed, and when each may be tried again.
#[derive(Debug, Default)]
pub(super) struct OwedRetries {
    failed: Mutex<HashMap<PaymentId, Failed>>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    until: Instant,
}

impl OwedRetries {
    /// The guest failed again.
    pub(super) fn failed(&self, id: &PaymentId, now: Instant) {
        let mut failed = self.lock();
        if failed.len() >= MAX_DEBTS && !failed.contains_key(id) {
            failed.retain(|_, debt| debt.until + LONGEST > now);
            if failed.len() >= MAX_DEBTS {
                return;
            }
        }
        let debt = failed.entry(id.clone()).or_insert(Failed { times: 0, until: now });
        debt.times = debt.times.saturating_add(1);
        if let Some(doublings) = debt.times.checked_sub(AT_ONCE) {
            debt.until = now + FIRST.saturating_mul(1 << doublings.min(16)).min(LONGEST);
        }
    }

    /// How long the next try has to wait. None if it may run.
    pub(super) fn wait(&self, id: &PaymentId, now: Instant) -> Option<Duration> {
        let debt = *self.lock().get(id)?;
        Some(debt.until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// It was answered.
    pub(super) fn paid(&self, id: &PaymentId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentId, Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coinslot_x402::Network;

    fn id(nonce: &str) -> PaymentId {
        let network = Network::parse("eip155:84532").expect("a network");
        PaymentId::new(network, "0xa".to_owned(), "0xb".to_owned(), nonce.to_owned())
    }

    #[test]
    fn the_first_tries_run_at_once_and_then_each_waits_twice_as_long() {
        let debts = OwedRetries::default();
        let start = Instant::now();
        let waits: Vec<_> = (0..14)
            .map(|_| {
                debts.failed(&id("1"), start);
                debts.wait(&id("1"), start).map_or(0, |wait| wait.as_secs())
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(debts.wait(&id("1"), start + LONGEST).is_none(), "and then it may");
        assert!(debts.wait(&id("2"), start).is_none(), "others do not wait for it");
        debts.paid(&id("1"));
        assert!(debts.wait(&id("1"), start).is_none());
    }

    #[test]
    fn a_flood_of_debts_is_bounded() {
        let debts = OwedRetries::default();
        let start = Instant::now();
        for nonce in 0..MAX_DEBTS + 10 {
            debts.failed(&id(&nonce.to_string()), start);
        }
        assert_eq!(debts.lock().len(), MAX_DEBTS);
        debts.failed(&id("later"), start + LONGEST * 2);
        assert_eq!(debts.lock().len(), 1, "those that need not wait any more are forgotten");
    }
}
