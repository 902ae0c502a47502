//! An answer's body: polling it drives the guest that writes it.
//!
//! What the guest has written is handed out before the guest is asked for more, so a slow reader
//! slows the guest. The end of the body is reported only when the guest has ended well: a trap after
//! the last byte is still a fault.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use wasmtime_wasi_http::WasiBody;

use crate::Fault;
use crate::breaker::BreakerPermit;
use crate::capabilities::egress::is_withheld;
use crate::invoke::streaming::StreamingGuest;

/// What is handed out before others have their turn, in bytes. A connection of HTTP/1 has two of them in each of its
/// turns, if its client reads as fast: hyper asks once more when it has sent the first.
const TURN: usize = 32 << 10;
/// What a frame counts for at least: however little a guest writes at a time, it runs for it.
const FRAME: usize = 2 << 10;

pub(crate) struct GuestBody {
    /// None once it has ended.
    inner: Option<WasiBody>,
    /// Frames that were complete before the head was sent.
    ready: VecDeque<Frame<Bytes>>,
    /// The guest with its places, until it ends.
    guest: Option<StreamingGuest>,
    /// To be told how the guest ended.
    admission: Option<BreakerPermit>,
    /// Bytes that may still come.
    left: u64,
    /// Bytes that are still to come, if the guest has said how many there are.
    declared: Option<u64>,
    /// Bytes that were handed out since others had their turn.
    turn: usize,
    /// Tells a guest of WASI 0.3 that its body has been read.
    read: Arc<BodyRead>,
}

/// Whether an answer's body has been read to its end.
#[derive(Debug, Default)]
pub(crate) struct BodyRead {
    ended: AtomicBool,
    told: Notify,
}

impl BodyRead {
    pub(crate) fn tell(&self) {
        self.ended.store(true, Relaxed);
        self.told.notify_one();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Waits for it. There is one who waits.
    pub(crate) async fn over(&self) {
        if !self.is_over() {
            self.told.notified().await;
        }
    }
}

impl GuestBody {
    pub(crate) fn new(inner: WasiBody, limit: u64, declared: Option<u64>, read: Arc<BodyRead>) -> Self {
        let (inner, ready) = (Some(inner), VecDeque::new());
        Self { inner, ready, guest: None, admission: None, left: limit, declared, turn: 0, read }
    }

    /// Of a guest that is still writing.
    pub(crate) fn of(mut self, guest: StreamingGuest, admission: BreakerPermit) -> Self {
        (self.guest, self.admission) = (Some(guest), Some(admission));
        self
    }

    /// Takes the whole body of a guest that has ended. Its length is then known, and whatever is
    /// wrong with it is a fault before anything has been sent.
    pub(crate) fn buffered(mut self) -> Result<Self, Fault> {
        // Outside of tokio's budget: a task that has used it up would be told to wait for a frame
        // that is there.
        let drain = tokio::task::unconstrained(std::future::poll_fn(|cx| Poll::Ready(self.drain(cx))));
        let mut cx = Context::from_waker(Waker::noop());
        match std::pin::pin!(drain).poll(&mut cx) {
            Poll::Ready(frames) => self.ready = frames?,
            Poll::Pending => return Err(Fault::NoResponse("it ended before its body did".into())),
        }
        Ok(self)
    }

    fn drain(&mut self, cx: &mut Context<'_>) -> Result<VecDeque<Frame<Bytes>>, Fault> {
        let mut frames = VecDeque::new();
        loop {
            match self.poll_guest_frame(cx) {
                Poll::Ready(Some(frame)) => frames.push_back(frame?),
                Poll::Ready(None) => return Ok(frames),
                // The guest is gone, so nothing more would come.
                Poll::Pending => {
                    return Err(Fault::NoResponse("it ended before its body did".into()));
                }
            }
        }
    }

