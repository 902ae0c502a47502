//! Limits rates per key: payments of one payer, and bad payments from one address.
//!
//! The algorithm is the generic cell rate algorithm (GCRA), one instant per key: a key may burst, and afterwards goes
//! on at its rate. Idle keys are forgotten, and the number of keys is bounded, so a flood of keys costs no memory.
//! Above the bound new keys pass: they are not the ones that made the flood. Idle keys are looked for once in a while,
//! so that a flood does not pay for each of its keys with a look at all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The greatest number of keys that are remembered.
const MAX_KEYS: usize = 65_536;

/// The shortest time between two looks for idle keys.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A rate limit per key.
#[derive(Debug)]
pub(crate) struct RateLimiter<K> {
    every: Duration,
    burst: Duration,
    keys: Mutex<Keys<K>>,
}

#[derive(Debug)]
struct Keys<K> {
    /// The time at which each key is idle again.
    idle_at: HashMap<K, Instant>,
    /// The time from which idle keys may be looked for again.
    sweep_at: Option<Instant>,
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// A limit of this many events per second, with a burst of as many as come in `seconds`. None for a rate that is no
    /// limit: zero, negative or not a number.
    pub(crate) fn new(per_second: f64, seconds: f64) -> Option<Self> {
        let every = Duration::try_from_secs_f64(1.0 / per_second).ok().filter(|every| !every.is_zero())?;
        Some(Self { every, burst: Duration::try_from_secs_f64(seconds).ok()?, keys: Mutex::default() })
    }

    /// Counts an event of this key. Fails with the time to wait.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut keys = self.keys.lock();
        if keys.idle_at.len() >= MAX_KEYS && !keys.idle_at.contains_key(&key) {
            keys.sweep(now);
            // Above the bound new keys pass, see the module's documentation.
            if keys.idle_at.len() >= MAX_KEYS {
                return Ok(());
            }
        }
        let at = keys.idle_at.entry(key).or_insert(now);
        let busy = at.saturating_duration_since(now);
        if busy > self.burst {
            return Err(busy - self.burst);
        }
        *at = now + busy + self.every;
        Ok(())
    }

    /// Takes back one event of this key that was counted.
    pub(super) fn give_back(&self, key: &K) {
        if let Some(at) = self.keys.lock().idle_at.get_mut(key) {
            *at = at.checked_sub(self.every).unwrap_or(*at);
        }
    }

    /// Fails like [`Self::take`], without counting.
    pub(crate) fn look(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let keys = self.keys.lock();
        let busy = keys.idle_at.get(key).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if busy > self.burst { Err(busy - self.burst) } else { Ok(()) }
    }
}

impl<K> Default for Keys<K> {
    fn default() -> Self {
        Self { idle_at: HashMap::new(), sweep_at: None }
    }
}

impl<K: Eq + Hash> Keys<K> {
    /// Forgets the keys that are idle, unless that was done a moment ago.
    fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| at <= now) {
            self.idle_at.retain(|_, at| *at > now);
            self.sweep_at = Some(now + SWEEP_INTERVAL);
        }
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
        assert!(rate.take("a", start + wait).is_ok(), "after the wait it was given");
        assert!(rate.take("b", start).is_ok(), "keys do not share");
        assert!(rate.look(&"a", start).is_err() && rate.look(&"b", start).is_ok());
        assert!(rate.take("a", start + Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn an_event_that_is_taken_back_does_not_count() {
        let rate = RateLimiter::new(1.0, 0.0).expect("a rate");
        let start = Instant::now();
        for _ in 0..10 {
            assert!(rate.take("a", start).is_ok());
            rate.give_back(&"a");
        }
        assert!(rate.take("a", start).is_ok() && rate.take("a", start).is_err());
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_stops_no_other_key() {
        let rate = RateLimiter::new(4.0, 0.0).expect("a rate");
        let start = Instant::now();
        for key in 0..(MAX_KEYS as u64 + 10) {
            assert!(rate.take(key, start).is_ok());
        }
        assert_eq!(rate.keys.lock().idle_at.len(), MAX_KEYS);
        // All are idle now, and were looked at half a second ago.
        assert!(rate.take(u64::MAX, start + SWEEP_INTERVAL / 2).is_ok());
        assert_eq!(rate.keys.lock().idle_at.len(), MAX_KEYS, "one look in a second, however many keys come");
        assert!(rate.take(u64::MAX, start + Duration::from_secs(5)).is_ok());
        assert_eq!(rate.keys.lock().idle_at.len(), 1, "idle keys are forgotten");
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert!(RateLimiter::<u8>::new(0.0, 1.0).is_none());
        assert!(RateLimiter::<u8>::new(f64::NAN, 1.0).is_none());
        assert!(RateLimiter::<u8>::new(-1.0, 1.0).is_none());
    }
}
