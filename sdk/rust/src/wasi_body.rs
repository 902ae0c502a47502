//! Converts between this crate's [`Body`] and the bodies of `wasi:http`.
//!
//! Invariant: an outgoing body that fails is dropped without `finish`, so that the host sees it cut short and does not
//! take it for complete.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use wasip2::http::types::OutgoingBody;
use wstd::http::body::HttpBody;
use wstd::io::AsyncOutputStream;

use crate::body::{Body, BodyError};

/// A body that comes from the host, as a stream of chunks. Trailers are dropped.
pub(crate) struct IncomingBody(wstd::http::body::util::combinators::UnsyncBoxBody<Bytes, wstd::http::Error>);

impl IncomingBody {
    pub(crate) fn new(body: wstd::http::Body) -> Self {
        Self(body.into_boxed_body())
    }
}

impl futures_core::Stream for IncomingBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match Pin::new(&mut self.0).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) => Poll::Ready(Some(Ok(chunk))),
                    // The frame holds trailers.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::new(error)))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

/// Writes a body to the host. On an error the outgoing body is dropped unfinished.
pub(crate) async fn send_body(mut body: Body, out: OutgoingBody) -> Result<(), BodyError> {
    let stream = AsyncOutputStream::new(out.write().expect("its stream is taken once"));
    while let Some(chunk) = body.next().await {
        stream.write_all(&chunk?).await.map_err(BodyError::new)?;
    }
    drop(stream);
    OutgoingBody::finish(out, None).map_err(BodyError::new)
}
