//! Routes a request to its endpoint, and runs the endpoint or its quote.

use std::task::{Context, Poll, Waker};

use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::answer::Response;
use crate::body::Body;
use crate::extract::{PaymentSource, Request};
use crate::form::{self, Pairs};
use crate::refusal::{Refusal, RefusalMark};
#[cfg(not(target_family = "wasm"))]
use crate::registry::Price;
use crate::registry::{Registration, registrations};
use crate::router::{self, EndpointCandidate, RouteMatch};
use crate::{Amount, log};

/// Tells the host that an answer of status 500 stands for an error that the endpoint does not handle.
const FAILED: HeaderName = HeaderName::from_static("x-coinslot-failed");

/// A request before it is routed.
pub(crate) struct RawRequest {
    pub(crate) method: Method,
    /// Percent-encoded, as the client sent it.
    pub(crate) path: String,
    /// The part after the question mark, not decoded.
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// The reason why no endpoint of this plugin serves a request.
enum NotServed {
    /// No endpoint has the path.
    Path(Refusal),
    /// The path has these methods only.
    Method(Vec<&'static str>),
    /// A parameter of the path is not percent-encoded text.
    Parameter(Refusal),
}

/// Runs the endpoint that serves the request.
pub(crate) async fn serve(raw: RawRequest) -> Response {
    let (registration, params) = match route(&raw) {
        Ok(routed) => routed,
        Err(not_served) => return not_served.response(),
    };
    let served = (registration.serve)(request(raw, registration, params, PaymentSource::Host)).await;
    let mut response = match served {
        Ok(response) => with_media_type(registration, response),
        Err(refusal) => refusal.response(),
    };
    if let Some(RefusalMark { cause: Some(cause), is_failure }) = response.extensions_mut().remove() {
        log::error(format_args!("{} {}: {cause}", registration.declared.method, registration.declared.path));
        if is_failure {
            response.headers_mut().insert(FAILED, HeaderValue::from_static("1"));
        }
    }
    response
}

/// Routes the request as the host would, and asks its endpoint for a quote.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn quote_path(raw: RawRequest) -> Result<Amount, Refusal> {
    let (registration, params) = route(&raw).map_err(NotServed::refusal)?;
    let raw = RawRequest { headers: seen_by_quote(registration, &raw.headers), ..raw };
    quote_at(raw, registration, params)
}

/// The header fields that the host shows to a quote.
#[cfg(not(target_family = "wasm"))]
fn seen_by_quote(registration: &Registration, headers: &HeaderMap) -> HeaderMap {
    let declared = registration.declare().unwrap_or_else(|_| registration.declared.clone());
    let mut seen = headers.clone();
    for name in headers.keys() {
        if name != CONTENT_TYPE && !declared.quoted_headers().any(|quoted| quoted == name.as_str()) {
            seen.remove(name);
        }
    }
    seen
}

/// True if a payment is needed before the request is served.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn is_paid(raw: &RawRequest) -> bool {
    route(raw).is_ok_and(|(registration, _)| registration.declared.price != Price::Free)
}

/// The most that may be charged for the request; none if its endpoint is not metered.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn maximum(raw: &RawRequest) -> Option<&'static str> {
    match route(raw).ok()?.0.declared.price {
        Price::UpTo(amount) => Some(amount),
        Price::Free | Price::Exact(_) | Price::Quoted(_) => None,
    }
}

/// Asks an endpoint what the request costs. The host has routed the request: `raw.path` is the endpoint's template.
#[cfg(target_family = "wasm")]
pub(crate) fn quote(raw: RawRequest, params: Pairs) -> Result<Amount, Refusal> {
    let registration = registrations()
        .find(|registration| {
            registration.declared.method == raw.method.as_str() && registration.declared.path == raw.path
        })
        .ok_or_else(|| no_path(&raw))?;
    quote_at(raw, registration, params)
}

