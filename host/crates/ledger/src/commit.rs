//! Tells an observer of each commit of the writer.

use std::fmt;
use std::time::Duration;

/// A commit that changed something, or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The time until it was on disk.
    pub took: Duration,
    /// The jobs that shared it.
    pub jobs: usize,
    /// False if nothing of it is on disk.
    pub is_durable: bool,
}

/// Hears of each commit, in the thread that writes: it must not wait.
pub trait CommitObserver: Send + Sync + fmt::Debug {
    fn committed(&self, commit: Commit);
}
