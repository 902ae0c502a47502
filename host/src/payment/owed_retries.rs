//! Spaces the retries of an owed answer. Its payer has paid once, and every run costs the host: a request that makes
//! its guest fail must not run for ever at the price of one.
//!
//! The counts are in memory only: after a restart an owed answer is tried as if it were new.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use coinslot_ledger::PaymentId;
use parking_lot::Mutex;

/// The number of failures from which on the next try has to wait.
const IMMEDIATE_TRIES: u32 = 5;
/// The first pause; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The greatest number of owed answers that are remembered.
const MAX_OWED: usize = 65_536;

/// The owed answers whose guests failed, with the time from which on each may be tried again.
#[derive(Debug, Default)]
pub(super) struct OwedRetries {
    failed: Mutex<HashMap<PaymentId, FailedTries>>,
}

#[derive(Clone, Copy, Debug)]
struct FailedTries {
    times: u32,
    until: Instant,
}

impl OwedRetries {
    /// Counts a failure of the guest.
    pub(super) fn failed(&self, id: &PaymentId, now: Instant) {
        let mut failed = self.failed.lock();
        if failed.len() >= MAX_OWED && !failed.contains_key(id) {
            // An answer that was not tried for so long is forgotten: its next try would be due anyway.
            failed.retain(|_, tries| tries.until + LONGEST_PAUSE > now);
            if failed.len() >= MAX_OWED {
                return;
            }
        }
        let tries = failed.entry(id.clone()).or_insert(FailedTries { times: 0, until: now });
        tries.times = tries.times.saturating_add(1);
        if let Some(doublings) = tries.times.checked_sub(IMMEDIATE_TRIES) {
            tries.until = now + FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
        }
    }

    /// Counts a client that hung up in the middle of its answer, and returns how often that happened. A payment that is
    /// not remembered any more counts as one that used up its tries.
    pub(super) fn hung_up(&self, id: &PaymentId, now: Instant) -> u32 {
        self.failed(id, now);
        self.failed.lock().get(id).map_or(u32::MAX, |tries| tries.times)
    }

    /// The time that the next try has to wait. None if it may run.
    pub(super) fn wait(&self, id: &PaymentId, now: Instant) -> Option<Duration> {
        let tries = *self.failed.lock().get(id)?;
        Some(tries.until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Forgets an answer that was given.
    pub(super) fn paid(&self, id: &PaymentId) {
        self.failed.lock().remove(id);
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
        let retries = OwedRetries::default();
        let start = Instant::now();
        let waits: Vec<_> = (0..14)
            .map(|_| {
                retries.failed(&id("1"), start);
                retries.wait(&id("1"), start).map_or(0, |wait| wait.as_secs())
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(retries.wait(&id("1"), start + LONGEST_PAUSE).is_none(), "and then it may");
        assert!(retries.wait(&id("2"), start).is_none(), "other answers do not wait for it");
        retries.paid(&id("1"));
        assert!(retries.wait(&id("1"), start).is_none());
    }

    #[test]
    fn a_flood_of_owed_answers_is_bounded() {
        let retries = OwedRetries::default();
        let start = Instant::now();
        for nonce in 0..MAX_OWED + 10 {
            retries.failed(&id(&nonce.to_string()), start);
        }
        assert_eq!(retries.failed.lock().len(), MAX_OWED);
        retries.failed(&id("later"), start + LONGEST_PAUSE * 2);
        assert_eq!(retries.failed.lock().len(), 1, "answers whose pause is over are forgotten");
    }
}
