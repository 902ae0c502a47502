//! Answers one request: host, path, method, endpoint, and then free or paid.

mod routing;
mod run;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use coinslot_base::request_id::RequestId;
use http::header::{HeaderValue, ORIGIN};
use http::{Method, Request, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use ipnet::IpNet;

use self::routing::Routed;
use super::activity::Activity;
use super::authority::Hosts;
use super::browser::shows_pages;
use super::documents::{self, DocumentCall};
use super::endpoint_call::{ArrivedBody, EndpointCall};
use super::mcp::{McpCall, McpClients};
use super::observer::{RequestObserver, WatchedRequest};
use super::response::ResponseFuture;
use super::unread::UnreadBody;
use super::{forwarded, trace_context};
use crate::catalog::Catalog;
use crate::discover::Publisher;
use crate::endpoint::Access;
use crate::operate::Telemetry;
use crate::payment::{self, Charged, Payments, RequestTrace};
use crate::respond::{self, Reply, Unroutable};

/// Answers requests by the generation that is active at their arrival.
#[derive(Debug)]
pub struct RequestHandler {
    catalog: Arc<ArcSwap<Catalog>>,
    payments: Arc<Payments>,
    hosts: Hosts,
    /// None: the operator has not named the proxies.
    proxies: Option<Vec<IpNet>>,
    /// `Strict-Transport-Security` of answers over TLS.
    strict_transport: Option<HeaderValue>,
    /// Pages of the Internet may call a host in a private network.
    private_network_access: bool,
    /// Publishes documents about the catalogue.
    publisher: Arc<Publisher>,
    mcp: McpClients,
    observer: Option<RequestObserver>,
    /// None: traces are not exported.
    telemetry: Option<Arc<Telemetry>>,
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

/// The answer to a request: made, or a call that has to run.
#[allow(clippy::large_enum_variant, reason = "matched at once by the only caller, and a box would cost what it saves")]
enum Handled {
    Ready(Reply),
    Document(DocumentCall),
    Mcp(McpCall),
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
        Self {
            catalog,
            payments,
            hosts,
            proxies,
            strict_transport: None,
            private_network_access: false,
            publisher: Arc::default(),
            mcp: McpClients::default(),
            observer: None,
            telemetry: None,
            leaving,
            closing,
        }
    }

    /// Has browsers come back over TLS only, for this long.
    pub fn with_strict_transport(self, max_age: Option<Duration>) -> Self {
        let value = max_age.and_then(|max_age| format!("max-age={}", max_age.as_secs()).try_into().ok());
        Self { strict_transport: value, ..self }
    }

    /// Lets pages of the Internet call a host in a private network.
    pub fn with_private_network_access(self, allowed: bool) -> Self {
        Self { private_network_access: allowed, ..self }
    }

    /// Publishes these documents about the catalogue.
    pub fn with_publisher(self, publisher: Arc<Publisher>) -> Self {
        Self { publisher, ..self }
    }

    /// Tells how each request went.
    pub fn with_observer(self, observer: Option<RequestObserver>) -> Self {
        Self { observer, ..self }
    }

    /// Exports the traces of sampled requests. It needs an observer.
    pub fn with_telemetry(self, telemetry: Option<Arc<Telemetry>>) -> Self {
        Self { telemetry, ..self }
    }

    /// Reports "not ready" from here on, and serves all the same.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Refuses requests on open connections from here on.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.mcp.close();
    }

    /// The active generation.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    pub(super) fn payments(&self) -> &Payments {
        &self.payments
    }

    pub(super) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    pub(super) fn mcp(&self) -> &McpClients {
        &self.mcp
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The proxies that the operator has named, if it has.
    pub(super) fn proxies(&self) -> Option<&[IpNet]> {
        self.proxies.as_deref()
    }

    /// Waits until every payment at work is finished.
    pub async fn drain(&self) {
        self.payments.drain().await;
    }

    /// Gives back what the end of the host interrupts.
    pub(super) async fn interrupt(&self) {
        self.payments.interrupt().await;
    }

    /// True if the peer is a client, and not a proxy that forwards requests of several clients.
    pub(super) fn is_client(&self, peer: IpAddr) -> bool {
        forwarded::is_client(self.proxies.as_deref(), peer)
    }

    /// The number of payments at work.
    pub fn at_work(&self) -> usize {
        self.payments.at_work()
    }

    /// Answers one request of a connection, whose activity it marks.
    pub(super) fn call(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        peer: Peer,
        activity: &Arc<Activity>,
    ) -> ResponseFuture {
        trace_context::bound_state(request.headers_mut());
        let strict_transport = self.strict_transport.as_ref().filter(|_| peer.tls).cloned();
        let (watched, id) = self.watch(&request, peer);
        let trace = watched.as_ref().map(WatchedRequest::trace).unwrap_or_default();
        let response = self.respond(request, peer, activity, trace, id);
        response.with_strict_transport(strict_transport).watched_by(watched)
    }

    /// Answers the request that an agent's call means, as it answers one of the network.
    pub(super) async fn answer(self: &Arc<Self>, mut request: Request<Bytes>, peer: Peer) -> Reply {
        trace_context::bound_state(request.headers_mut());
        let (watched, id) = self.watch(&request, peer);
        let trace = watched.as_ref().map(WatchedRequest::trace).unwrap_or_default();
        let request = request.map(|body| Either::Right(Either::Right(Full::new(body))));
        let mut reply = match id.within(|| self.handle(request, peer, trace)) {
            Handled::Ready(reply) => reply,
            Handled::Document(call) => id.scope(self.publish(call)).await,
            Handled::Call(call) => id.scope(Arc::clone(self).run(call)).await,
            // No tool is at that path.
            Handled::Mcp(_) => respond::unroutable(&Unroutable::NotFound, Charged::No),
        };
        if let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) {
            reply.headers_mut().insert(&trace_context::REQUEST_ID, id);
        }
        match watched {
            Some(watched) => watched.answered(reply),
            None => reply,
        }
    }

    /// Begins to observe a request, if anybody observes, and names it.
    fn watch<B>(&self, request: &Request<B>, peer: Peer) -> (Option<WatchedRequest>, RequestId) {
        let is_trusted = forwarded::is_named(self.proxies.as_deref(), peer.ip);
        let said = if is_trusted { trace_context::request_id(request.headers()) } else { None };
        let Some(observer) = &self.observer else {
            return (None, said.unwrap_or_else(RequestId::random));
        };
        let sampled = self.telemetry.as_ref().and_then(|telemetry| telemetry.begin(request, is_trusted, said));
        let (spans, id) = match sampled {
            Some((spans, id)) => (Some(spans), id),
            None => (None, said.unwrap_or_else(RequestId::random)),
        };
        (Some(WatchedRequest::begin(observer, request, id, spans)), id)
    }

    fn respond(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        activity: &Arc<Activity>,
        trace: RequestTrace,
        id: RequestId,
    ) -> ResponseFuture {
        // Each of the cases has only the layers that it needs: most requests have no body, and an answer that is
        // ready.
        activity.request(request.version() == Version::HTTP_2);
        let unread = UnreadBody::of(&request, activity);
        let request = request.map(|body| match &unread {
            Some(unread) => Either::Left(unread.lend(body)),
            None => Either::Right(Either::Left(body)),
        });
        let handled = id.within(|| self.handle(request, peer, trace));
        // A client that pays and hangs up early is not charged, so it has to keep its side open until its answer comes.
        let is_free_call = matches!(&handled, Handled::Call(call) if matches!(call.endpoint.access, Access::Free));
        activity.allow_half_close(is_free_call);
        let response = match handled {
            Handled::Ready(reply) => match unread {
                None => ResponseFuture::ready(reply, activity),
                Some(unread) => ResponseFuture::working(Box::pin(unread.clear(reply)), activity),
            },
            Handled::Document(call) => working(id.scope(self.publish(call)), unread, activity),
            Handled::Mcp(call) => working(id.scope(Arc::clone(self).serve_mcp(call)), unread, activity),
            Handled::Call(call) => working(id.scope(Arc::clone(self).run(call)), unread, activity),
        };
        response.named(id)
    }

    fn publish(&self, call: DocumentCall) -> impl Future<Output = Reply> + use<> {
        documents::publish(Arc::clone(&self.publisher), Arc::clone(&self.payments), call)
    }

    /// Answers one request. Never fails: every problem has a response.
    fn handle(&self, request: Request<ArrivedBody>, peer: Peer, trace: RequestTrace) -> Handled {
        let catalog = self.catalog.load(); // the request keeps this generation to its end
        let matched = match self.route(&catalog, &request) {
            Ok(Routed::Endpoint(matched)) => matched,
            Ok(Routed::Document(name)) => {
                let (catalog, headers) = (Arc::clone(&catalog), request.headers().clone());
                let head_only = *request.method() == Method::HEAD;
                let query = request.uri().query().map(ToOwned::to_owned);
                return Handled::Document(DocumentCall { name, query, catalog, headers, head_only });
            }
            Ok(Routed::Mcp(authority)) => {
                return Handled::Mcp(McpCall { catalog: Arc::clone(&catalog), request, peer, authority });
            }
            Ok(Routed::Response(reply)) => return Handled::Ready(reply), // readiness, OPTIONS
            Err(unroutable) => return Handled::unroutable(&unroutable, Charged::unasked(request.headers())),
        };
        trace.found(matched.endpoint);
        if self.hosts == Hosts::Any {
            forwarded::warn_of_proxy(request.headers(), catalog.public_url());
        }
        // Most requests end here: they carry no payment, and their challenge is prepared.
        if let Some(challenge) = payment::challenge::prepared(&self.payments, matched.endpoint, &request) {
            let reply = respond::challenge(challenge, request.headers().contains_key(ORIGIN));
            if shows_pages(&request) {
                return Handled::Ready(documents::paywall(
                    &self.publisher,
                    reply,
                    matched.endpoint,
                    (&[], None),
                    catalog.public_url(),
                ));
            }
            return Handled::Ready(reply);
        }
        let charged = Charged::unasked(request.headers());
        if charged == Charged::Unknown {
            trace.may_pay();
        }
        let call = matched.call(&catalog, request, peer, self.proxies.as_deref(), trace);
        call.map_or_else(|unroutable| Handled::unroutable(&unroutable, charged), Handled::Call)
    }
}

/// The response of a reply that has to be made, after which what is unread of the request's body is cleared.
fn working(
    reply: impl Future<Output = Reply> + Send + 'static,
    unread: Option<UnreadBody>,
    activity: &Arc<Activity>,
) -> ResponseFuture {
    match unread {
        None => ResponseFuture::working(Box::pin(reply), activity),
        Some(unread) => ResponseFuture::working(Box::pin(async move { unread.clear(reply.await).await }), activity),
    }
}

impl Handled {
    fn unroutable(why: &Unroutable, charged: Charged) -> Self {
        Self::Ready(respond::unroutable(why, charged))
    }
}
