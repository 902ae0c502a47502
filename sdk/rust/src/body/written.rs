//! Bodies that a function writes: the writer's end is a [`Sink`], and the reader's a stream.

use std::cell::RefCell;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::BodyError;

/// The pieces that `write` puts into its sink.
pub(super) fn body<F>(write: impl FnOnce(Sink) -> F) -> WrittenBody<F> {
    let slot = PieceSlot::default();
    let writing = Box::pin(write(Sink(Rc::clone(&slot))));
    WrittenBody { writing: Some(writing), slot }
}

/// One piece on its way from the writer to the reader.
type PieceSlot = Rc<RefCell<Passing>>;

#[derive(Debug, Default)]
struct Passing {
    piece: Option<Bytes>,
    /// Wakes the writer after the piece has been taken.
    writer: Option<Waker>,
    /// Wakes the reader when a piece is there: the sink may be in another task, which the reader does not poll.
    reader: Option<Waker>,
    /// The reader is gone.
    is_closed: bool,
}

/// The writer's end of a body, for [`Stream::writer`](crate::Stream::writer).
#[derive(Debug)]
pub struct Sink(PieceSlot);

impl Sink {
    /// Sends one piece, and waits until the reader has taken it. An empty piece is not sent, and neither is one after
    /// the answer has ended.
    pub async fn send(&mut self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        if piece.is_empty() {
            return;
        }
        let reader = {
            let mut passing = self.0.borrow_mut();
            passing.piece = Some(piece);
            passing.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        poll_fn(|cx| {
            let mut passing = self.0.borrow_mut();
            if passing.piece.is_none() || passing.is_closed {
                return Poll::Ready(());
            }
            passing.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The reader's end of a body that [`Stream::writer`](crate::Stream::writer) makes.
///
/// Polling this stream polls the writer until it has put one piece into the slot, or has ended. So at most one piece is
/// buffered, and a slow reader slows the writer down. A writer may pass its sink on to another task, and only wait for
/// that: the task that has the sink wakes the reader.
pub(super) struct WrittenBody<F> {
    /// None after the writer has ended.
    writing: Option<Pin<Box<F>>>,
    slot: PieceSlot,
}

impl<F> futures_core::Stream for WrittenBody<F>
where
    F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(end) = writing.as_mut().poll(cx) {
            self.writing = None;
            // A piece that is still in the slot belongs to a `send` whose future was dropped, which counts as not sent.
            close(&self.slot);
            return Poll::Ready(end.err().map(|error| Err(BodyError(error))));
        }
        let mut passing = self.slot.borrow_mut();
        let Some(piece) = passing.piece.take() else {
            passing.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        // The reader polls the writer again for the next piece. That alone is not enough: the writer may wait beside
        // other futures in a set that polls only those that were woken, or be in another task.
        let writer = passing.writer.take();
        drop(passing);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

/// Notes that the reader is gone, and wakes the writer, which waits until a piece is taken.
fn close(slot: &PieceSlot) {
    let writer = {
        let mut passing = slot.borrow_mut();
        *passing = Passing { is_closed: true, writer: passing.writer.take(), ..Passing::default() };
        passing.writer.take()
    };
    if let Some(writer) = writer {
        writer.wake();
    }
}

impl<F> Drop for WrittenBody<F> {
    fn drop(&mut self) {
        close(&self.slot);
    }
}

#[cfg(test)]
mod tests;
