//! The body of a response: polling it drives the guest that writes it.
//!
//! Frames that the guest has written are handed out before the guest is polled, so a slow reader slows the guest. The
//! end of the body is reported only when the guest has ended without a fault: a trap after the last byte is still a
//! fault.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::fault::Fault;
use crate::headers::{is_withheld, remove};
use crate::instance::exchange::BodyRead;
use crate::instance::meter::GuestMeter;
use crate::invoke::circuit_report::CircuitReport;
use crate::invoke::streaming::StreamingGuest;

/// Bytes that are handed out before other tasks of the thread have their turn. A connection of HTTP/1 hands out twice
/// as many in each of its turns, if its client reads as fast: hyper polls once more when it has sent the first ones.
const TURN: usize = 32 << 10;
/// Bytes that a frame counts for at least, because the guest runs for each frame, however small.
const FRAME: usize = 2 << 10;

pub(super) struct GuestBody {
    /// None once it has ended.
    inner: Option<WasiBody>,
    /// Frames that were complete before they were asked for.
    ready: VecDeque<Frame<Bytes>>,
    /// The fault of a guest that failed after the last byte of its declared length was handed out.
    late_fault: Option<Fault>,
    /// The guest, until it ends.
    guest: Option<StreamingGuest>,
    /// The report to the plugin's circuits, until it is made.
    report: Option<CircuitReport>,
    /// Bytes that may still come.
    left: u64,
    /// Bytes that are still to come, if the guest has declared a length.
    declared: Option<u64>,
    /// Bytes that were handed out since other tasks had their turn.
    turn: usize,
    /// Tells a guest of WASI 0.3 that its body has been read.
    read: Arc<BodyRead>,
    /// The observations of the guest, by which a body that is cut off is explained.
    meter: Arc<GuestMeter>,
}

impl GuestBody {
    /// A body of at most `limit` bytes. `declared` is the length that the head declares.
    pub(super) fn new(
        inner: WasiBody,
        limit: u64,
        declared: Option<u64>,
        read: Arc<BodyRead>,
        meter: Arc<GuestMeter>,
    ) -> Self {
        let (inner, ready) = (Some(inner), VecDeque::new());
        Self { inner, ready, late_fault: None, guest: None, report: None, left: limit, declared, turn: 0, read, meter }
    }

    /// Adds the guest that is still writing.
    pub(super) fn written_by(mut self, guest: StreamingGuest, report: CircuitReport) -> Self {
        (self.guest, self.report) = (Some(guest), Some(report));
        self
    }

    /// Takes all frames of a guest that has ended. The length of the body is then known, and anything that is wrong
    /// with it is a fault before the head has been sent.
    pub(super) fn buffered(mut self) -> Result<Self, Fault> {
        // Outside of tokio's budget: in a task that has used it up, a frame that is there would be reported as pending.
        let drain = tokio::task::unconstrained(std::future::poll_fn(|cx| Poll::Ready(self.drain(cx))));
        let mut cx = Context::from_waker(Waker::noop());
        match std::pin::pin!(drain).poll(&mut cx) {
            Poll::Ready(frames) => self.ready = frames?,
            Poll::Pending => return Err(unfinished()),
        }
        Ok(self)
    }

    fn drain(&mut self, cx: &mut Context<'_>) -> Result<VecDeque<Frame<Bytes>>, Fault> {
        let mut frames = VecDeque::new();
        loop {
            match self.poll_guest_frame(cx) {
                Poll::Ready(Some(frame)) => frames.push_back(frame?),
                Poll::Ready(None) => return Ok(frames),
                // The guest is gone, so no further frame would come.
                Poll::Pending => return Err(unfinished()),
            }
        }
    }

