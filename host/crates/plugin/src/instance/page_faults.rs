//! Counts the page faults of a thread, which bound the memory that a guest has written to.
//!
//! The first contents of a guest's memory are mapped, and a page of them takes memory only once the guest writes there,
//! which is a fault. wasmtime does not tell where a guest's memory is, so its pages cannot be looked at; but a guest is
//! polled by one thread at a time, and nearly all faults in between are its own.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Bytes that one fault brings at most.
static FAULT: LazyLock<u64> = LazyLock::new(|| {
    let huge = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let page = if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };
    if huge.is_ok_and(|huge| huge.contains("[always]")) { 2 << 20 } else { page }
});

/// The page faults in the polls of one guest, once it is started: a count takes a few microseconds. The atomics are
/// relaxed, because one thread polls the guest at a time.
#[derive(Debug, Default)]
pub(crate) struct FaultCounter {
    started: AtomicBool,
    /// In polls that have ended.
    counted: AtomicU64,
    /// Those of the thread at the beginning of the current poll.
    before: AtomicU64,
}

impl FaultCounter {
    /// Counts from the next poll on.
    pub(crate) fn start(&self) {
        self.started.store(true, Relaxed);
    }

    pub(crate) fn begin_poll(&self) {
        if self.started.load(Relaxed) {
            self.before.store(of_this_thread(), Relaxed);
        }
    }

    pub(crate) fn end_poll(&self) {
        if self.started.load(Relaxed) {
            self.counted.store(self.until_now(), Relaxed);
        }
    }

    /// The most bytes of memory to which the guest has been the first to write, within a poll.
    pub(crate) fn bytes(&self) -> usize {
        bytes(self.until_now())
    }

    fn until_now(&self) -> u64 {
        let now = of_this_thread();
        // A thread whose faults are not known has the most.
        let current = if now == u64::MAX { now } else { now.saturating_sub(self.before.load(Relaxed)) };
        self.counted.load(Relaxed).saturating_add(current)
    }
}

/// The faults of this thread until now. The most that there can be where the kernel does not say.
fn of_this_thread() -> u64 {
    std::fs::read_to_string("/proc/thread-self/stat").ok().and_then(|stat| faults(&stat)).unwrap_or(u64::MAX)
}

/// The most bytes that this many faults brought.
fn bytes(faults: u64) -> usize {
    usize::try_from(faults.saturating_mul(*FAULT)).unwrap_or(usize::MAX)
}

/// The faults in a line of `stat`: the fields `minflt` and `majflt` of proc_pid_stat(5), tenth and twelfth. The second
/// one, the thread's name in brackets, may have spaces.
fn faults(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(7);
    let minor: u64 = fields.next()?.parse().ok()?;
    let major: u64 = fields.nth(1)?.parse().ok()?;
    minor.checked_add(major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_this_thread_writes_to_shows_in_its_faults() {
        let before = of_this_thread();
        // Zeros of this size are fresh pages, which the loop is the first to write to.
        let mut memory = vec![0_u8; 32 << 20];
        memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        let after = of_this_thread();
        assert!(memory.contains(&1) && bytes(after - before) >= 32 << 20, "{before} {after}");
    }

    #[test]
    fn a_thread_may_have_any_name() {
        let stat = "7 (a) b (c) R 1 1 1 0 -1 4194304 100 5 3 9 0 0 0 0 20 0";
        assert_eq!(faults(stat), Some(103));
        assert_eq!(faults("7 (a"), None);
    }
}
