//! Waits for the head of a response while it drives the guest.

use std::pin::pin;
use std::task::{Context, Poll};

use coinslot_base::text::bounded;
use http::Response;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

use crate::fault::Fault;
use crate::instance::exchange::GuestResponse;
use crate::instance::timed::TimedGuest;

/// A guest that is runnable when its head is there gets this many more polls to end, so that a short response is whole
/// at once however busy the machine is.
const EXTRA_POLLS: u32 = 4;

/// A guest whose response has not begun.
///
/// Each poll does three things, in this order.
/// 1. It polls the guest, until that has ended. A fault of the guest goes before everything else: a response of a guest
///    that failed is never used.
/// 2. It looks for the head, once. The guest sends it through a channel. An ended guest that has not sent one never
///    will, even if the channel is open: an instance that is kept for the next request keeps the sender, too. A closed
///    channel means the same, unless the guest is driven by a task elsewhere: that drops the sender when its instance
///    fails, a moment before its future reports the fault that explains it.
/// 3. It gives a runnable guest a few more polls. A guest that was only interrupted by the ticker would otherwise be
///    streamed, although its response is complete but for the last instructions. A buffered response has a known
///    length, and a trap after its last byte is a fault before its head has been sent.
pub(super) struct AwaitedHead {
    guest: TimedGuest,
    ended: bool,
    response: HeadState,
    driven_elsewhere: bool,
    extra_polls: u32,
}

enum HeadState {
    Awaited(oneshot::Receiver<GuestResponse>),
    /// The sender is gone; the fault of the guest follows.
    Lost,
    Received(Result<GuestResponse, Fault>),
}

impl AwaitedHead {
    pub(super) fn new(guest: TimedGuest, response: oneshot::Receiver<GuestResponse>, driven_elsewhere: bool) -> Self {
        Self { guest, ended: false, response: HeadState::Awaited(response), driven_elsewhere, extra_polls: 0 }
    }

    /// Waits for the head. Returns it with the guest, and whether that has ended.
    pub(super) async fn head(mut self) -> Result<(Response<WasiBody>, TimedGuest, bool), Fault> {
        let response = std::future::poll_fn(|cx| self.poll(cx)).await?;
        let response =
            response.map_err(|code| Fault::NoResponse(format!("it answered with the error {}", bounded(code, 256))))?;
        Ok((response, self.guest, self.ended))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<GuestResponse, Fault>> {
        if !self.ended {
            match self.guest.poll(cx) {
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Ready(Ok(())) => self.ended = true,
                Poll::Pending => {}
            }
        }
        self.poll_head(cx);
        if !matches!(self.response, HeadState::Received(_)) {
            return Poll::Pending;
        }
        // The guest's own poll has registered the waker: it wakes this task when the guest may go on.
        if !self.ended && self.guest.meter().is_runnable() && self.extra_polls < EXTRA_POLLS {
            self.extra_polls += 1;
            return Poll::Pending;
        }
        match std::mem::replace(&mut self.response, HeadState::Lost) {
            HeadState::Received(head) => Poll::Ready(head),
            HeadState::Awaited(_) | HeadState::Lost => Poll::Pending,
        }
    }

    /// Looks for the head if it is not there.
    fn poll_head(&mut self, cx: &mut Context<'_>) {
        let none = || Fault::NoResponse("it returned without setting a response".into());
        let next = match &mut self.response {
            HeadState::Received(_) => return,
            HeadState::Lost if self.ended => HeadState::Received(Err(none())),
            HeadState::Lost => return,
            // Outside of tokio's budget: in a task that has used it up, a head that is there would be reported as
            // pending.
            HeadState::Awaited(response) => match pin!(tokio::task::unconstrained(response)).poll(cx) {
                Poll::Ready(Ok(response)) => HeadState::Received(Ok(response)),
                Poll::Ready(Err(_)) if self.driven_elsewhere && !self.ended => HeadState::Lost,
                Poll::Ready(Err(_)) => HeadState::Received(Err(none())),
                Poll::Pending if self.ended => HeadState::Received(Err(none())),
                Poll::Pending => return,
            },
        };
        self.response = next;
    }
}
