//! Bodies of requests and answers, whole or in pieces.
//!
//! The reader of a streamed body polls the writer, so the writer waits while the reader is slow.
//! Invariant: a body that ends with an error is never passed on as complete.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

type Chunks = Pin<Box<dyn futures_core::Stream<Item = Result<Bytes, BodyError>>>>;

/// A body that can be read once. As an argument it is the request's body while it arrives. As an answer it is sent
/// while it is read.
///
/// A body is a [`futures_core::Stream`] of chunks, and [`Body::next`] reads one without that trait.
pub struct Body(BodyState);

enum BodyState {
    Whole(Bytes),
    Chunks(Chunks),
}

/// The error of a body that ended before it was complete: the other side closed, or the writer failed.
#[derive(Debug)]
pub struct BodyError(Box<dyn Error + Send + Sync>);

impl Body {
    /// A body without bytes.
    pub fn empty() -> Self {
        Self(BodyState::Whole(Bytes::new()))
    }

    pub(crate) fn chunks(chunks: impl futures_core::Stream<Item = Result<Bytes, BodyError>> + 'static) -> Self {
        Self(BodyState::Chunks(Box::pin(chunks)))
    }

    /// Reads the next chunk; none at the end. After an error the body has ended.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Reads the whole body into memory. The host bounds a request's body (10 MiB unless the operator configures
    /// another limit), but not the answer of another server.
    pub async fn collect(mut self) -> Result<Bytes, BodyError> {
        if let BodyState::Whole(bytes) = self.0 {
            return Ok(bytes);
        }
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.into())
    }

    /// The bytes of a body that is not streamed.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match &self.0 {
            BodyState::Whole(bytes) => Some(bytes),
            BodyState::Chunks(_) => None,
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.0 {
            BodyState::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            BodyState::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            BodyState::Chunks(chunks) => {
                let chunk = chunks.as_mut().poll_next(cx);
                if matches!(chunk, Poll::Ready(None | Some(Err(_)))) {
                    self.0 = BodyState::Whole(Bytes::new());
                }
                chunk
            }
        }
    }
}

impl futures_core::Stream for Body {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(BodyState::Whole(bytes.into()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            BodyState::Whole(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            BodyState::Chunks(_) => f.write_str("Body(streamed)"),
        }
    }
}

/// An answer whose body is made while it is sent.
///
/// The head is sent first, so a later failure can only cut the body short. In the `upfront` flow the caller gets each
/// piece when it is made. In the `authorization` flow the host holds the answer until its payment is settled, so the
/// caller gets it whole.
#[derive(Debug)]
pub struct Stream(pub(crate) Body);

impl Stream {
    /// Sends the items of a stream. An error of the stream is logged and cuts the body short.
    ///
    /// ```
    /// # use coinslot_sdk::{Body, Stream, endpoint, testing};
    /// #[endpoint(post, "/echo", price = "0.001", summary = "Sends the body back while it arrives")]
    /// async fn echo(body: Body) -> Stream {
    ///     Stream::new(body)
    /// }
    /// # fn main() { assert_eq!(testing::post("/echo").body("hey").send().text(), "hey"); }
    /// ```
    pub fn new<S, T, E>(stream: S) -> Self
    where
        S: futures_core::Stream<Item = Result<T, E>> + 'static,
        T: Into<Bytes>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Body::chunks(StreamedBody(Box::pin(stream))))
    }

    /// Sends the pieces that `write` puts into the sink. An error of `write` is logged and cuts the body short.
    ///
    /// ```
    /// # use coinslot_sdk::{Stream, endpoint};
    /// #[endpoint(get, "/count", free, summary = "Counts to three")]
    /// async fn count() -> Stream {
    ///     Stream::writer(async |mut sink| {
    ///         for number in 1..=3 {
    ///             sink.send(format!("{number}\n")).await;
    ///         }
    ///         Ok(())
    ///     })
    /// }
    /// # fn main() { assert_eq!(coinslot_sdk::testing::get("/count").send().text(), "1\n2\n3\n"); }
    /// ```
    pub fn writer<W, F>(write: W) -> Self
    where
        W: FnOnce(Sink) -> F,
        F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + 'static,
    {
        let slot = PieceSlot::default();
        let writing = Box::pin(write(Sink(Rc::clone(&slot))));
        Self(Body::chunks(WrittenBody { writing: Some(writing), slot }))
    }
}

