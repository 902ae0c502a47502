//! Polling a guest within its CPU time and its wall time.
//!
//! A guest is not a task: it is polled by whoever waits for its answer, so it advances exactly when
//! someone wants it to, and is gone when it is dropped. Wall time is watched outside of the guest's
//! own future, which may be held up by the guest.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::Fault;
use crate::instance::meter::GuestMeter;
use crate::instance::offload::aside;

/// A guest's future with its meter and its deadline.
pub(crate) struct TimedGuest {
    guest: Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>,
    meter: Arc<GuestMeter>,
    deadline: Instant,
    /// Whether it waits for the body of its request, which its client has not sent.
    arriving: Arc<AtomicBool>,
    /// Made when the guest first waits: most never do.
    timer: Option<Pin<Box<Sleep>>>,
}

impl TimedGuest {
    pub(crate) fn new(
        guest: Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>,
        meter: Arc<GuestMeter>,
        deadline: Instant,
        arriving: Arc<AtomicBool>,
    ) -> Self {
        Self { guest, meter, deadline, arriving, timer: None }
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(deadline);
        }
    }

    /// Gives back time that the guest could not use.
    pub(crate) fn extend(&mut self, by: Duration) {
        self.set_deadline(self.deadline + by);
    }

    pub(crate) fn meter(&self) -> &Arc<GuestMeter> {
        &self.meter
    }

    /// Lets the guest run until it waits or ends. After an error it must be dropped.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match advance(self.guest.as_mut(), &self.meter, cx) {
            Poll::Ready(ended) => return Poll::Ready(ended),
            Poll::Pending => {}
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline)));
        let late = if self.arriving.load(Relaxed) { Fault::SlowRequest } else { Fault::Deadline };
        timer.as_mut().poll(cx).map(|()| Err(late))
    }
}

/// Lets a guest run until it waits or ends, and counts its CPU time.
pub(crate) fn advance<T>(
    guest: Pin<&mut (impl Future<Output = wasmtime::Result<T>> + ?Sized)>,
    meter: &GuestMeter,
    cx: &mut Context<'_>,
) -> Poll<Result<T, Fault>> {
    meter.enter();
    let polled = if meter.is_heavy() { aside(|| guest.poll(cx)) } else { guest.poll(cx) };
    let within = meter.leave();
    match polled {
        Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(meter.fault(&error))),
        Poll::Pending if within => Poll::Pending,
        Poll::Pending => Poll::Ready(Err(Fault::Cpu)),
    }
}

impl Drop for TimedGuest {
    fn drop(&mut self) {
        if self.meter.is_heavy() {
            aside(|| self.guest = Box::pin(std::future::pending()));
        }
    }
}

/// Runs a short call to its end.
pub(crate) async fn limited<T>(
    meter: &GuestMeter,
    wall: Duration,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Fault> {
    let mut call = LimitedCall { call: Some(Box::pin(call)), meter };
    let guarded = std::future::poll_fn(|cx| match &mut call.call {
        Some(call) => advance(call.as_mut(), meter, cx),
        None => Poll::Pending,
    });
    tokio::time::timeout(wall, guarded).await.unwrap_or(Err(Fault::Deadline))
}

/// A call with its store.
struct LimitedCall<'w, F> {
    /// None once it is gone.
    call: Option<Pin<Box<F>>>,
    meter: &'w GuestMeter,
}

impl<F> Drop for LimitedCall<'_, F> {
    fn drop(&mut self) {
        let call = self.call.take();
        if self.meter.is_heavy() {
            aside(|| drop(call));
        }
    }
}
