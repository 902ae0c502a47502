//! Declares the future that hyper polls for the response to one request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;

use super::idle::{Activity, ActivityBody, InFlight};
use crate::respond::Reply;

/// A response that is made, or being worked out.
///
/// Written by hand rather than as an `async` block because hyper moves it into the connection for each request: a
/// response that is ready at once, as most are, costs no box and no state machine of the paid route.
pub(super) enum ResponseFuture {
    /// None once it was taken.
    Ready(Option<Reply>),
    Working {
        in_flight: Option<InFlight>,
        reply: Pin<Box<dyn Future<Output = Reply> + Send>>,
    },
}

impl ResponseFuture {
    pub(super) fn ready(reply: Reply, activity: &Activity) -> Self {
        activity.answered();
        Self::Ready(Some(reply))
    }

    pub(super) fn working(reply: Pin<Box<dyn Future<Output = Reply> + Send>>, activity: &Arc<Activity>) -> Self {
        Self::Working { in_flight: Some(activity.begin()), reply }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<ActivityBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (reply, in_flight) = match self.get_mut() {
            Self::Ready(reply) => (reply.take().map_or(Poll::Pending, Poll::Ready), None),
            Self::Working { in_flight, reply } => match reply.as_mut().poll(context) {
                Poll::Ready(reply) => (Poll::Ready(reply), in_flight.take()),
                Poll::Pending => return Poll::Pending,
            },
        };
        reply.map(|reply| Ok(reply.map(|body| ActivityBody::new(body, in_flight))))
    }
}
