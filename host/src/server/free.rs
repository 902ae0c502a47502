//! Runs guests for requests that cost nothing.

use std::sync::Arc;

use coinslot_plugin::{Fault, Permit, RequestBody, ResponseBody};
use http::{Request, Response};

use crate::endpoint::Endpoint;
use crate::payment::{AllowedRequest, Charged, ClientAddress, RequestTrace};
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
    if is_served {
        free.served().await;
    } else {
        free.failed(answer.as_ref().err());
    }
    let reply = respond::free(answer, endpoint, Charged::No);
    match remainder {
        Some(remainder) => respond::allowed(reply, remainder),
        None => reply,
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
    let permit = permit.observed_by(trace.outgoing_observer());
    let running = trace.run();
    let answer = endpoint.plugin.invoke(permit, request).await;
    drop(running);
    answer.map(|answer| schema::checked(endpoint.answer.as_ref(), answer))
}
