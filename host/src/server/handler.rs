//! Answers one request: host, path, method, endpoint, and then free or paid.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use coinslot_plugin::{Permit, RequestBody, RequestBodyError};
use http::header::{HeaderValue, ORIGIN};
use http::uri::Scheme;
use http::{Method, Request, Uri, Version};
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;
use ipnet::IpNet;

use super::authority::Hosts;
use super::forwarded;
use super::idle::Activity;
use super::response::ResponseFuture;
use super::unread::{BorrowedBody, UnreadBody};
use crate::catalog::Catalog;
use crate::endpoint::{Access, Endpoint, PaidAccess};
use crate::payment::{self, Charged, ClientAddress, Payments, Pricing, Purchase, Served, Unserved};
use crate::respond::{self, Reply, Unroutable};
use crate::route::{FoundRoute, RequestPath};

/// The path that reports whether the host is ready, whatever the `Host` of the request is.
const READY: &str = "/.well-known/coinslot/ready";

/// The most plugins that the readiness path names.
const MAX_NAMED: usize = 20;

/// Answers requests by the generation that is active at their arrival.
#[derive(Debug)]
pub struct RequestHandler {
    catalog: Arc<ArcSwap<Catalog>>,
    payments: Arc<Payments>,
    hosts: Hosts,
    /// None: the operator has not named the proxies.
    proxies: Option<Vec<IpNet>>,
    leaving: AtomicBool,
    closing: AtomicBool,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub ip: IpAddr,
    /// Set if the connection is TLS.
    pub tls: bool,
}

/// A request's body. On HTTP/1 it returns if it was not read, because it is in the way of the next request.
pub(super) type ArrivedBody = Either<BorrowedBody, Incoming>;

/// The result of routing: most responses of the host itself need no endpoint.
enum Routed<'c> {
    Endpoint(MatchedEndpoint<'c>),
    Response(Reply),
}

/// An endpoint of a generation that a request matched.
struct MatchedEndpoint<'c> {
    endpoint: &'c Arc<Endpoint>,
    params: Vec<(String, String)>,
    path: RequestPath,
    /// The host that the request names, which has been checked.
    authority: HeaderValue,
}

/// A request that has to run or be paid first, in the generation of its arrival, as its guest will see it.
struct EndpointCall {
    catalog: Arc<Catalog>,
    endpoint: Arc<Endpoint>,
    params: Vec<(String, String)>,
    path: RequestPath,
    request: Request<RequestBody>,
    client: ClientAddress,
    /// Set if the client asks for the head alone. The guest sees a `GET`.
    head_only: bool,
}

/// The answer to a request: made, or a call that has to run.
#[allow(clippy::large_enum_variant, reason = "matched at once by the only caller, and a box would cost what it saves")]
enum Handled {
    Ready(Reply),
    Call(EndpointCall),
}

impl RequestHandler {
    /// A handler that serves this catalogue and takes these payments. The `proxies` are believed when they name the
    /// client that they ask for; no other peer is.
    pub fn new(
        catalog: Arc<ArcSwap<Catalog>>,
        payments: Arc<Payments>,
        hosts: Hosts,
        proxies: Option<Vec<IpNet>>,
    ) -> Self {
        let (leaving, closing) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { catalog, payments, hosts, proxies, leaving, closing }
    }

    /// Reports "not ready" from here on, and serves all the same.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Refuses requests on open connections from here on.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Waits until every payment at work is finished.
    pub async fn drain(&self) {
        self.payments.drain().await;
    }

    /// The number of payments at work.
    pub fn at_work(&self) -> usize {
        self.payments.at_work()
    }

