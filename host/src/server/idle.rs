//! How long a client may take from an answer to the headers of its next request.
//!
//! hyper has a clock for this. It makes a timer for each request, and reads the socket once more after each answer, which
//! together cost as much as the answer to an unpaid request. Here a connection looks at itself now and then, and
//! requests only leave activity.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, MissedTickBehavior};

use crate::respond::ReplyBody;
use coinslot_plugin::Fault;

/// How often a connection looks at itself, of the time that a client may take.
const LOOKS: u32 = 8;

/// Activity of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests whose answers are being made.
    working: AtomicUsize,
    /// Something was answered or written since the last look.
    moved: AtomicBool,
    /// It speaks HTTP/2, whose pings find out whether the client is there; being idle is no fault.
    multiplexed: AtomicBool,
}

impl Activity {
    pub(super) fn multiplexed(&self) {
        self.multiplexed.store(true, Relaxed);
    }

    /// An answer was ready at once.
    pub(super) fn answered(&self) {
        self.moved.store(true, Relaxed);
    }

    /// An answer is being made, until this is dropped.
    pub(super) fn work(self: &Arc<Self>) -> InFlight {
        self.working.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Ends when the client took too long, counted from the last thing that was written to it. At most an eighth
    /// late.
    pub(super) async fn overdue(&self, patience: Duration) {
        let mut looks = tokio::time::interval((patience / LOOKS).max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut since = Instant::now();
        loop {
            looks.tick().await;
            let moved = self.moved.swap(false, Relaxed);
            if moved || self.working.load(Relaxed) > 0 || self.multiplexed.load(Relaxed) {
                since = Instant::now();
            } else if since.elapsed() >= patience {
                return;
            }
        }
    }
}

/// A request whose answer is being made: until its body has been handed over, or nobody wants it any more.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.moved.store(true, Relaxed);
        self.0.working.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer, with its mark if it had to be made.
#[derive(Debug)]
pub(super) struct ActivityBody {
    body: ReplyBody,
    _work: Option<InFlight>,
}

impl ActivityBody {
    pub(super) fn new(body: ReplyBody, work: Option<InFlight>) -> Self {
        Self { body, _work: work }
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

/// A stream that activity what is written to it: one who reads slowly is not idle.
#[derive(Debug)]
pub(super) struct ActivityIo<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S> ActivityIo<S> {
    fn mark(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
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
        self.mark(written)
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
        self.mark(written)
    }
}
