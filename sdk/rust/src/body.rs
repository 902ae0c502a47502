//! Holds bodies of requests and answers, whole or in pieces.
//!
//! The reader of a streamed body polls the writer, so the writer waits while the reader is slow.
//! Invariant: a body that ends with an error is never passed on as complete.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

/// Bodies that a function writes.
mod written;
pub use written::Sink;

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
        Self(Body::chunks(written::body(write)))
    }
}

impl From<Stream> for Body {
    fn from(stream: Stream) -> Self {
        stream.0
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
