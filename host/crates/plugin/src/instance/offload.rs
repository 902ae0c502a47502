//! What may take long where only the kernel can interrupt it.
//!
//! A guest with much memory runs and ends here: filling a hundred megabytes is one instruction, giving them back is one
//! system call, and neither can be interrupted. The runtime gives the other connections of the thread to another thread
//! meanwhile, and the kernel shares the processor between them. Few are aside at once, or they would take it all.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does this where the other connections do not wait for it.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        // What ends within such work ends with it.
        Ok(RuntimeFlavor::MultiThread) if !ASIDE.get() => tokio::task::block_in_place(|| {
            let _through = GATE.enter();
            work()
        }),
        _ => work(),
    }
}

thread_local! {
    /// Whether this thread is through the gate.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// Half of the processors are for what is not aside.
static GATE: LazyLock<OffloadLimit> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    OffloadLimit { free: Mutex::new((processors / 2).max(1)), left: Condvar::new() }
});

/// Lets so many threads through at once.
struct OffloadLimit {
    free: Mutex<usize>,
    left: Condvar,
}

/// One that is through; it leaves when this is dropped.
struct OffloadPermit<'g>(&'g OffloadLimit);

impl OffloadLimit {
    fn enter(&self) -> OffloadPermit<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.left.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        ASIDE.set(true);
        OffloadPermit(self)
    }
}

impl Drop for OffloadPermit<'_> {
    fn drop(&mut self) {
        ASIDE.set(false);
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn few_are_aside_at_once_and_what_ends_there_does_not_wait_for_itself() {
        let (now, most) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            all.spawn(async move {
                aside(|| {
                    *now.lock().expect("unpoisoned") += 1;
                    let at_once = *now.lock().expect("unpoisoned");
                    let mut most = most.lock().expect("unpoisoned");
                    *most = at_once.max(*most);
                    drop(most);
                    std::thread::sleep(Duration::from_millis(2));
                    aside(|| *now.lock().expect("unpoisoned") -= 1);
                });
            });
        }
        all.join_all().await;
        let few = (std::thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1);
        assert!(*most.lock().expect("unpoisoned") <= few, "{most:?} of {few}");
    }
}
