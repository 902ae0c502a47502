//! Bodies of requests and answers, whole or in pieces.
//!
//! A streamed body is polled by whoever sends it on, so its writer waits while the reader is slow.
//! Invariant: a body that ends with an error is never passed on as complete.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

type Chunks = Pin<Box<dyn futures_core::Stream<Item = Result<Bytes, BodyError>>>>;

/// A body that can be read once. As an argument it is the request's body as it arrives; as an answer
/// it is sent as it is read.
///
/// It is a [`futures_core::Stream`] of chunks, and [`Body::next`] reads one without that trait.
pub struct Body(Inner);

enum Inner {
    Whole(Bytes),
    Chunks(Chunks),
}

/// The body ended before it was complete: the other side closed, or the writer failed.
#[derive(Debug)]
pub struct BodyError(Box<dyn Error + Send + Sync>);

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self(Inner::Whole(Bytes::new()))
    }

    pub(crate) fn chunks(chunks: impl futures_core::Stream<Item = Result<Bytes, BodyError>> + 'static) -> Self {
        Self(Inner::Chunks(Box::pin(chunks)))
    }

    /// The next chunk, none at the end. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The whole body in memory. The host bounds a request's body (10 MiB unless the operator says
    /// otherwise), but not what another server sends.
    pub async fn collect(mut self) -> Result<Bytes, BodyError> {
        if let Inner::Whole(bytes) = self.0 {
            return Ok(bytes);
        }
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.into())
    }

    /// The bytes, if they are all here.
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "what sends a body is in the component"))]
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match &self.0 {
            Inner::Whole(bytes) => Some(bytes),
            Inner::Chunks(_) => None,
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.0 {
            Inner::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Inner::Chunks(chunks) => {
                let chunk = chunks.as_mut().poll_next(cx);
                if matches!(chunk, Poll::Ready(None | Some(Err(_)))) {
                    self.0 = Inner::Whole(Bytes::new());
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
        Self(Inner::Whole(bytes.into()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Whole(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Inner::Chunks(_) => f.write_str("Body(streamed)"),
        }
    }
}

/// An answer whose body is made while it is sent.
///
/// The head goes out first, so what fails later can only cut the body short. Whether the caller gets
/// the pieces as they are made depends on how the operator takes the money: an answer that is held
/// until its payment is settled arrives whole.
#[derive(Debug)]
pub struct Stream(pub(crate) Body);

impl Stream {
    /// Sends what a stream yields.
    pub fn new<S, T, E>(stream: S) -> Self
    where
        S: futures_core::Stream<Item = Result<T, E>> + 'static,
        T: Into<Bytes>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Body::chunks(Mapped(Box::pin(stream))))
    }

    /// Sends what `write` puts into the sink. An error of `write` is logged and cuts the body short.
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
        let slot = Slot::default();
        let writing = Box::pin(write(Sink(Rc::clone(&slot))));
        Self(Body::chunks(Written { writing: Some(writing), slot }))
    }
}

/// One chunk on its way from the writer to the reader, who run in one task.
type Slot = Rc<RefCell<Option<Bytes>>>;

/// Where [`Stream::writer`] puts the pieces of its body.
#[derive(Debug)]
pub struct Sink(Slot);

impl Sink {
    /// Sends one piece, and waits until it is taken. An empty piece is not sent.
    pub async fn send(&mut self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        if piece.is_empty() {
            return;
        }
        *self.0.borrow_mut() = Some(piece);
        // The reader polls the writer again only after it has emptied the slot.
        poll_fn(|_| match self.0.borrow().is_none() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

struct Written<F> {
    writing: Option<Pin<Box<F>>>,
    slot: Slot,
}

impl<F> futures_core::Stream for Written<F>
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
            // A sink may outlive its writer's last `send`, but not its future: the slot is empty or
            // holds a piece whose `send` was dropped, which counts as not sent.
            self.slot.borrow_mut().take();
            return Poll::Ready(end.err().map(|error| Err(BodyError(error))));
        }
        let piece = self.slot.borrow_mut().take();
        match piece {
            Some(piece) => Poll::Ready(Some(Ok(piece))),
            None => Poll::Pending,
        }
    }
}

struct Mapped<S>(Pin<Box<S>>);

impl<S, T, E> futures_core::Stream for Mapped<S>
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
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "bodies fail to arrive in a component"))]
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
