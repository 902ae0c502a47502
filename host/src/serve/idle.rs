//! How long a client may take from an answer to the headers of its next request.
//!
//! hyper has a clock for this. It makes a timer for each request, and reads the socket once more after each answer, which
//! together cost as much as the answer to an unpaid request. Here a connection looks at itself now and then, and
//! requests only leave marks.

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

/// Marks of one connection.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Requests whose answers are being made.
    working: AtomicUsize,
    /// Something was answered or written since the last look.
    moved: AtomicBool,
    /// It speaks HTTP/2, whose pings find out whether the client is there; being idle is no fault.
    multiplexed: AtomicBool,
}

impl Marks {
    pub(super) fn multiplexed(&self) {
        self.multiplexed.store(true, Relaxed);
    }

    /// An answer was ready at once.
    pub(super) fn answered(&self) {
        self.moved.store(true, Relaxed);
    }

    /// An answer is being made, until this is dropped.
    pub(super) fn work(self: &Arc<Self>) -> Work {
        self.working.fetch_add(1, Relaxed);
        Work(Arc::clone(self))
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
pub(super) struct Work(Arc<Marks>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.moved.store(true, Relaxed);
        self.0.working.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer, with its mark if it had to be made.
#[derive(Debug)]
pub(super) struct Marked {
    body: ReplyBody,
    _work: Option<Work>,
}

impl Marked {
    pub(super) fn new(body: ReplyBody, work: Option<Work>) -> Self {
        Self { body, _work: work }
    }
}

impl Body for Marked {
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

/// A stream that marks what is written to it: one who reads slowly is not idle.
#[derive(Debug)]
pub(super) struct Marking<S> {
    pub(super) stream: S,
    pub(super) marks: Arc<Marks>,
}

impl<S> Marking<S> {
    fn mark(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.marks.answered();
        }
        written
    }
}

impl<S: Read + Unpin> Read for Marking<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl<S: Write + Unpin> Write for Marking<S> {
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