    fn poll_guest_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(guest) = &self.guest {
            guest.frame_wanted();
        }
        let frame = self.poll_written(cx);
        if let (Some(guest), Poll::Ready(Some(Ok(_)))) = (&self.guest, &frame) {
            guest.frame_handed_out();
        }
        frame
    }

    /// Polls for the next frame, and drives the guest only if none has been written.
    ///
    /// The loop goes on after each end: when the body has ended, because a guest of WASI 0.3 waits for that before it
    /// ends itself; and when the guest has ended, because its last frames may be there then.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            match self.poll_inner(cx) {
                Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(self.hand_out(frame, cx))),
                Poll::Ready(Some(Err(error))) => {
                    // A trap cuts the body off, and the guest's own fault explains more than the cut.
                    let fault = match self.guest.as_ref().map(|guest| guest.poll(cx)) {
                        Some(Poll::Ready(Err(fault))) => fault,
                        _ => self.cut_off(&error),
                    };
                    return Poll::Ready(Some(Err(self.fail(fault))));
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            let Some(guest) = &self.guest else { return self.poll_remaining(cx) };
            match guest.poll(cx) {
                Poll::Ready(Ok(())) => self.guest = None,
                Poll::Ready(Err(fault)) => return Poll::Ready(Some(Err(self.fail(fault)))),
                Poll::Pending if self.inner.is_none() => return Poll::Pending,
                // The guest may just have written a frame.
                Poll::Pending => match self.poll_inner(cx) {
                    Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(self.hand_out(frame, cx))),
                    Poll::Ready(Some(Err(error))) => {
                        let fault = self.cut_off(&error);
                        return Poll::Ready(Some(Err(self.fail(fault))));
                    }
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Counts a frame, and lets a guest end that has written all that it declared.
    ///
    /// HTTP/1 does not poll for the end of a body with a declared length. A guest that is dropped before it has ended
    /// takes its instance with it, which the next request would have got with `reuse`.
    fn hand_out(&mut self, frame: Frame<Bytes>, cx: &mut Context<'_>) -> Result<Frame<Bytes>, Fault> {
        let frame = self.count(frame)?;
        if self.declared == Some(0) && frame.is_data() {
            self.run_to_end(cx);
        }
        Ok(frame)
    }

    /// Runs the guest as far as it comes without waiting. What it still says is kept for a client that polls on.
    fn run_to_end(&mut self, cx: &mut Context<'_>) {
        while let Some(guest) = &self.guest {
            match guest.poll(cx) {
                Poll::Ready(Ok(())) => self.guest = None,
                Poll::Ready(Err(fault)) => return self.late_fault = Some(self.fail(fault)),
                Poll::Pending => {}
            }
            let was_open = self.inner.is_some();
            match self.poll_inner(cx).map(|frame| frame.map(|frame| frame.map(|frame| self.count(frame)))) {
                // Once it knows that its body has been read, a guest of WASI 0.3 can end.
                Poll::Ready(None) if was_open => {}
                Poll::Ready(Some(Ok(Ok(frame)))) => return self.ready.push_back(frame),
                Poll::Ready(Some(Ok(Err(fault)))) => return self.late_fault = Some(fault),
                Poll::Ready(Some(Err(error))) => {
                    let fault = self.cut_off(&error);
                    return self.late_fault = Some(self.fail(fault));
                }
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    /// Polls the body that the guest writes. None once it has ended.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx);
        // A guest of WASI 0.3 waits for this report before it ends.
        if let Poll::Ready(None) = polled {
            self.inner = None;
            self.read.finish();
        }
        polled
    }

    /// Takes the frames of a guest that has ended. A frame that is not there will never be, so the poll is outside of
    /// tokio's budget, which could hold back a frame that is there.
    fn poll_remaining(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = tokio::task::unconstrained(std::future::poll_fn(|cx| self.poll_inner(cx)));
        match std::pin::pin!(frame).poll(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.count(frame))),
            Poll::Ready(None) => {
                self.succeed();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => Poll::Ready(Some(Err(self.fail(unfinished())))),
        }
    }

    fn succeed(&mut self) {
        if let Some(report) = self.report.take() {
            report.succeeded();
        }
    }

    /// Drops the guest and its body, and reports the fault to the plugin's circuits.
    fn fail(&mut self, fault: Fault) -> Fault {
        self.inner = None;
        self.guest = None;
        let Some(report) = self.report.take() else { return fault };
        report.failed(fault)
    }

    /// The fault of a guest that gave its body up. Memory that the host refused explains more than the guest's own text.
    fn cut_off(&self, error: &Error) -> Fault {
        let fault = || Fault::NoResponse(format!("its body is cut off: {error}"));
        self.meter.refused_memory().unwrap_or_else(fault)
    }

    /// Counts the bytes of a frame against the limit, and removes withheld fields from trailers.
    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Fault> {
        if let Some(data) = frame.data_ref() {
            let size = data.len() as u64;
            match self.left.checked_sub(size) {
                Some(left) => self.left = left,
                None => return Err(self.fail(Fault::ResponseTooLarge)),
            }
            self.declared = self.declared.map(|declared| declared.saturating_sub(size));
            return Ok(frame);
        }
        Ok(match frame.into_trailers() {
            Ok(mut trailers) => {
                remove(&mut trailers, is_withheld);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        })
    }
}

fn unfinished() -> Fault {
    Fault::NoResponse("it ended before its body did".into())
}

impl Drop for GuestBody {
    /// Counts a body as whole whose declared length has been read: HTTP/1 does not poll for the end of such a body.
    fn drop(&mut self) {
        if self.declared == Some(0) {
            self.read.finish();
            self.succeed();
        }
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.turn >= TURN {
            // A connection whose client reads as fast as its guest writes would never wait, and never let other tasks
            // of this thread run.
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = match self.ready.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => match self.late_fault.take() {
                Some(fault) => Poll::Ready(Some(Err(fault))),
                None => self.poll_guest_frame(cx),
            },
        };
        match &frame {
            Poll::Ready(Some(Ok(frame))) => self.turn += frame.data_ref().map_or(0, Bytes::len).max(FRAME),
            Poll::Ready(_) => {}
            Poll::Pending => self.turn = 0,
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && self.late_fault.is_none() && self.inner.is_none() && self.guest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.inner.is_none() && self.guest.is_none() {
            let bytes = self.ready.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64);
            SizeHint::with_exact(bytes.sum())
        } else {
            SizeHint::default()
        }
    }
}
