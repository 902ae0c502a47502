//! Tells who has lately used more than a part of the processors: a client, or a plugin.
//!
//! The use is a level that rises by the time that was used and falls by that part of the time that passes. A level above
//! [`WINDOW`] is much. A pause shortens it, and however much was used, it is little again after two windows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The time for which more than the part must have been used.
const WINDOW: Duration = Duration::from_millis(50);

/// Use of more than one part in this many of all processors is much.
const PARTS: u64 = 4;

/// The use of the processors by one user.
#[derive(Debug)]
pub struct RecentUse {
    base: Instant,
    processors: u64,
    /// The time at which the level is zero again, in nanoseconds after `base`.
    empty_at: AtomicU64,
}

impl Default for RecentUse {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { base: Instant::now(), processors: u64::try_from(processors).unwrap_or(1), empty_at: AtomicU64::new(0) }
    }
}

impl RecentUse {
    /// Notes time of one processor that was used until now.
    pub fn note(&self, used: Duration) {
        self.note_at(self.now(), nanos(used));
    }

    /// True if more than the part was used lately.
    pub fn is_much(&self) -> bool {
        // The clock is not read for those that use little.
        let empty_at = self.empty_at.load(Relaxed);
        empty_at > nanos(WINDOW) && empty_at - nanos(WINDOW) > self.now()
    }

    fn note_at(&self, now: u64, used: u64) {
        let rise = used.saturating_mul(PARTS) / self.processors;
        let most = now.saturating_add(2 * nanos(WINDOW));
        // Notes of two threads at once both count.
        let _ = self
            .empty_at
            .fetch_update(Relaxed, Relaxed, |empty_at| Some(empty_at.max(now).saturating_add(rise).min(most)));
    }

    fn now(&self) -> u64 {
        nanos(self.base.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    /// The use of one of two processors, in each of these milliseconds.
    fn level(used: u64, milliseconds: u64) -> u64 {
        let recent = RecentUse { base: Instant::now(), processors: 2, empty_at: AtomicU64::new(0) };
        for now in 1..=milliseconds {
            recent.note_at(now * MILLISECOND, used);
        }
        recent.empty_at.load(Relaxed).saturating_sub(milliseconds * MILLISECOND)
    }

    #[test]
    fn more_than_a_quarter_of_the_processors_for_a_while_is_much() {
        let window = nanos(WINDOW);
        assert!(level(MILLISECOND / 2, 10_000) <= window, "a quarter of two processors for ever");
        assert!(level(MILLISECOND, 30) <= window, "twice as much for a moment");
        assert!(level(MILLISECOND, 60) > window, "and for longer");
    }

    #[test]
    fn much_is_forgotten_after_two_windows() {
        assert_eq!(level(1_000 * MILLISECOND, 100), 2 * nanos(WINDOW));
        let recent = RecentUse::default();
        recent.note(Duration::from_secs(3_600));
        assert!(recent.is_much());
        std::thread::sleep(2 * WINDOW);
        assert!(!recent.is_much());
    }
}