/// Runs a quote.
///
/// # Panics
/// If the plugin is at fault: the quote waits, is no amount, or refuses with a status of 500 or more. A panic traps the
/// component, so the caller gets a 5xx and pays nothing.
fn quote_at(raw: RawRequest, registration: &'static Registration, params: Pairs) -> Result<Amount, Refusal> {
    let (method, path) = (registration.declared.method, registration.declared.path);
    let mut quoting = (registration.quote)(request(raw, registration, params, PaymentSource::Nobody));
    let quoted = match quoting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(quoted) => quoted,
        // The body is whole here, and then every extractor of this crate is ready at once.
        Poll::Pending => panic!("an argument of {method} {path} waits for something; a quote cannot"),
    };
    match quoted {
        Ok(amount) if Amount::parse(amount.as_str()).is_err() => {
            panic!("`quote` of {method} {path} answered {amount:?}, which is not an amount")
        }
        Err(refusal) if refusal.status() >= 500 => {
            let reason = refusal.cause().map_or_else(|| refusal.to_string(), str::to_owned);
            panic!("a quote refuses with 400 to 499; that of {method} {path} failed: {reason}")
        }
        quoted => quoted,
    }
}

/// Finds the endpoint, and decodes the parameters of the path.
fn route(raw: &RawRequest) -> Result<(&'static Registration, Pairs), NotServed> {
    let candidates = registrations().map(|endpoint| EndpointCandidate {
        method: endpoint.declared.method,
        template: endpoint.declared.path,
        endpoint,
    });
    match router::find(candidates, raw.method.as_str(), &raw.path) {
        RouteMatch::Endpoint { endpoint, params } => match decode(params) {
            Ok(params) => Ok((endpoint, params)),
            Err(refusal) => Err(NotServed::Parameter(refusal)),
        },
        RouteMatch::OtherMethods(methods) => Err(NotServed::Method(methods)),
        RouteMatch::NoPath => Err(NotServed::Path(no_path(raw))),
    }
}

fn request(raw: RawRequest, registration: &Registration, params: Pairs, payment: PaymentSource) -> Request {
    let RawRequest { method, path: _, query, headers, body } = raw;
    Request { method, route: registration.declared.path, params, query, headers, body: Some(body), payment }
}

fn decode(params: Vec<(&str, &str)>) -> Result<Pairs, Refusal> {
    let params = params.into_iter().map(|(name, value)| match form::decode(value) {
        Some(value) => Ok((name.to_owned(), value)),
        None => {
            let message = format!("`{name}` in the path is not percent-encoded UTF-8: write %25 for a percent sign");
            Err(Refusal::bad_request("invalid_path", message).at(format!("/path/{name}"), "encoding"))
        }
    });
    params.collect()
}

/// Adds the endpoint's media type to a success that has a body and names no media type.
fn with_media_type(registration: &Registration, mut response: Response) -> Response {
    let empty = response.body().whole().is_some_and(bytes::Bytes::is_empty);
    if !empty && response.status().as_u16() < 400 && !response.headers().contains_key(CONTENT_TYPE) {
        let mime_type = registration.declared.mime_type;
        match HeaderValue::from_str(mime_type) {
            Ok(value) => drop(response.headers_mut().insert(CONTENT_TYPE, value)),
            Err(_) => log::error(format_args!("{mime_type:?} cannot be a content-type")),
        }
    }
    response
}

fn no_path(raw: &RawRequest) -> Refusal {
    Refusal::not_found("not_found", format!("this plugin serves no {} {}", raw.method, raw.path))
}

impl NotServed {
    fn refusal(self) -> Refusal {
        match self {
            Self::Path(refusal) | Self::Parameter(refusal) => refusal,
            Self::Method(methods) => Refusal::new(
                405,
                "method_not_allowed",
                format!("this path is served with other methods: {}", methods.join(", ")),
            ),
        }
    }

    /// The refusal as a response; a 405 has the header field `Allow` (RFC 9110, section 15.5.6).
    fn response(self) -> Response {
        let allow = match &self {
            Self::Method(methods) => HeaderValue::from_str(&methods.join(", ")).ok(),
            Self::Path(_) | Self::Parameter(_) => None,
        };
        let mut response = self.refusal().response();
        response.headers_mut().extend(allow.map(|allow| (ALLOW, allow)));
        response
    }
}
