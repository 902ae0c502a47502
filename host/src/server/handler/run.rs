//! Runs the call of an endpoint: free, by an allowance, or sold.

use std::sync::Arc;

use super::RequestHandler;
use crate::endpoint::Access;
use crate::payment::{self, Problem, Served, Unserved};
use crate::respond::{self, Reply};
use crate::server::browser::shows_pages;
use crate::server::documents;
use crate::server::endpoint_call::EndpointCall;
use crate::server::free::{run_allowed, run_free};

impl RequestHandler {
    /// Runs the guest of a free endpoint, or sells the answer of a paid one.
    pub(super) async fn run(self: Arc<Self>, call: EndpointCall) -> Reply {
        let head_only = call.head_only;
        let query =
            (shows_pages(&call.request) && !head_only).then(|| call.request.uri().query().map(ToOwned::to_owned));
        let reply = match &call.endpoint.access {
            Access::Free => {
                let (endpoint, client, trace) = (&call.endpoint, call.client, &call.trace);
                match payment::check_free(&self.payments, endpoint, &call.params, client, call.request).await {
                    Ok(request) => run_free(endpoint, client, request, trace).await,
                    Err(unserved) => respond::unserved(unserved, endpoint),
                }
            }
            Access::Paid(access) => {
                let purchase = call.purchase(access);
                let served = if head_only {
                    let problem = payment::challenge::declared(&self.payments, &purchase);
                    Err(Unserved::unasked(problem, call.request.headers()))
                } else {
                    payment::serve(&self.payments, purchase, call.request).await
                };
                match served {
                    Ok(Served::Settled(settled)) => respond::settled(settled, &call.endpoint),
                    Ok(Served::Free(free)) => {
                        run_free(&call.endpoint, call.client, free.into_request(), &call.trace).await
                    }
                    Ok(Served::Allowed(allowed)) => {
                        run_allowed(&call.endpoint, call.client, allowed, &call.trace).await
                    }
                    Err(unserved) => {
                        let asks = matches!(unserved.problem(), Problem::PaymentRequired(_) | Problem::NoPass { .. });
                        let reply = respond::unserved(unserved, &call.endpoint);
                        match query.filter(|_| asks) {
                            Some(query) => {
                                let public_url = call.catalog.public_url();
                                documents::paywall(
                                    &self.publisher,
                                    reply,
                                    &call.endpoint,
                                    (&call.params, query.as_deref()),
                                    public_url,
                                )
                            }
                            None => reply,
                        }
                    }
                }
            }
        };
        if head_only { respond::head_only(reply) } else { reply }
    }
}
