//! Polling a guest within its CPU time and its wall time.
//!
//! A guest is not a task: it is polled by whoever waits for its answer, so it advances exactly when
//! someone wants it to, and is gone when it is dropped. Wall time is watched outside of the guest's
//! own future, which may be held up by the guest.
//!
//! A guest with much memory runs and ends aside: filling a hundred megabytes is one instruction, giving them back is
//! one system call, and neither can be interrupted. The runtime gives the other connections of the thread to another
//! thread meanwhile, and the kernel shares the processor between them. Few are aside at once, or they would take it all.

use std::cell::Cell;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, Sleep};

use super::Fault;
use super::watch::Watch;

/// A guest's future with its watch and its deadline.
pub(super) struct Guarded {
    guest: Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>,
    watch: Arc<Watch>,
    deadline: Instant,
    /// Whether it waits for the body of its request, which its client has not sent.
    arriving: Arc<AtomicBool>,
    /// Made when the guest first waits: most never do.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(super) fn new(
        guest: Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>,
        watch: Arc<Watch>,
        deadline: Instant,
        arriving: Arc<AtomicBool>,
    ) -> Self {
        Self { guest, watch, deadline, arriving, timer: None }
    }

    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(deadline);
        }
    }

    /// Gives back time that the guest could not use.
    pub(super) fn extend(&mut self, by: Duration) {
        self.set_deadline(self.deadline + by);
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Lets the guest run until it waits or ends. After an error it must be dropped.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match advance(self.guest.as_mut(), &self.watch, cx) {
            Poll::Ready(ended) => return Poll::Ready(ended),
            Poll::Pending => {}
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline)));
        let late = if self.arriving.load(Relaxed) { Fault::SlowRequest } else { Fault::Deadline };
        timer.as_mut().poll(cx).map(|()| Err(late))
    }
}

/// Lets a guest run until it waits or ends, and counts its CPU time.
pub(super) fn advance<T>(
    guest: Pin<&mut (impl Future<Output = wasmtime::Result<T>> + ?Sized)>,
    watch: &Watch,
    cx: &mut Context<'_>,
) -> Poll<Result<T, Fault>> {
    watch.enter();
    let polled = if watch.is_heavy() { aside(|| guest.poll(cx)) } else { guest.poll(cx) };
    let within = watch.leave();
    match polled {
        Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(watch.fault(&error))),
        Poll::Pending if within => Poll::Pending,
        Poll::Pending => Poll::Ready(Err(Fault::Cpu)),
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.watch.is_heavy() {
            aside(|| self.guest = Box::pin(std::future::pending()));
        }
    }
}

/// Does what may take long where only the kernel can interrupt it.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
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
static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    Gate { free: Mutex::new((processors / 2).max(1)), left: Condvar::new() }
});

/// Lets so many threads through at once.
struct Gate {
    free: Mutex<usize>,
    left: Condvar,
}

/// One that is through; it leaves when this is dropped.
struct Through<'g>(&'g Gate);

impl Gate {
    fn enter(&self) -> Through<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.left.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        ASIDE.set(true);
        Through(self)
    }
}

impl Drop for Through<'_> {
    fn drop(&mut self) {
        ASIDE.set(false);
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.left.notify_one();
    }
}

/// Runs a short call to its end.
pub(super) async fn limited<T>(
    watch: &Watch,
    wall: Duration,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Fault> {
    let mut call = Call { call: Some(Box::pin(call)), watch };
    let guarded = std::future::poll_fn(|cx| match &mut call.call {
        Some(call) => advance(call.as_mut(), watch, cx),
        None => Poll::Pending,
    });
    tokio::time::timeout(wall, guarded).await.unwrap_or(Err(Fault::Deadline))
}

/// A call with its store.
struct Call<'w, F> {
    /// None once it is gone.
    call: Option<Pin<Box<F>>>,
    watch: &'w Watch,
}

impl<F> Drop for Call<'_, F> {
    fn drop(&mut self) {
        let call = self.call.take();
        if self.watch.is_heavy() {
            aside(|| drop(call));
        }
    }
}

#[cfg(test)]
mod tests {
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