    /// Answers one request of a connection, whose activity it marks.
    pub(super) fn call(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        activity: &Arc<Activity>,
    ) -> ResponseFuture {
        // Each of the four cases has only the layers that it needs: most requests have no body, and an answer that is
        // ready.
        let unread = UnreadBody::of(&request);
        let request = request.map(|body| match &unread {
            Some(unread) => Either::Left(unread.lend(body)),
            None => Either::Right(body),
        });
        match (self.handle(request, peer), unread) {
            (Handled::Ready(reply), None) => ResponseFuture::ready(reply, activity),
            (Handled::Ready(reply), Some(unread)) => ResponseFuture::working(Box::pin(unread.clear(reply)), activity),
            (Handled::Call(call), None) => ResponseFuture::working(Box::pin(Arc::clone(self).run(call)), activity),
            (Handled::Call(call), Some(unread)) => {
                let reply = Arc::clone(self).run(call);
                ResponseFuture::working(Box::pin(async move { unread.clear(reply.await).await }), activity)
            }
        }
    }

    /// Answers one request. Never fails: every problem has a response.
    fn handle(&self, request: Request<ArrivedBody>, peer: Peer) -> Handled {
        let catalog = self.catalog.load(); // the request keeps this generation to its end
        let matched = match self.route(&catalog, &request) {
            Ok(Routed::Endpoint(matched)) => matched,
            Ok(Routed::Response(reply)) => return Handled::Ready(reply), // readiness, OPTIONS
            Err(unroutable) => return Handled::unroutable(&unroutable, Charged::unasked(request.headers())),
        };
        // Most requests end here: they carry no payment, and their challenge is prepared.
        if let Some(challenge) = payment::challenge::prepared(&self.payments, matched.endpoint, &request) {
            return Handled::Ready(respond::challenge(challenge, request.headers().contains_key(ORIGIN)));
        }
        let charged = Charged::unasked(request.headers());
        let call = matched.call(&catalog, request, peer, self.proxies.as_deref());
        call.map_or_else(|unroutable| Handled::unroutable(&unroutable, charged), Handled::Call)
    }

    /// Runs the guest of a free endpoint, or sells the answer of a paid one.
    async fn run(self: Arc<Self>, call: EndpointCall) -> Reply {
        let head_only = call.head_only;
        let reply = match &call.endpoint.access {
            Access::Free => run_free(&call.endpoint, call.request).await,
            Access::Paid(access) => {
                let purchase = call.purchase(access);
                let served = if head_only {
                    let problem = payment::challenge::declared(&self.payments, &purchase);
                    Err(Unserved::unasked(problem, call.request.headers()))
                } else {
                    payment::serve(&self.payments, purchase, call.request).await
                };
                match served {
                    Ok(Served::Settled(settled)) => respond::paid(Ok(settled), &call.endpoint),
                    Ok(Served::Free(free)) => run_free(&call.endpoint, free.into_request()).await,
                    Err(unserved) => respond::paid(Err(unserved), &call.endpoint),
                }
            }
        };
        if head_only { respond::head_only(reply) } else { reply }
    }

    /// Finds the endpoint of a request, or answers it where no endpoint is meant.
    fn route<'c>(&self, catalog: &'c Catalog, request: &Request<ArrivedBody>) -> Result<Routed<'c>, Unroutable> {
        // A load balancer asks by address, not by name, so the host is not checked. It is answered while the host shuts
        // down, too.
        if request.uri().path() == READY && matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(Routed::Response(self.readiness(request.method())));
        }
        if self.closing.load(Ordering::Acquire) {
            return Err(Unroutable::Closing);
        }
        let authority = self.hosts.authority(request)?;
        if *request.method() == Method::OPTIONS && request.uri().path() == "*" {
            return Ok(Routed::Response(respond::options(&[], request.headers())));
        }
        let path = RequestPath::parse(request.uri().path()).map_err(Unroutable::Path)?;
        if *request.method() == Method::OPTIONS {
            let methods = catalog.methods(&path);
            let served = (!methods.is_empty()).then(|| Routed::Response(respond::options(&methods, request.headers())));
            return served.ok_or(Unroutable::NotFound);
        }
        let Some(FoundRoute { target: endpoint, params }) = catalog.find(guest_method(request.method()), &path) else {
            let methods = catalog.methods(&path);
            return Err(if methods.is_empty() { Unroutable::NotFound } else { Unroutable::Method(methods) });
        };
        Ok(Routed::Endpoint(MatchedEndpoint { endpoint, params, path, authority }))
    }

    /// The answer of the readiness path: whether a load balancer should send more requests here.
    fn readiness(&self, method: &Method) -> Reply {
        let mut obstacles = Vec::new();
        if self.leaving.load(Ordering::Acquire) || self.closing.load(Ordering::Acquire) {
            obstacles.push("this host is shutting down");
        }
        obstacles.extend(self.payments.obstacles());
        let loading = self.catalog.load().loading();
        let plugins = loading.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let plugins = format!("{} plugins are still being loaded: {plugins}", loading.len());
        if !loading.is_empty() {
            obstacles.push(&plugins);
        }
        let reply = respond::ready(&obstacles);
        if *method == Method::HEAD { respond::head_only(reply) } else { reply }
    }
}

