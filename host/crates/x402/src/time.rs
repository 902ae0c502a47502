//! Time as contracts count it.

/// Seconds since 1970-01-01T00:00:00Z, the unit of block timestamps and of `validBefore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The time this many seconds later, `u64::MAX` at most.
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

impl From<std::time::SystemTime> for UnixTime {
    /// A clock set before 1970 reads as 0.
    fn from(time: std::time::SystemTime) -> Self {
        Self(time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}
