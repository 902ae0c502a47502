//! Runs work that cannot be interrupted off the async worker threads, a bounded amount at once.
//!
//! Some work takes milliseconds without an await: a guest's instruction that fills a hundred megabytes, the system call
//! that gives them back at the guest's end, the hash of a large body. On a worker thread each of them would hold up
//! every connection of that thread. `block_in_place` makes tokio hand those connections to another thread, and the
//! kernel shares the processors between the threads.
//!
//! The number of threads that work so at once is bounded by half of the processors, because they would take all of
//! them otherwise. Work that is offloaded within offloaded work (a guest that is dropped while it is polled) runs
//! inline: if it waited for another permit while it holds one, threads could wait for each other for ever.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::LazyLock;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs work of milliseconds where no other connection waits for it. Outside of a multi-threaded runtime the work runs
/// inline. Blocks this thread while as many threads as half of the processors run such work.
pub fn offload<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) if !OFFLOADED.get() => tokio::task::block_in_place(|| {
            // Inside of `block_in_place`: the wait for a permit blocks this thread, too.
            let _permit = LIMIT.acquire();
            work()
        }),
        _ => work(),
    }
}

thread_local! {
    /// Set while this thread holds a permit.
    static OFFLOADED: Cell<bool> = const { Cell::new(false) };
}

static LIMIT: LazyLock<OffloadLimit> =
    LazyLock::new(|| OffloadLimit { free: Mutex::new(most()), freed: Condvar::new() });

/// Half of the processors, and at least one.
fn most() -> usize {
    (std::thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1)
}

/// A semaphore for threads.
struct OffloadLimit {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A permit of this thread, returned when it is dropped.
struct OffloadPermit<'l>(&'l OffloadLimit);

impl OffloadLimit {
    fn acquire(&self) -> OffloadPermit<'_> {
        let mut free = self.free.lock();
        self.freed.wait_while(&mut free, |free| *free == 0);
        *free -= 1;
        OFFLOADED.set(true);
        OffloadPermit(self)
    }
}

impl Drop for OffloadPermit<'_> {
    fn drop(&mut self) {
        OFFLOADED.set(false);
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn offloaded_work_is_bounded_and_nested_work_does_not_wait_for_a_permit() {
        let (running, peak) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let (running, peak) = (Arc::clone(&running), Arc::clone(&peak));
            all.spawn(async move {
                offload(|| {
                    let at_once = {
                        let mut running = running.lock();
                        *running += 1;
                        *running
                    };
                    let mut peak = peak.lock();
                    *peak = at_once.max(*peak);
                    drop(peak);
                    std::thread::sleep(Duration::from_millis(2));
                    offload(|| *running.lock() -= 1);
                });
            });
        }
        all.join_all().await;
        assert!(*peak.lock() <= most(), "{peak:?} of {}", most());
    }
}
