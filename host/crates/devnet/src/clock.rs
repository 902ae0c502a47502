//! The chain's time: the wall clock, plus what the dev methods added to it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch, moved by `offset`; `next` fixes the coming block's timestamp once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    offset: i64,
    next: Option<u64>,
}

impl Clock {
    /// The timestamp of a block built now on one of timestamp `parent`; never before it.
    pub(super) fn timestamp(&self, parent: u64) -> u64 {
        self.next.unwrap_or_else(|| wall().saturating_add_signed(self.offset).max(parent))
    }

    /// A fixed timestamp holds for one block; time goes on from it.
    pub(super) fn block_was_mined(&mut self) {
        if let Some(fixed) = self.next.take() {
            self.offset = fixed.cast_signed().saturating_sub(wall().cast_signed());
        }
    }

    /// Fixes the coming block's timestamp.
    pub(super) fn fix_next(&mut self, timestamp: u64) {
        self.next = Some(timestamp);
    }

    /// Moves time forward; returns the whole offset in seconds.
    pub(super) fn advance(&mut self, seconds: u64) -> i64 {
        self.offset = self.offset.saturating_add_unsigned(seconds);
        self.next = self.next.map(|next| next.saturating_add(seconds));
        self.offset
    }
}

fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
