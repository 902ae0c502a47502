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

/// The whole time of a call, as a multiple of the time that its guest may wait.
const BUSY_FACTOR: u32 = 20;

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

/// Runs a call of a guest to its end. The guest may wait for this long in all.
///
/// Only time in which the guest waits by its own choice counts: on a machine with more work than processors a guest
/// that computes for a millisecond may get it late. Its CPU time is bounded by its meter, and [`BUSY_FACTOR`] bounds
/// what is left.
///
/// # Errors
///
/// [`Fault::Deadline`] for a guest that waits for longer, and [`Fault::Busy`] if the machine had no time for it.
pub(crate) async fn call_with_limits<T>(
    meter: &GuestMeter,
    patience: Duration,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Fault> {
    let mut limited = LimitedCall { call: Some(Box::pin(call)), meter };
    let mut turn = PollTurn::default();
    let mut waits = OwnWaits::new(patience);
    let metered = std::future::poll_fn(|cx| {
        let Some(call) = &mut limited.call else { return Poll::Pending };
        waits.end();
        match poll_guest(call.as_mut(), meter, &mut turn, cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending if meter.is_runnable() => Poll::Pending,
            Poll::Pending => waits.begin(cx).map(|()| Err(Fault::Deadline)),
        }
    });
    tokio::time::timeout(patience.saturating_mul(BUSY_FACTOR), metered).await.unwrap_or(Err(Fault::Busy))
}

/// The time that a guest may still wait by its own choice.
struct OwnWaits {
    left: Duration,
    /// The beginning of the current wait, and the timer of its end.
    current: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl OwnWaits {
    fn new(left: Duration) -> Self {
        Self { left, current: None }
    }

    /// Begins a wait. Ready if no time is left for it.
    fn begin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.left.is_zero() {
            return Poll::Ready(());
        }
        let now = Instant::now();
        let (_, timer) = self.current.insert((now, Box::pin(tokio::time::sleep_until(now + self.left))));
        timer.as_mut().poll(cx)
    }

    fn end(&mut self) {
        if let Some((since, _)) = self.current.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }
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

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;
    use crate::capabilities::log::{GuestLog, LogWriter, PluginLog};
    use crate::instance::processors::Processors;

    const LITTLE: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(100);

    fn meter() -> Arc<GuestMeter> {
        let log = GuestLog::new(PluginLog::new("p".into(), 10, LogWriter::to_channel().0), 10);
        GuestMeter::new(Duration::from_secs(1), Processors::without_clock(), log)
    }

    async fn sleep_for(patience: Duration, time: Duration) -> Result<(), Fault> {
        call_with_limits(&meter(), patience, async {
            tokio::time::sleep(time).await;
            Ok(())
        })
        .await
    }

    /// A call of a guest that is pending for this long, because it has no processor.
    async fn starve_for(patience: Duration, time: Duration) -> Result<(), Fault> {
        let meter = meter();
        let until = Instant::now() + time;
        let mut timer = Box::pin(tokio::time::sleep_until(until));
        let call = std::future::poll_fn(|cx| {
            meter.set_yielding(Instant::now() < until);
            timer.as_mut().poll(cx).map(Ok)
        });
        call_with_limits(&meter, patience, call).await
    }

    #[tokio::test]
    async fn a_call_that_waits_for_a_processor_is_not_late_and_one_that_sleeps_is() {
        assert!(sleep_for(LONG, LITTLE).await.is_ok());
        assert_eq!(sleep_for(LITTLE, LONG).await, Err(Fault::Deadline));
        assert_eq!(starve_for(5 * LITTLE, 15 * LITTLE).await, Ok(()));
        assert_eq!(starve_for(LITTLE, LONG).await, Err(Fault::Busy));
    }

    #[tokio::test]
    async fn waits_that_wakes_interrupt_are_added_up() {
        let mut polls = 0;
        let call = std::future::poll_fn(|cx| {
            polls += 1;
            let waker = cx.waker().clone();
            tokio::spawn(async move {
                tokio::time::sleep(LITTLE).await;
                waker.wake();
            });
            Poll::<wasmtime::Result<()>>::Pending
        });
        assert_eq!(call_with_limits(&meter(), 5 * LITTLE, call).await, Err(Fault::Deadline));
        assert!((2..=7).contains(&polls), "{polls}");
    }
}