    fn poll_guest_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(guest) = &self.guest {
            guest.asked();
        }
        let frame = self.poll_written(cx);
        if let (Some(guest), Poll::Ready(Some(Ok(_)))) = (&self.guest, &frame) {
            guest.handed();
        }
        frame
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            if let Some(inner) = &mut self.inner {
                match Pin::new(inner).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(self.count(frame))),
                    Poll::Ready(Some(Err(error))) => {
                        // The guest may know better: a trap cuts its body off.
                        let fault = match self.guest.as_ref().map(|guest| guest.poll(cx)) {
                            Some(Poll::Ready(Err(fault))) => fault,
                            _ => Fault::NoResponse(format!("its body is cut off: {error}")),
                        };
                        return self.fail(fault);
                    }
                    Poll::Ready(None) => {
                        self.inner = None;
                        self.read.tell();
                    }
                    Poll::Pending => {}
                }
            }
            let Some(guest) = &self.guest else {
                if let Some(inner) = &mut self.inner {
                    // The guest is gone: what it has not written by now never comes. Outside of tokio's budget,
                    // which could hold back a frame that is there.
                    let last =
                        tokio::task::unconstrained(std::future::poll_fn(|cx| Pin::new(&mut *inner).poll_frame(cx)));
                    return match std::pin::pin!(last).poll(cx) {
                        Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.count(frame))),
                        Poll::Ready(None) => {
                            self.inner = None;
                            continue;
                        }
                        Poll::Ready(Some(Err(_))) | Poll::Pending => {
                            self.fail(Fault::NoResponse("it ended before its body did".into()))
                        }
                    };
                }
                if let Some(admission) = self.admission.take() {
                    admission.succeeded();
                }
                return Poll::Ready(None);
            };
            match guest.poll(cx) {
                Poll::Ready(Ok(())) => self.guest = None,
                Poll::Ready(Err(fault)) => return self.fail(fault),
                Poll::Pending if self.inner.is_none() => return Poll::Pending,
                Poll::Pending => {
                    // What it has just written is not waited for.
                    return match self.inner.as_mut().map(|inner| Pin::new(inner).poll_frame(cx)) {
                        Some(Poll::Ready(Some(Ok(frame)))) => Poll::Ready(Some(self.count(frame))),
                        Some(Poll::Ready(None)) => {
                            self.inner = None;
                            self.read.tell();
                            continue;
                        }
                        Some(Poll::Ready(Some(Err(error)))) => {
                            self.fail(Fault::NoResponse(format!("its body is cut off: {error}")))
                        }
                        _ => Poll::Pending,
                    };
                }
            }
        }
    }

    fn fail(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        Poll::Ready(Some(Err(self.failed(fault))))
    }

    fn failed(&mut self, fault: Fault) -> Fault {
        self.inner = None;
        self.guest = None;
        if let Some(admission) = self.admission.take() {
            admission.failed(&fault);
        }
        fault
    }

    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Fault> {
        if let Some(data) = frame.data_ref() {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => return Err(self.failed(Fault::ResponseTooLarge)),
            }
            self.declared = self.declared.map(|declared| declared.saturating_sub(data.len() as u64));
            return Ok(frame);
        }
        Ok(match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(
                trailers
                    .into_iter()
                    .scan(None, |last, (name, value)| {
                        // A name is given once for all its values.
                        *last = name.or_else(|| last.take());
                        Some((last.clone(), value))
                    })
                    .filter_map(|(name, value)| Some((name.filter(|name| !is_withheld(name))?, value)))
                    .collect(),
            ),
            Err(frame) => frame,
        })
    }
}

impl Drop for GuestBody {
    /// HTTP/1 does not ask for the end of a body whose length it knows.
    fn drop(&mut self) {
        if self.declared == Some(0) {
            self.read.tell();
            if let Some(admission) = self.admission.take() {
                admission.succeeded();
            }
        }
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.turn >= TURN {
            // A connection whose client reads as fast as its guest writes would never wait.
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = match self.ready.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.poll_guest_frame(cx),
        };
        match &frame {
            Poll::Ready(Some(Ok(frame))) => self.turn += frame.data_ref().map_or(0, Bytes::len).max(FRAME),
            Poll::Ready(_) => {}
            Poll::Pending => self.turn = 0,
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && self.inner.is_none() && self.guest.is_none()
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