/// Runs the guest for a request that costs nothing.
#[expect(clippy::disallowed_methods, reason = "a free request runs its guest without payment")]
async fn run_free(endpoint: &Arc<Endpoint>, request: Request<RequestBody>) -> Reply {
    let charged = Charged::unasked(request.headers());
    let answer = endpoint.plugin.invoke(Permit::grant(None), request).await;
    respond::free(answer, endpoint, charged)
}

impl Handled {
    fn unroutable(why: &Unroutable, charged: Charged) -> Self {
        Self::Ready(respond::unroutable(why, charged))
    }
}

/// The method as routes and guests know it. `HEAD` asks about `GET`, and never runs what would have to be paid.
fn guest_method(method: &Method) -> &Method {
    if *method == Method::HEAD { &Method::GET } else { method }
}

impl MatchedEndpoint<'_> {
    /// The call of this endpoint, with the request as its guest sees it: canonical path, the connection's scheme, the
    /// host that it was sent to, and no proxy fields of peers that are not named proxies.
    fn call(
        self,
        catalog: &Arc<Catalog>,
        mut request: Request<ArrivedBody>,
        peer: Peer,
        proxies: Option<&[IpNet]>,
    ) -> Result<EndpointCall, Unroutable> {
        let Self { endpoint, params, path, authority } = self;
        let client = forwarded::client(proxies, peer.ip, request.headers_mut());
        let head_only = *request.method() == Method::HEAD;
        let (mut head, body) = request.into_parts();
        let target = match head.uri.query() {
            Some(query) => format!("{}?{query}", path.as_str()),
            None => path.as_str().to_owned(),
        };
        head.uri = Uri::builder()
            .scheme(if peer.tls { Scheme::HTTPS } else { Scheme::HTTP })
            .authority(authority.as_bytes())
            .path_and_query(target)
            .build()
            .map_err(|_| Unroutable::Path(crate::route::PathError::Forbidden))?;
        head.method = guest_method(&head.method).clone();
        head.version = Version::HTTP_11;
        let request = Request::from_parts(head, body.map_err(RequestBodyError::from).boxed_unsync());
        let (catalog, endpoint) = (Arc::clone(catalog), Arc::clone(endpoint));
        Ok(EndpointCall { catalog, endpoint, params, path, request, client, head_only })
    }
}

impl EndpointCall {
    /// The purchase that the call of a paid endpoint asks for.
    fn purchase(&self, access: &Arc<PaidAccess>) -> Purchase {
        let mut url = format!("{}{}", self.catalog.public_url(), self.path.as_str());
        let query = self.request.uri().query();
        if let Some(query) = query {
            url.push('?');
            url.push_str(query);
        }
        Purchase {
            endpoint: Arc::clone(&self.endpoint),
            access: Arc::clone(access),
            offer: access.offer.clone(),
            pricing: if access.quoted { Pricing::AtMost } else { Pricing::Declared },
            honoured: self.catalog.honoured(&self.endpoint),
            generation: self.catalog.generation,
            params: self.params.clone(),
            has_query: query.is_some(),
            url,
            client: self.client,
        }
    }
}
