//! Runs guests for requests that cost nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coinslot_plugin::{Fault, Permit, RequestBody, ResponseBody};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::endpoint::Endpoint;
use crate::payment::{AllowedRequest, Charged, ClientAddress, RequestTrace, ServedUse};
use crate::respond::{self, Reply};
use crate::schema;

/// Runs the guest for a request that costs nothing.
pub(super) async fn run_free(
    endpoint: &Arc<Endpoint>,
    client: ClientAddress,
    request: Request<RequestBody>,
    trace: &RequestTrace,
) -> Reply {
    let charged = Charged::unasked(request.headers());
    respond::free(run(endpoint, client, request, trace).await, endpoint, charged)
}

/// Runs the guest for a request that the operator allows. An answer below 400 counts before it leaves, and everything
/// else is given back, as a payment would be.
pub(super) async fn run_allowed(
    endpoint: &Arc<Endpoint>,
    client: ClientAddress,
    allowed: AllowedRequest,
    trace: &RequestTrace,
) -> Reply {
    let (request, free) = allowed.into_parts();
    let remainder = free.remainder();
    let answer = run(endpoint, client, request, trace).await;
    let is_served = answer.as_ref().is_ok_and(|response| response.status().as_u16() < 400);
    let answer = if is_served {
        let served = free.served().await;
        answer.map(|answer| answer.map(|body| CountedBody { body, free: Some(served) }.boxed_unsync()))
    } else {
        free.failed(answer.as_ref().err());
        answer
    };
    let reply = respond::free(answer, endpoint, Charged::No);
    match remainder {
        Some(remainder) => respond::allowed(reply, remainder),
        None => reply,
    }
}

/// The answer to a request that is counted. One that breaks off gives the request back.
struct CountedBody {
    body: ResponseBody,
    /// None once the answer has ended.
    free: Option<ServedUse>,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match (&frame, self.body.is_end_stream()) {
            (Some(Err(_)), _) => self.free.take().into_iter().for_each(ServedUse::broke_off),
            (None, _) | (_, true) => drop(self.free.take()),
            (Some(Ok(_)), false) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[expect(clippy::disallowed_methods, reason = "a free request runs its guest without payment")]
async fn run(
    endpoint: &Arc<Endpoint>,
    client: ClientAddress,
    request: Request<RequestBody>,
    trace: &RequestTrace,
) -> Result<Response<ResponseBody>, Fault> {
    let permit = Permit::grant(None).for_client(Some(client.network()));
    let permit = permit.observed_by(trace.run_observer());
    let running = trace.run();
    let answer = endpoint.plugin.invoke(permit, request).await;
    drop(running);
    answer.map(|answer| schema::checked(endpoint.answer.as_ref(), answer))
}
