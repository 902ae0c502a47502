//! Drains the body of a request that was answered before its body was read.
//!
//! A request is often answered before its body is wanted: it is not paid for, or its guest does not read. On HTTP/1 the
//! rest stands in the way of the next request, and hyper closes the connection without notice when the rest has not
//! arrived yet. A client that keeps the connection then loses its next request, which may carry a payment. So a small
//! rest is read and discarded, and for a large or slow one the response says that the connection ends. The stream then
//! discards what still comes, so that the client reads the response ([`client_stream`](super::client_stream)).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;

use super::activity::Activity;
use crate::respond::{self, Reply};

/// The greatest number of bytes that are discarded, and the longest time of waiting for them.
const MAX_DISCARDED: usize = 256 << 10;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Receives the body of one request back if it was not read to its end.
#[derive(Clone, Debug)]
pub(super) struct UnreadBody {
    body: Arc<Mutex<Option<Incoming>>>,
    activity: Arc<Activity>,
    /// Set if the client sends the body only once it is asked to (`Expect: 100-continue`). Such a body is not read:
    /// that would ask for it.
    expects_continue: bool,
}

/// A request's body, lent to its reader.
pub(super) struct BorrowedBody {
    body: Option<Incoming>,
    back: UnreadBody,
}

impl UnreadBody {
    /// None if the request has no body, or its body is in no request's way (HTTP/2).
    pub(super) fn of(request: &Request<Incoming>, activity: &Arc<Activity>) -> Option<Self> {
        let matters = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
        activity.expect_body(matters);
        matters.then(|| Self {
            body: Arc::default(),
            activity: Arc::clone(activity),
            expects_continue: request.headers().contains_key(EXPECT),
        })
    }

    /// Lends the body; it returns when the loan is dropped.
    pub(super) fn lend(&self, body: Incoming) -> BorrowedBody {
        BorrowedBody { body: Some(body), back: self.clone() }
    }

    fn keep(&self, body: Incoming) {
        // Until its end was read after all. A streamed answer may drop the body long after its head was sent.
        self.activity.leave_body_unread();
        *self.body.lock() = Some(body);
    }

    /// Clears the way for the next request, or says in the response that the connection ends.
    pub(super) async fn clear(self, reply: Reply) -> Reply {
        let body = self.body.lock().take();
        // The body was read to its end, or is still being read: a streamed answer may read on while it is sent.
        let Some(body) = body else { return reply };
        let small = body.size_hint().lower() <= MAX_DISCARDED as u64;
        if small && !self.expects_continue && tokio::time::timeout(DISCARD_TIMEOUT, discard(body)).await == Ok(true) {
            self.activity.clear_unread_body();
            reply
        } else {
            respond::last(reply)
        }
    }
}

/// Reads a body and discards it. True if its end came within [`MAX_DISCARDED`] bytes.
async fn discard(mut body: Incoming) -> bool {
    let mut left = MAX_DISCARDED;
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
            self.back.activity.expect_body(false);
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
