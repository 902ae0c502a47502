//! Polls one response until it is made, in the future that hyper awaits for each request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use coinslot_base::request_id::RequestId;
use http::Response;
use http::header::{HeaderValue, STRICT_TRANSPORT_SECURITY};
use tokio::sync::Semaphore;

use super::activity::{Activity, InFlight};
use super::answer_body::AnswerBody;
use super::observer::WatchedRequest;
use super::trace_context::REQUEST_ID;
use crate::respond::Reply;

/// A response that is made, or being worked out.
///
/// Written by hand rather than as an `async` block because hyper moves it into the connection for each request: a
/// response that is ready at once, as most are, costs no box and no state machine of the paid route.
pub(super) struct ResponseFuture {
    reply: PendingReply,
    /// `Strict-Transport-Security`.
    strict_transport: Option<HeaderValue>,
    /// `x-request-id`.
    id: Option<RequestId>,
    /// None without an observer.
    watched: Option<WatchedRequest>,
}

enum PendingReply {
    Ready {
        /// None once it was taken.
        reply: Option<Reply>,
        /// None on HTTP/1.
        sending: Option<Arc<Semaphore>>,
    },
    Working {
        in_flight: Option<InFlight>,
        reply: Pin<Box<dyn Future<Output = Reply> + Send>>,
    },
}

impl ResponseFuture {
    pub(super) fn ready(reply: Reply, activity: &Activity) -> Self {
        activity.answered();
        let reply = PendingReply::Ready { reply: Some(reply), sending: sending(activity) };
        Self { reply, strict_transport: None, id: None, watched: None }
    }

    pub(super) fn working(reply: Pin<Box<dyn Future<Output = Reply> + Send>>, activity: &Arc<Activity>) -> Self {
        let reply = PendingReply::Working { in_flight: Some(activity.begin()), reply };
        Self { reply, strict_transport: None, id: None, watched: None }
    }

    pub(super) fn with_strict_transport(self, value: Option<HeaderValue>) -> Self {
        Self { strict_transport: value, ..self }
    }

    /// Names the request in its answer.
    pub(super) fn named(self, id: RequestId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Has the answer, or the end of the wait for one, reported to an observer.
    pub(super) fn watched_by(self, watched: Option<WatchedRequest>) -> Self {
        Self { watched, ..self }
    }
}

/// The permits to send of an HTTP/2 connection. None on HTTP/1.
fn sending(activity: &Activity) -> Option<Arc<Semaphore>> {
    activity.is_multiplexed().then(|| Arc::clone(activity.sending()))
}

impl Future for ResponseFuture {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { reply, strict_transport, id, watched } = self.get_mut();
        let (mut reply, in_flight, sending) = match reply {
            PendingReply::Ready { reply, sending } => match reply.take() {
                Some(reply) => (reply, None, sending.take()),
                None => return Poll::Pending,
            },
            PendingReply::Working { in_flight, reply } => {
                let reply = ready!(reply.as_mut().poll(context));
                let sending = in_flight.as_ref().and_then(|guard| sending(guard.activity()));
                (reply, in_flight.take(), sending)
            }
        };
        if let Some(value) = id.take().and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok()) {
            reply.headers_mut().insert(&REQUEST_ID, value);
        }
        if let Some(value) = strict_transport.take() {
            reply.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
        }
        if let Some(watched) = watched.take() {
            reply = watched.answered(reply);
        }
        Poll::Ready(Ok(reply.map(|body| AnswerBody::new(body, in_flight, sending))))
    }
}
