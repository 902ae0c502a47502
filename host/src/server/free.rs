//! Runs guests for requests that cost nothing.

use std::sync::Arc;

use coinslot_plugin::{Permit, RequestBody};
use http::Request;

use crate::endpoint::Endpoint;
use crate::payment::{Charged, ClientAddress, RequestTrace};
use crate::respond::{self, Reply};
use crate::schema;

/// Runs the guest for a request that costs nothing.
#[expect(clippy::disallowed_methods, reason = "a free request runs its guest without payment")]
pub(super) async fn run_free(
    endpoint: &Arc<Endpoint>,
    client: ClientAddress,
    request: Request<RequestBody>,
    trace: &RequestTrace,
) -> Reply {
    let charged = Charged::unasked(request.headers());
    let permit = Permit::grant(None).for_client(Some(client.network()));
    let permit = permit.observed_by(trace.outgoing_observer());
    let running = trace.run();
    let answer = endpoint.plugin.invoke(permit, request).await;
    drop(running);
    let answer = answer.map(|answer| schema::checked(endpoint.answer.as_ref(), answer));
    respond::free(answer, endpoint, charged)
}
