//! One request: host, path, method, endpoint, and then free or paid.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use http::header::{HOST, HeaderValue, ORIGIN};
use http::uri::Scheme;
use http::{Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;
use ipnet::IpNet;

use super::forwarded;
use super::idle::{Activity, ActivityBody, InFlight};
use super::unread::{BorrowedBody, UnreadBody};
use crate::catalog::Catalog;
use crate::endpoint::{Access, Endpoint, PaidAccess};
use crate::payment::{self, Payments, Purchase};
use crate::respond::{self, Reply, Unroutable};
use crate::route::{Found, Path};
use coinslot_plugin::{BodyError, Permit, RequestBody};

/// Says whether the host is ready, whatever the `Host` of the request is.
const READY: &str = "/.well-known/coinslot/ready";

/// Answers requests by the generation in force at their arrival.
#[derive(Debug)]
pub struct RequestHandler {
    catalog: Arc<ArcSwap<Catalog>>,
    payments: Arc<Payments>,
    hosts: Hosts,
    proxies: Vec<IpNet>,
    leaving: AtomicBool,
    closing: AtomicBool,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub ip: IpAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}

/// Which `Host` is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// No public address is configured. Whatever the client wrote is accepted and used for nothing.
    Any,
    /// These, in any case, each with the port that clients write.
    Only(Vec<String>),
}

impl RequestHandler {
    /// A handler that serves this catalogue and takes payments at this payments. `proxies` are believed when they say for
    /// whom they ask; nobody else is.
    pub fn new(catalog: Arc<ArcSwap<Catalog>>, payments: Arc<Payments>, hosts: Hosts, proxies: Vec<IpNet>) -> Self {
        Self { catalog, payments, hosts, proxies, leaving: AtomicBool::new(false), closing: AtomicBool::new(false) }
    }

    /// From now on it says that it is not ready, and serves all the same.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// From now on requests on open connections are refused.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Waits for payments at work.
    pub async fn drain(&self) {
        self.payments.drain().await;
    }

    /// Payments at work.
    pub fn at_work(&self) -> usize {
        self.payments.at_work()
    }

