//! Keeps the chain's time: the wall clock, plus an offset that the dev methods set.

#![expect(clippy::disallowed_methods, reason = "this is the clock of the chain")]

use std::time::{SystemTime, UNIX_EPOCH};

/// A clock in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// Added to the wall clock.
    offset: i64,
    /// The timestamp of the next block, if a dev method has fixed it.
    next: Option<u64>,
}

impl Clock {
    /// The timestamp of a block that is built now on a block with timestamp `parent`. Unless it is fixed, it is never
    /// before `parent`.
    pub(super) fn timestamp(&self, parent: u64) -> u64 {
        self.next.unwrap_or_else(|| wall().saturating_add_signed(self.offset).max(parent))
    }

    /// Ends a fixed timestamp, which holds for one block; the clock continues from it.
    pub(super) fn block_was_mined(&mut self) {
        if let Some(fixed) = self.next.take() {
            self.offset = fixed.cast_signed().saturating_sub(wall().cast_signed());
        }
    }

    /// Fixes the timestamp of the next block.
    pub(super) fn fix_next(&mut self, timestamp: u64) {
        self.next = Some(timestamp);
    }

    /// Moves time forward, and returns the whole offset in seconds.
    pub(super) fn advance(&mut self, seconds: u64) -> i64 {
        self.offset = self.offset.saturating_add_unsigned(seconds);
        self.next = self.next.map(|next| next.saturating_add(seconds));
        self.offset
    }
}

fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
