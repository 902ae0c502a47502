//! How often: of one payer's payments, and of bad payments from one address.
//!
//! The generic cell rate algorithm, one instant per key: a key may burst so many at once, and afterwards
//! goes on at its rate. Keys that are idle are forgotten, and their number is bounded, so a flood of keys
//! costs no memory; beyond the bound new keys pass, since whoever made the flood is not them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys that are remembered, at most.
const MAX_KEYS: usize = 65_536;

/// A rate per key.
#[derive(Debug)]
pub(super) struct RateLimiter<K> {
    every: Duration,
    burst: Duration,
    /// When each key would be idle again.
    idle_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// So many per second, and at once as many as in this many seconds. None for no limit.
    pub(super) fn new(per_second: f64, seconds: f64) -> Option<Self> {
        let every = Duration::try_from_secs_f64(1.0 / per_second).ok().filter(|every| !every.is_zero())?;
        Some(Self { every, burst: Duration::try_from_secs_f64(seconds).ok()?, idle_at: Mutex::default() })
    }

    /// Counts one of this key, or says how long to wait.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut idle_at = self.idle_at.lock().unwrap_or_else(PoisonError::into_inner);
        if idle_at.len() >= MAX_KEYS && !idle_at.contains_key(&key) {
            idle_at.retain(|_, at| *at > now);
            if idle_at.len() >= MAX_KEYS {
                return Ok(());
            }
        }
        let at = idle_at.entry(key).or_insert(now);
        let busy = at.saturating_duration_since(now);
        if busy > self.burst {
            return Err(busy - self.burst);
        }
        *at = now + busy + self.every;
        Ok(())
    }

    /// Whether this key may go on, without counting.
    pub(super) fn look(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let idle_at = self.idle_at.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = idle_at.get(key).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if busy > self.burst { Err(busy - self.burst) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_bursts_and_then_goes_on_at_its_rate() {
        let rate = RateLimiter::new(10.0, 1.0).expect("a rate");
        let start = Instant::now();
        let passed = (0..100).filter(|_| rate.take("a", start).is_ok()).count();
        assert_eq!(passed, 11, "ten of its burst and the first");
        let wait = rate.take("a", start).expect_err("enough");
        assert!(rate.take("a", start + wait).is_ok(), "as it was told");
        assert!(rate.take("b", start).is_ok(), "keys do not share");
        assert!(rate.look(&"a", start).is_err() && rate.look(&"b", start).is_ok());
        assert!(rate.take("a", start + Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_stops_nobody_else() {
        let rate = RateLimiter::new(1.0, 0.0).expect("a rate");
        let start = Instant::now();
        for key in 0..(MAX_KEYS as u64 + 10) {
            assert!(rate.take(key, start).is_ok());
        }
        assert_eq!(rate.idle_at.lock().expect("unpoisoned").len(), MAX_KEYS);
        assert!(rate.take(u64::MAX, start + Duration::from_secs(5)).is_ok());
        assert_eq!(rate.idle_at.lock().expect("unpoisoned").len(), 1, "idle keys are forgotten");
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert!(RateLimiter::<u8>::new(0.0, 1.0).is_none());
        assert!(RateLimiter::<u8>::new(f64::NAN, 1.0).is_none());
        assert!(RateLimiter::<u8>::new(-1.0, 1.0).is_none());
    }
}