impl From<Stream> for Body {
    fn from(stream: Stream) -> Self {
        stream.0
    }
}

/// One piece on its way from the writer to the reader, which run in one task.
type PieceSlot = Rc<RefCell<Passing>>;

#[derive(Debug, Default)]
struct Passing {
    piece: Option<Bytes>,
    /// Wakes the writer after the piece has been taken.
    writer: Option<Waker>,
}

/// The writer's end of a body, for [`Stream::writer`].
#[derive(Debug)]
pub struct Sink(PieceSlot);

impl Sink {
    /// Sends one piece, and waits until the reader has taken it. An empty piece is not sent.
    pub async fn send(&mut self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        if piece.is_empty() {
            return;
        }
        self.0.borrow_mut().piece = Some(piece);
        poll_fn(|cx| {
            let mut passing = self.0.borrow_mut();
            if passing.piece.is_none() {
                return Poll::Ready(());
            }
            passing.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The reader's end of a body that [`Stream::writer`] makes.
///
/// Writer and reader are one task: polling this stream polls the writer until it has put one piece into the slot, or
/// has ended. So at most one piece is buffered, and a slow reader slows the writer down.
struct WrittenBody<F> {
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
        let state = writing.as_mut().poll(cx);
        if let Poll::Ready(end) = state {
            self.writing = None;
            // A piece that is still in the slot belongs to a `send` whose future was dropped, which counts as not sent.
            self.slot.take();
            return Poll::Ready(end.err().map(|error| Err(BodyError(error))));
        }
        let mut passing = self.slot.borrow_mut();
        let Some(piece) = passing.piece.take() else { return Poll::Pending };
        // The reader polls the writer again for the next piece. That alone is not enough: the writer may wait beside
        // other futures in a set that polls only those that were woken.
        let writer = passing.writer.take().filter(|writer| !writer.will_wake(cx.waker()));
        drop(passing);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

/// A stream with its items as bytes and its errors as [`BodyError`].
struct StreamedBody<S>(Pin<Box<S>>);

impl<S, T, E> futures_core::Stream for StreamedBody<S>
where
    S: futures_core::Stream<Item = Result<T, E>>,
    T: Into<Bytes>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.0.as_mut().poll_next(cx);
        item.map(|item| item.map(|item| item.map(Into::into).map_err(|error| BodyError(error.into()))))
    }
}

impl BodyError {
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "only the component receives bodies"))]
    pub(crate) fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body ended before it was complete")
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake};

    use super::Stream;
    use crate::testing::block_on;

    /// A waker of its own, as a set of futures has for each of them.
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Polls a future only when it was woken.
    async fn polled_when_woken<F: Future>(future: F) -> F::Output {
        let (mut future, woken) = (pin!(future), Arc::new(Woken(AtomicBool::new(true))));
        poll_fn(|_| match woken.0.swap(false, Ordering::Relaxed) {
            true => future.as_mut().poll(&mut Context::from_waker(&Arc::clone(&woken).into())),
            false => Poll::Pending,
        })
        .await
    }

    #[test]
    fn a_writer_that_waits_in_a_set_of_futures_is_woken_when_its_piece_is_taken() {
        let mut body = Stream::writer(async |mut sink| {
            polled_when_woken(async {
                for piece in ["a", "b", "c"] {
                    sink.send(piece).await;
                }
            })
            .await;
            Ok(())
        });
        let read = async {
            let mut all = Vec::new();
            while let Some(piece) = body.0.next().await {
                all.extend_from_slice(&piece.expect("a piece"));
            }
            all
        };
        assert_eq!(block_on(read), b"abc");
    }
}
