//! Spaces and bounds the runs for an owed answer. Its payer has paid once, and every run costs the host: a request that
//! makes its guest fail must not run for ever at the price of one.
//!
//! The counts are in memory only, and begin anew with each generation of the catalogue and after a restart: both are
//! the operator's, who may have repaired the plugin. A count in the ledger would need a command to take it back. No
//! client can cause either, so none can have more runs than one generation allows. The debt itself stays in the
//! ledger.

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
/// The failures after which no run follows. With the pauses between them they take an hour and a half at least, so that
/// a payer who tries again during an outage of what the plugin calls does not use them up.
const MAX_RUNS: u32 = 32;
/// The failures in the middle of an answer after which no run follows: the client has a part of the answer each time.
const MAX_PARTIAL_RUNS: u32 = 5;
/// The time for which an answer without a run left is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
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
    /// The number of failures in the middle of an answer among them.
    parts: u32,
    /// The number of times that the client hung up, apart from them.
    hang_ups: u32,
    until: Instant,
    /// The generation in which a run was refused, after which no run is left.
    refused_in: Option<u64>,
}

/// The decision about the next run for an owed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Now,
    After(Duration),
    /// Not in this generation.
    Never,
}

impl FailedTries {
    fn used_up(&self) -> bool {
        self.times >= MAX_RUNS || self.parts >= MAX_PARTIAL_RUNS
    }
}

impl OwedRetries {
    /// Counts a failure of the guest before the client had anything.
    pub(super) fn failed(&self, id: &PaymentId, now: Instant) {
        self.count(id, now, |_| ());
    }

    /// Counts a failure of the guest in the middle of its answer.
    pub(super) fn failed_midway(&self, id: &PaymentId, now: Instant) {
        self.count(id, now, |tries| tries.parts = tries.parts.saturating_add(1));
    }

    fn count(&self, id: &PaymentId, now: Instant, also: impl FnOnce(&mut FailedTries)) {
        let mut failed = self.failed.lock();
        if failed.len() >= MAX_OWED && !failed.contains_key(id) {
            // An answer that was not tried for the longest pause is forgotten: its next try would be due anyway.
            failed.retain(|_, tries| tries.until + LONGEST_PAUSE > now);
            if failed.len() >= MAX_OWED {
                return;
            }
        }
        let none = FailedTries { times: 0, parts: 0, hang_ups: 0, until: now, refused_in: None };
        let tries = failed.entry(id.clone()).or_insert(none);
        tries.times = tries.times.saturating_add(1);
        also(tries);
        if tries.used_up() {
            tries.until = now + REMEMBERED;
        } else if let Some(doublings) = tries.times.checked_sub(IMMEDIATE_TRIES) {
            tries.until = now + FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
        }
    }

    /// Counts a client that hung up in the middle of its answer, and returns how often that happened. Failures of the
    /// guest before it are the host's, and not among them. A payment that is not remembered any more counts as one that
    /// used up its tries.
    pub(super) fn hung_up(&self, id: &PaymentId, now: Instant) -> u32 {
        self.count(id, now, |tries| tries.hang_ups = tries.hang_ups.saturating_add(1));
        self.failed.lock().get(id).map_or(u32::MAX, |tries| tries.hang_ups)
    }

    /// True if a run for this answer has failed.
    pub(super) fn has_failed(&self, id: &PaymentId) -> bool {
        self.failed.lock().contains_key(id)
    }

    /// Decides about a run in this generation. Where no run is left, the first refusal notes the generation, and a
    /// later generation begins anew. Requests of an earlier one that are still at work do not.
    pub(super) fn next(&self, id: &PaymentId, generation: u64, now: Instant) -> Retry {
        let mut failed = self.failed.lock();
        let Some(tries) = failed.get_mut(id) else { return Retry::Now };
        if !tries.used_up() {
            let wait = tries.until.saturating_duration_since(now);
            return if wait.is_zero() { Retry::Now } else { Retry::After(wait) };
        }
        if generation <= *tries.refused_in.get_or_insert(generation) {
            return Retry::Never;
        }
        failed.remove(id);
        Retry::Now
    }

    /// Forgets an answer that was given.
    pub(super) fn answered(&self, id: &PaymentId) {
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
        let seconds = |retry| match retry {
            Retry::Now => 0,
            Retry::After(wait) => wait.as_secs(),
            Retry::Never => panic!("runs are left"),
        };
        let waits: Vec<_> = (0..14)
            .map(|_| {
                retries.failed(&id("1"), start);
                seconds(retries.next(&id("1"), 1, start))
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(retries.next(&id("1"), 1, start + LONGEST_PAUSE), Retry::Now, "and then it may");
        assert_eq!(retries.next(&id("2"), 1, start), Retry::Now, "other answers do not wait for it");
        retries.answered(&id("1"));
        assert_eq!(retries.next(&id("1"), 1, start), Retry::Now);
    }

    #[test]
    fn the_runs_of_one_payment_are_bounded_until_the_operator_changes_something() {
        let start = Instant::now();
        let later = start + LONGEST_PAUSE;
        for (fail, most) in [
            (OwedRetries::failed as fn(&OwedRetries, &PaymentId, Instant), MAX_RUNS),
            (OwedRetries::failed_midway, MAX_PARTIAL_RUNS),
        ] {
            let retries = OwedRetries::default();
            for run in 0..most {
                assert_eq!(retries.next(&id("1"), 1, later), Retry::Now, "{run} of {most}");
                fail(&retries, &id("1"), start);
            }
            for _ in 0..2 {
                assert_eq!(retries.next(&id("1"), 1, later), Retry::Never);
            }
            assert_eq!(retries.next(&id("2"), 1, later), Retry::Now);
            assert_eq!(retries.next(&id("1"), 0, later), Retry::Never, "an earlier generation");
            assert_eq!(retries.next(&id("1"), 2, later), Retry::Now, "a later generation");
            assert!(retries.failed.lock().is_empty(), "with all of its runs");
        }
    }

    /// A guest that had failed twice left its client one connection: the first that broke was counted as the third.
    #[test]
    fn failures_of_the_guest_are_no_hang_ups_of_its_client() {
        let retries = OwedRetries::default();
        let now = Instant::now();
        retries.failed(&id("1"), now);
        retries.failed_midway(&id("1"), now);
        assert_eq!(retries.hung_up(&id("1"), now), 1);
        retries.failed(&id("1"), now);
        assert_eq!(retries.hung_up(&id("1"), now), 2);
        assert!(retries.has_failed(&id("1")) && !retries.has_failed(&id("2")));
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
