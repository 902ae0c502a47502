//! The call of an endpoint: the request as its guest sees it, and the purchase of a paid one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use coinslot_plugin::{RequestBody, RequestBodyError};
use http::header::{COOKIE, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use ipnet::IpNet;

use super::handler::Peer;
use super::unread::BorrowedBody;
use super::{forwarded, trace_context};
use crate::allowance::{PresentedKey, SIGN_IN_WITH_X};
use crate::catalog::Catalog;
use crate::endpoint::{Endpoint, PaidAccess};
use crate::payment::{ClientAddress, Pricing, Purchase, RequestTrace};
use crate::respond::{Unroutable, is_host_only};
use crate::route::RequestPath;

/// A request's body. On HTTP/1 it returns if it was not read, because it is in the way of the next request. A body that
/// the host has made of an agent's call is whole.
pub(super) type ArrivedBody = Either<BorrowedBody, Either<Incoming, Full<Bytes>>>;

/// An endpoint of a generation that a request matched.
pub(super) struct MatchedEndpoint<'c> {
    pub(super) endpoint: &'c Arc<Endpoint>,
    pub(super) params: Vec<(String, String)>,
    pub(super) path: RequestPath,
    /// The host that the request names, which has been checked.
    pub(super) authority: HeaderValue,
}

/// A request that has to run or be paid first, in the generation of its arrival, as its guest will see it.
pub(super) struct EndpointCall {
    pub(super) catalog: Arc<Catalog>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) params: Vec<(String, String)>,
    pub(super) path: RequestPath,
    pub(super) request: Request<RequestBody>,
    pub(super) client: ClientAddress,
    /// The key of a customer, which its guest does not see.
    pub(super) key: Option<PresentedKey>,
    /// The proof of an account. Whoever reads it can use it once, so no guest sees one, whether it counts there or not.
    pub(super) sign_in: Option<HeaderValue>,
    /// Set if the client asks for the head alone. The guest sees a `GET`.
    pub(super) head_only: bool,
    /// Takes the times of the request, if it is observed.
    pub(super) trace: RequestTrace,
}

impl MatchedEndpoint<'_> {
    /// The call of this endpoint, with the request as its guest sees it: canonical path below the mount, the scheme that
    /// the client used as far as the host can know, the host that it was sent to, and no proxy fields of peers that are not
    /// named proxies.
    pub(super) fn call(
        self,
        catalog: &Arc<Catalog>,
        mut request: Request<ArrivedBody>,
        peer: Peer,
        proxies: Option<&[IpNet]>,
        trace: RequestTrace,
    ) -> Result<EndpointCall, Unroutable> {
        let Self { endpoint, params, path, authority } = self;
        let https = peer.tls
            || forwarded::is_https(proxies, peer.ip, request.headers())
                .unwrap_or_else(|| catalog.public_url().starts_with("https://"));
        trace_context::prepare(request.headers_mut(), forwarded::is_named(proxies, peer.ip), &trace);
        let client = forwarded::client(proxies, peer.ip, request.headers_mut());
        let key = PresentedKey::take(request.headers_mut());
        let mut sign_in = request.headers_mut().remove(SIGN_IN_WITH_X);
        sign_in.iter_mut().for_each(|proof| proof.set_sensitive(true));
        let head_only = *request.method() == Method::HEAD;
        let (mut head, body) = request.into_parts();
        let guest_path = endpoint.guest_path(path.as_str());
        let target = match head.uri.query() {
            Some(query) => format!("{guest_path}?{query}"),
            None => guest_path.to_owned(),
        };
        if let Some(mount) = &endpoint.mount {
            forwarded::add_prefix(&mut head.headers, mount.as_str());
        }
        head.uri = Uri::builder()
            .scheme(if https { Scheme::HTTPS } else { Scheme::HTTP })
            .authority(authority.as_bytes())
            .path_and_query(target)
            .build()
            .map_err(|_| Unroutable::Path(crate::route::PathError::Forbidden))?;
        head.method = guest_method(&head.method).clone();
        head.version = Version::HTTP_11;
        let body = FilteredBody(body).map_err(RequestBodyError::from).boxed_unsync();
        let request = Request::from_parts(head, body);
        let (catalog, endpoint) = (Arc::clone(catalog), Arc::clone(endpoint));
        Ok(EndpointCall { catalog, endpoint, params, path, request, client, key, sign_in, head_only, trace })
    }
}

impl EndpointCall {
    /// The purchase that the call of a paid endpoint asks for.
    pub(super) fn purchase(&self, access: &Arc<PaidAccess>) -> Purchase {
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
            key: self.key,
            sign_in: self.sign_in.clone(),
            trace: self.trace.clone(),
        }
    }
}

/// The method as routes and guests know it. `HEAD` asks about `GET`, and never runs what would have to be paid.
pub(super) fn guest_method(method: &Method) -> &Method {
    if *method == Method::HEAD { &Method::GET } else { method }
}

/// A request's body as its guest sees it.
struct FilteredBody(ArrivedBody);

impl Body for FilteredBody {
    type Data = Bytes;
    type Error = <ArrivedBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(context).map_ok(without_host_trailers)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Removes from trailers what a guest does not see in headers either.
fn without_host_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            let kept_back = |name: &&HeaderName| {
                is_host_only(name)
                    || [COOKIE.as_str(), SIGN_IN_WITH_X].contains(&name.as_str())
                    || forwarded::is_proxy_field(name)
            };
            let names: Vec<HeaderName> = trailers.keys().filter(kept_back).cloned().collect();
            for name in names {
                trailers.remove(name);
            }
            PresentedKey::take(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn trailers_say_nothing_about_payments_cookies_or_proxies() {
        let names = ["x-payment", "payment-response", "cookie", "sign-in-with-x", "x-forwarded-for", "x-checksum"];
        let trailers: HeaderMap =
            names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1"))).collect();
        let kept = without_host_trailers(Frame::trailers(trailers)).into_trailers().expect("trailers");
        assert_eq!(kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum"]);
    }
}
