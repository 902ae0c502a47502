//! Polls a guest within its CPU time and its wall time.
//!
//! A guest is not a task: it is polled by the future that waits for its response. So it advances exactly when its
//! response is wanted, and is gone when that future is dropped. Wall time is checked outside of the guest's own future,
//! because a guest can hold up its own future: it computes, or it waits in a host call that blocks.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coinslot_base::offload::offload;
use tokio::time::{Instant, Sleep};

use crate::fault::Fault;
use crate::instance::exchange::RequestProgress;
use crate::instance::meter::{GuestMeter, PollTurn};

/// The future of a running guest.
pub(crate) type GuestFuture = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>;

/// The future of a guest, with its meter and its deadline.
pub(crate) struct TimedGuest {
    guest: GuestFuture,
    meter: Arc<GuestMeter>,
    turn: PollTurn,
    deadline: Instant,
    /// The fault of a guest that is past its deadline.
    late: Fault,
    request: Arc<RequestProgress>,
    /// Made when the guest first waits: most guests never do.
    timer: Option<Pin<Box<Sleep>>>,
}

impl TimedGuest {
    /// A guest that has until `deadline` for the head of its response.
    pub(crate) fn new(
        guest: GuestFuture,
        meter: Arc<GuestMeter>,
        deadline: Instant,
        request: Arc<RequestProgress>,
    ) -> Self {
        Self { guest, meter, turn: PollTurn::default(), deadline, late: Fault::Deadline, request, timer: None }
    }

    /// The head of the response is there: the guest has until `deadline` for the rest.
    pub(crate) fn answers_until(&mut self, deadline: Instant) {
        self.late = Fault::TotalTime;
        self.set_deadline(deadline);
    }

    fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(deadline);
        }
    }

    /// Moves the deadline by time that the guest could not use.
    pub(crate) fn extend(&mut self, by: Duration) {
        self.set_deadline(self.deadline + by);
    }

    pub(crate) fn meter(&self) -> &Arc<GuestMeter> {
        &self.meter
    }

    /// Lets the guest run until it waits or ends. After an error it must be dropped.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match poll_guest(self.guest.as_mut(), &self.meter, &mut self.turn, cx) {
            Poll::Ready(ended) => return Poll::Ready(ended.map_err(|fault| self.request.excuse(fault))),
            Poll::Pending => {}
        }
        // After the guest: a guest that ends in this very poll is not late.
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline)));
        timer
            .as_mut()
            .poll(cx)
            .map(|()| Err(if self.request.is_awaited() { Fault::SlowRequest } else { self.late.clone() }))
    }
}

/// Lets a guest run until it waits or ends, and meters its CPU time.
pub(crate) fn poll_guest<T>(
    guest: Pin<&mut (impl Future<Output = wasmtime::Result<T>> + ?Sized)>,
    meter: &GuestMeter,
    turn: &mut PollTurn,
    cx: &mut Context<'_>,
) -> Poll<Result<T, Fault>> {
    ready!(meter.poll_turn(turn, cx));
    let running = meter.begin_poll();
    let polled = if meter.is_large() { offload(|| guest.poll(cx)) } else { guest.poll(cx) };
    drop(running);
    let within_budget = meter.end_poll();
    turn.end();
    match polled {
        Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(meter.fault(&error))),
        Poll::Pending if within_budget => Poll::Pending,
        Poll::Pending => Poll::Ready(Err(Fault::Cpu)),
    }
}

impl Drop for TimedGuest {
    fn drop(&mut self) {
        if self.meter.is_large() {
            // Replacing the future drops the guest here, and not with the other fields.
            offload(|| self.guest = Box::pin(std::future::pending()));
        }
    }
}

/// Runs a call of a guest to its end, within this wall time.
pub(crate) async fn call_with_limits<T>(
    meter: &GuestMeter,
    wall: Duration,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Fault> {
    let mut limited = LimitedCall { call: Some(Box::pin(call)), meter };
    let mut turn = PollTurn::default();
    let metered = std::future::poll_fn(|cx| match &mut limited.call {
        Some(call) => poll_guest(call.as_mut(), meter, &mut turn, cx),
        None => Poll::Pending,
    });
    tokio::time::timeout(wall, metered).await.unwrap_or(Err(Fault::Deadline))
}

/// A call of a guest that owns its store, so that dropping it may free much memory.
struct LimitedCall<'m, F> {
    /// None once it has been dropped.
    call: Option<Pin<Box<F>>>,
    meter: &'m GuestMeter,
}

impl<F> Drop for LimitedCall<'_, F> {
    fn drop(&mut self) {
        let call = self.call.take();
        if self.meter.is_large() {
            offload(|| drop(call));
        }
    }
}
