//! Closes idle connections: limits the time from an answer to the headers of the next request.
//!
//! hyper has a clock for this. It makes a timer for each request, and reads the socket once more after each answer,
//! which together cost as much as the answer to an unpaid request. Here each connection has one ticker that checks a
//! flag, and a request only sets the flag.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use coinslot_plugin::Fault;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, MissedTickBehavior};

use crate::respond::ReplyBody;

/// The number of checks within the time that a client may take.
const CHECKS: u32 = 8;

/// The activity of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// The number of requests whose answers are being made.
    in_flight: AtomicUsize,
    /// Something was answered or written since the last check.
    active: AtomicBool,
    /// The connection speaks HTTP/2, whose pings find out whether the client is there: it may be idle.
    multiplexed: AtomicBool,
}

impl Activity {
    /// Marks the connection as HTTP/2.
    pub(super) fn multiplexed(&self) {
        self.multiplexed.store(true, Relaxed);
    }

    /// Notes that something was answered or written.
    pub(super) fn answered(&self) {
        self.active.store(true, Relaxed);
    }

    /// Notes that an answer is being made, until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Returns when the client took longer than `timeout`, counted from the last byte that was written to it. At most
    /// an eighth late.
    pub(super) async fn overdue(&self, timeout: Duration) {
        let mut ticks = tokio::time::interval((timeout / CHECKS).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut since = Instant::now();
        loop {
            ticks.tick().await;
            let active = self.active.swap(false, Relaxed);
            if active || self.in_flight.load(Relaxed) > 0 || self.multiplexed.load(Relaxed) {
                since = Instant::now();
            } else if since.elapsed() >= timeout {
                return;
            }
        }
    }
}

/// A request whose answer is being made, until its body was handed to the connection or is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        // In this order: a check in between must not see a connection that is idle since the last check.
        self.0.active.store(true, Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer, with its guard if the answer had to be made.
#[derive(Debug)]
pub(super) struct ActivityBody {
    body: ReplyBody,
    _in_flight: Option<InFlight>,
}

impl ActivityBody {
    pub(super) fn new(body: ReplyBody, in_flight: Option<InFlight>) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl Body for ActivityBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that notes what is written to it: a client that reads slowly is not idle.
#[derive(Debug)]
pub(super) struct ActivityIo<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S> ActivityIo<S> {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.activity.answered();
        }
        written
    }
}

impl<S: Read + Unpin> Read for ActivityIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl<S: Write + Unpin> Write for ActivityIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buf);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bufs);
        self.note(written)
    }
}
