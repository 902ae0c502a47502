//! What is left of a request's body that nobody read.
//!
//! A request is often answered before its body is wanted: it is not paid for, or its guest does not read. HTTP/1 has
//! the rest in the way of the next request, and hyper closes the connection without a word when it has not arrived
//! yet; a client that keeps the connection then loses its next request, which may carry a payment. So a little rest
//! is taken in and thrown away, and with a large or a slow one the client is told that the connection ends.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::respond::{self, Reply};

/// So many bytes are thrown away, and for so long they are waited for.
const BYTES: usize = 256 << 10;
const TIME: Duration = Duration::from_secs(1);

/// Where the body of one request comes back to if it was not read to its end.
#[derive(Clone, Debug)]
pub(super) struct UnreadBody {
    body: Arc<Mutex<Option<Incoming>>>,
    /// The client waits to be asked for it, and sends nothing.
    waits: bool,
}

/// A request's body on its way to whoever reads it.
pub(super) struct BorrowedBody {
    body: Option<Incoming>,
    back: UnreadBody,
}

impl UnreadBody {
    /// None if there is nothing to be read, or nothing in its way.
    pub(super) fn of(request: &Request<Incoming>) -> Option<Self> {
        let matters = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
        matters.then(|| Self { body: Arc::default(), waits: request.headers().contains_key(EXPECT) })
    }

    /// The same body, which comes back when it is dropped.
    pub(super) fn lend(&self, body: Incoming) -> BorrowedBody {
        BorrowedBody { body: Some(body), back: self.clone() }
    }

    fn keep(&self, body: Incoming) {
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    /// Clears the way for the next request, or says in the answer that there is none on this connection.
    pub(super) async fn clear(self, reply: Reply) -> Reply {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Read to its end, or still being read.
        let Some(body) = body else { return reply };
        let small = body.size_hint().lower() <= BYTES as u64;
        if small && !self.waits && tokio::time::timeout(TIME, discard(body)).await == Ok(true) {
            reply
        } else {
            respond::last(reply)
        }
    }
}

/// Whether the end came, and soon.
async fn discard(mut body: Incoming) -> bool {
    let mut left = BYTES;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

impl Body for BorrowedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for BorrowedBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.back.keep(body);
        }
    }
}
