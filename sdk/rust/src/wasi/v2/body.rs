//! Converts between this crate's [`Body`] and the bodies of `wasi:http`.
//!
//! Invariant: an outgoing body that fails is dropped without `finish`, so that the host sees it cut short and does not
//! take it for complete.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use wasip2::http::types::{FutureTrailers, IncomingBody as WasiIncomingBody, OutgoingBody};
use wasip2::io::streams::{InputStream, StreamError};
use wstd::io::AsyncOutputStream;
use wstd::runtime::AsyncPollable;

use crate::body::{Body, BodyError};

/// Largest chunk that is read at once, in bytes.
const CHUNK: u64 = 64 * 1024;

/// The body of another server's answer. Trailers are dropped.
pub(crate) struct ReceivedBody {
    /// Ready when the stream can be read. It is made by the first wait.
    ready: Option<Pin<Box<wstd::runtime::WaitFor>>>,
    // The fields below are dropped in their order: the host takes each only after those that are made of it.
    readable: Option<AsyncPollable>,
    stream: Option<InputStream>,
    body: Option<WasiIncomingBody>,
    end: Option<(AsyncPollable, FutureTrailers)>,
}

impl ReceivedBody {
    pub(crate) fn new(body: WasiIncomingBody) -> Result<Self, BodyError> {
        let stream = body.stream().map_err(|()| BodyError::new("the body is read twice"))?;
        Ok(Self { ready: None, readable: None, stream: Some(stream), body: Some(body), end: None })
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stream = self.stream.as_ref().expect("there is a wait only while the stream is open");
        let readable = self.readable.get_or_insert_with(|| AsyncPollable::new(stream.subscribe()));
        let ready = self.ready.get_or_insert_with(|| Box::pin(readable.wait_for()));
        let state = ready.as_mut().poll(cx);
        if state.is_ready() {
            self.ready = None;
        }
        state
    }

    /// Learns from the trailers whether the body is complete.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        (self.ready, self.readable, self.stream) = (None, None, None);
        if let Some(body) = self.body.take() {
            let trailers = WasiIncomingBody::finish(body);
            self.end = Some((AsyncPollable::new(trailers.subscribe()), trailers));
        }
        let Some((arrived, trailers)) = &self.end else { return Poll::Ready(None) };
        let ready = self.ready.get_or_insert_with(|| Box::pin(arrived.wait_for()));
        if ready.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let end = match trailers.get() {
            Some(Ok(Err(code))) => Some(Err(BodyError::new(code))),
            Some(Ok(Ok(_)) | Err(())) | None => None,
        };
        (self.ready, self.end) = (None, None);
        Poll::Ready(end)
    }
}

impl futures_core::Stream for ReceivedBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(stream) = &self.stream else { return self.poll_end(cx) };
            match stream.read(CHUNK) {
                Ok(bytes) if bytes.is_empty() => {
                    if self.wait(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Ok(bytes) => return Poll::Ready(Some(Ok(bytes.into()))),
                Err(StreamError::Closed) => return self.poll_end(cx),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Poll::Ready(Some(Err(BodyError::new(error.to_debug_string()))));
                }
            }
        }
    }
}

/// Writes a body to the host. On an error the outgoing body is dropped unfinished. `report` takes the error before that: a
/// host that has seen the end may drop the guest before its next line.
pub(crate) async fn send_body(body: Body, out: OutgoingBody, report: fn(&BodyError)) -> Result<(), BodyError> {
    write_chunks(body, &out).await.inspect_err(report)?;
    OutgoingBody::finish(out, None).map_err(BodyError::new).inspect_err(report)
}

async fn write_chunks(mut body: Body, out: &OutgoingBody) -> Result<(), BodyError> {
    let stream = AsyncOutputStream::new(out.write().expect("its stream is taken once"));
    while let Some(chunk) = body.next().await {
        stream.write_all(&chunk?).await.map_err(BodyError::new)?;
    }
    Ok(())
}