    /// Answers one request. Never fails: every problem has an answer. What needs no waiting is answered at once;
    /// most requests are a first one, and get the ready challenge.
    pub(super) fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        activity: &Arc<Activity>,
    ) -> ResponseFuture {
        let unread = UnreadBody::of(&request);
        let request = request.map(|body| match &unread {
            Some(unread) => Either::Left(unread.lend(body)),
            None => Either::Right(body),
        });
        let ready = match self.route(request, peer) {
            Ok(Routed::Run(call)) => {
                let run = Arc::clone(self).run(call);
                let reply: Pin<Box<dyn Future<Output = Reply> + Send>> = match unread {
                    Some(unread) => Box::pin(async move { unread.clear(run.await).await }),
                    None => Box::pin(run),
                };
                return ResponseFuture::Working { work: Some(activity.work()), reply };
            }
            Ok(Routed::Done(reply)) => reply,
            Err(why) => respond::unroutable(&why),
        };
        if let Some(unread) = unread {
            return ResponseFuture::Working { work: Some(activity.work()), reply: Box::pin(unread.clear(ready)) };
        }
        activity.answered();
        ResponseFuture::Ready(Some(ready))
    }

    /// What the request means, and its answer where nothing has to run for it.
    fn route(&self, mut request: Request<Arrived>, peer: Peer) -> Result<Routed, Unroutable> {
        // Whoever balances load asks by address, not by name.
        if request.uri().path() == READY && matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(Routed::Done(self.ready(request.method() == Method::HEAD)));
        }
        if self.closing.load(Ordering::Acquire) {
            return Err(Unroutable::Closing);
        }
        let authority = self.authority(&request)?;
        if *request.method() == Method::OPTIONS && request.uri().path() == "*" {
            return Ok(Routed::Done(respond::options(&[])));
        }
        let path = Path::parse(request.uri().path()).map_err(Unroutable::Path)?;
        let catalog = self.catalog.load();
        let asked = request.method().clone();
        if asked == Method::OPTIONS {
            let methods = catalog.methods(&path);
            return if methods.is_empty() {
                Err(Unroutable::NotFound)
            } else {
                Ok(Routed::Done(respond::options(&methods)))
            };
        }
        // `HEAD` asks about `GET`, and never runs what would have to be paid.
        let method = if asked == Method::HEAD { Method::GET } else { asked.clone() };
        let (endpoint, params) = match catalog.find(&method, &path) {
            Found::Endpoint { target, params } => (target, params),
            Found::OtherMethods(methods) => return Err(Unroutable::Method(methods)),
            Found::Nothing => return Err(Unroutable::NotFound),
        };
        if let Access::Paid(paid) = &endpoint.access
            && asked != Method::HEAD
            && let Some(challenge) =
                payment::ask_plainly(&self.payments, &paid.offer, paid.challenge.as_ref(), &endpoint.plugin, &request)
        {
            return Ok(Routed::Done(respond::challenge(challenge, request.headers().contains_key(ORIGIN))));
        }
        let from = forwarded::client(&self.proxies, peer.ip, request.headers_mut());
        let scheme = if peer.tls { Scheme::HTTPS } else { Scheme::HTTP };
        let request = canonical(request, method, &path, (scheme, &authority))?;
        let (endpoint, catalog) = (Arc::clone(endpoint), Arc::clone(&catalog));
        Ok(Routed::Run(Matched { catalog, endpoint, params, path, request, from, asked }))
    }

    /// Whether more requests should come here.
    fn ready(&self, head: bool) -> Reply {
        let mut obstacles = Vec::new();
        if self.leaving.load(Ordering::Acquire) || self.closing.load(Ordering::Acquire) {
            obstacles.push("this host is shutting down");
        }
        obstacles.extend(self.payments.obstacles());
        respond::ready(&obstacles, head)
    }

    async fn run(self: Arc<Self>, call: Matched) -> Reply {
        let Matched { catalog, endpoint, params, path, request, from, asked } = call;
        let reply = match &endpoint.access {
            Access::Free => respond::free(endpoint.plugin.invoke(Permit::grant(None), request).await),
            Access::Paid(paid) => {
                let purchase = purchase(&catalog, &endpoint, paid, params, &path, &request, from);
                self.paid(purchase, &asked, request).await
            }
        };
        if asked == Method::HEAD { respond::head_only(reply) } else { reply }
    }

    async fn paid(&self, purchase: Purchase, asked: &Method, request: Request<RequestBody>) -> Reply {
        if *asked == Method::HEAD {
            return respond::paid(Err(payment::ask(&self.payments, &purchase)));
        }
        respond::paid(payment::serve(&self.payments, purchase, request).await)
    }

    /// The host that the client means, checked. Only checked: no URL is ever made of it.
    fn authority(&self, request: &Request<Arrived>) -> Result<HeaderValue, Unroutable> {
        let mut named = request.headers().get_all(HOST).iter();
        let header = named.next();
        if named.next().is_some() {
            return Err(Unroutable::Host("more than one Host header: send one"));
        }
        let target = request.uri().authority().map(http::uri::Authority::as_str);
        let text = match (target, header.map(HeaderValue::to_str)) {
            (_, Some(Err(_))) => return Err(Unroutable::Host("the Host header is not a host name")),
            (Some(target), Some(Ok(header))) if !target.eq_ignore_ascii_case(header) => {
                return Err(Unroutable::Host("the request target and the Host header name different hosts"));
            }
            (Some(target), _) => target,
            (None, Some(Ok(header))) => header,
            (None, None) => return Err(Unroutable::Host("there is no Host header: send one")),
        };
        let parsed: http::uri::Authority =
            text.parse().map_err(|_| Unroutable::Host("the Host header is not a host name"))?;
        if text.contains('@') || parsed.host().is_empty() {
            return Err(Unroutable::Host("the Host header is not a host name"));
        }
        match &self.hosts {
            Hosts::Only(names) if !names.iter().any(|name| name.eq_ignore_ascii_case(text)) => {
                Err(Unroutable::Misdirected)
            }
            Hosts::Only(_) | Hosts::Any => match header {
                Some(header) if target.is_none() => Ok(header.clone()),
                _ => HeaderValue::from_str(text).map_err(|_| Unroutable::Host("the Host header is not a host name")),
            },
        }
    }
}

/// A request's body, which comes back if it is not read and in the way.
type Arrived = Either<BorrowedBody, Incoming>;

/// What a request comes to.
enum Routed {
    Done(Reply),
    Run(Matched),
}

/// A request for an endpoint that has to run, or be paid first, in the generation of its arrival.
struct Matched {
    catalog: Arc<Catalog>,
    endpoint: Arc<Endpoint>,
    params: Vec<(String, String)>,
    path: Path,
    request: Request<RequestBody>,
    /// The client's address.
    from: IpAddr,
    /// The method as it was asked.
    asked: Method,
}

/// An answer that is there, or is being worked out. Small: it is moved into the connection for each request.
pub(super) enum ResponseFuture {
    /// None once it was taken.
    Ready(Option<Reply>),
    Working {
        work: Option<InFlight>,
        reply: Pin<Box<dyn Future<Output = Reply> + Send>>,
    },
}

impl Future for ResponseFuture {
    type Output = Result<Response<ActivityBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (reply, work) = match self.get_mut() {
            Self::Ready(reply) => (reply.take().map_or(Poll::Pending, Poll::Ready), None),
            Self::Working { work, reply } => match reply.as_mut().poll(context) {
                Poll::Ready(reply) => (Poll::Ready(reply), work.take()),
                Poll::Pending => return Poll::Pending,
            },
        };
        reply.map(|reply| Ok(reply.map(|body| ActivityBody::new(body, work))))
    }
}

/// The request as a guest sees it: canonical path, the connection's scheme, the host it was sent to.
fn canonical(
    request: Request<Arrived>,
    method: Method,
    path: &Path,
    (scheme, authority): (Scheme, &HeaderValue),
) -> Result<Request<RequestBody>, Unroutable> {
    let (mut head, body) = request.into_parts();
    let target = match head.uri.query() {
        Some(query) => format!("{}?{query}", path.as_str()),
        None => path.as_str().to_owned(),
    };
    head.uri = Uri::builder()
        .scheme(scheme)
        .authority(authority.as_bytes())
        .path_and_query(target)
        .build()
        .map_err(|_| Unroutable::Path(crate::route::PathError::Forbidden))?;
    head.method = method;
    head.version = Version::HTTP_11;
    Ok(Request::from_parts(head, body.map_err(BodyError::from).boxed_unsync()))
}

fn purchase(
    catalog: &Catalog,
    endpoint: &Endpoint,
    paid: &PaidAccess,
    params: Vec<(String, String)>,
    path: &Path,
    request: &Request<RequestBody>,
    from: IpAddr,
) -> Purchase {
    let mut url = format!("{}{}", catalog.public_url(), path.as_str());
    let query = request.uri().query();
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    Purchase {
        plugin: Arc::clone(&endpoint.plugin),
        endpoint: endpoint.label.clone(),
        route: endpoint.path.clone(),
        params,
        offer: paid.offer.clone(),
        quoted: paid.quoted,
        url,
        resource: endpoint.resource.clone(),
        template_url: endpoint.url.clone(),
        challenge: paid.challenge.clone().filter(|_| query.is_none()),
        generation: catalog.generation,
        request_limit: endpoint.request_limit,
        flow: paid.flow,
        from: Some(from),
        honoured: catalog.honoured(endpoint),
    }
}
