//! The endpoints that the attribute has registered: what they declare, and which one a request meets.
//!
//! The host has routed a request before it comes here; matching it again costs less than trusting
//! that two sides agree. Invariant: the order of endpoints is that of their paths and methods, so
//! `describe` answers the same each time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};

use crate::answer::{Refusal, Response};
use crate::body::Body;
use crate::extract::{PaymentSource, Request};
use crate::form::{self, Pairs};
use crate::schema::{SchemaError, Schemas};
use crate::{Amount, log};

/// A running endpoint. It answers a refusal apart, because a refusal has its own media type.
pub type Serving = Pin<Box<dyn Future<Output = Result<Response, Refusal>>>>;
/// A running quote, which never waits.
pub type Quoting = Pin<Box<dyn Future<Output = Result<Amount, Refusal>>>>;

/// What one attribute registers.
pub struct Endpoint {
    pub method: &'static str,
    pub path: &'static str,
    pub price: Price,
    pub summary: &'static str,
    pub description: &'static str,
    pub mime_type: &'static str,
    pub flow: Option<&'static str>,
    pub package: &'static str,
    pub version: &'static str,
    pub serve: fn(Request) -> Serving,
    pub quote: fn(Request) -> Quoting,
    pub describe: fn(&mut Schemas),
}

inventory::collect!(Endpoint);

/// As `coinslot:plugin/manifest.price`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    Free,
    Exact(&'static str),
    UpTo(&'static str),
    Quoted(&'static str),
}

/// What `describe` answers, before it has the contract's types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub endpoints: Vec<Declared>,
}

/// One endpoint of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    pub method: &'static str,
    pub path: &'static str,
    pub price: Price,
    pub summary: &'static str,
    pub description: &'static str,
    pub mime_type: &'static str,
    pub flow: Option<&'static str>,
    pub input_schema: Option<String>,
    pub output_schema: Option<String>,
}

/// Why this plugin cannot be loaded: mistakes that no single attribute shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescribeError {
    /// No function has the attribute.
    NoEndpoint,
    /// A library that the plugin links has endpoints too.
    TwoPackages { one: &'static str, other: &'static str },
    /// The package's name cannot be a plugin's.
    BadName { name: String },
    /// The types of an endpoint have no usable schema.
    Schema { method: &'static str, path: &'static str, error: SchemaError },
}

/// All endpoints, in order.
fn endpoints() -> Vec<&'static Endpoint> {
    let mut all: Vec<_> = inventory::iter::<Endpoint>.into_iter().collect();
    all.sort_by_key(|endpoint| (endpoint.path, endpoint.method));
    all
}

pub(crate) fn describe() -> Result<Manifest, DescribeError> {
    let all = endpoints();
    let first = *all.first().ok_or(DescribeError::NoEndpoint)?;
    if let Some(other) = all.iter().find(|endpoint| endpoint.package != first.package) {
        return Err(DescribeError::TwoPackages { one: first.package, other: other.package });
    }
    let name = first.package.to_ascii_lowercase().replace('_', "-");
    if name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(DescribeError::BadName { name });
    }
    let endpoints = all.into_iter().map(Endpoint::declare).collect::<Result<_, _>>()?;
    Ok(Manifest { name, version: first.version.to_owned(), endpoints })
}

/// Runs the endpoint that the request meets.
///
/// `path` is as the client sent it, percent-encoded.
pub(crate) async fn serve(
    method: Method,
    path: &str,
    query: Option<String>,
    headers: HeaderMap,
    body: Body,
    payment: PaymentSource,
) -> Response {
    let (endpoint, raw) = match find(&endpoints(), &method, path) {
        Some(found) => found,
        None => return not_found(&method, path).response(),
    };
    let params = match decode(raw) {
        Ok(params) => params,
        Err(refusal) => return refusal.response(),
    };
    let route = endpoint.path;
    let request = Request { method, route, params, query, headers, body: Some(body), payment };
    match (endpoint.serve)(request).await {
        Ok(response) => endpoint.with_media_type(response),
        Err(refusal) => refusal.response(),
    }
}

/// As the host asks: finds the endpoint that the path meets, then its quote.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn quote_path(
    method: Method,
    path: &str,
    query: Option<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Amount, Refusal> {
    let (endpoint, raw) = find(&endpoints(), &method, path).ok_or_else(|| not_found(&method, path))?;
    quote(method, endpoint.path, decode(raw)?, query, headers, body)
}

/// Asks the endpoint with this very template what the request costs.
pub(crate) fn quote(
    method: Method,
    route: &str,
    params: Pairs,
    query: Option<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Amount, Refusal> {
    let all = endpoints();
    let endpoint = all.iter().find(|endpoint| endpoint.method == method.as_str() && endpoint.path == route);
    let endpoint = endpoint.ok_or_else(|| not_found(&method, route))?;
    let route = endpoint.path;
    let request = Request { method, route, params, query, headers, body: Some(body), payment: PaymentSource::Nobody };
    let mut quoting = (endpoint.quote)(request);
    let quoted = match quoting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(quoted) => quoted,
        // Every extractor of this crate is ready at once when the body is whole.
        Poll::Pending => {
            panic!("an argument of {} {} waits for something; a quote cannot", endpoint.method, endpoint.path)
        }
    };
    match quoted {
        Ok(amount) if Amount::parse(amount.as_str()).is_err() => {
            panic!("`quote` of {} {} answered {amount:?}, which is not an amount", endpoint.method, endpoint.path)
        }
        Err(refusal) if refusal.status() >= 500 => {
            panic!("a quote refuses with 400 to 499; {} {} answered {refusal}", endpoint.method, endpoint.path)
        }
        quoted => quoted,
    }
}

impl Endpoint {
    fn declare(&self) -> Result<Declared, DescribeError> {
        let mut schemas = Schemas::new();
        (self.describe)(&mut schemas);
        let params: Vec<_> = self.path.split('/').filter_map(parameter).map(|(name, _)| name).collect();
        let (input_schema, output_schema) = schemas.finish(&params).map_err(|error| DescribeError::Schema {
            method: self.method,
            path: self.path,
            error,
        })?;
        Ok(Declared {
            method: self.method,
            path: self.path,
            price: self.price,
            summary: self.summary,
            description: self.description,
            mime_type: self.mime_type,
            flow: self.flow,
            input_schema,
            output_schema,
        })
    }

    /// Fills in the media type of a success that names none and has something to name.
    fn with_media_type(&self, mut response: Response) -> Response {
        let empty = response.body().whole().is_some_and(bytes::Bytes::is_empty);
        if !empty && response.status().as_u16() < 400 && !response.headers().contains_key(CONTENT_TYPE) {
            match HeaderValue::from_str(self.mime_type) {
                Ok(value) => drop(response.headers_mut().insert(CONTENT_TYPE, value)),
                Err(_) => log::error(format_args!("{:?} cannot be a content-type", self.mime_type)),
            }
        }
        response
    }
}

/// The most specific endpoint for a path, and its parameters as they stand in it: literal segments
/// before parameters before the rest, from left to right.
fn find<'p>(
    all: &[&'static Endpoint],
    method: &Method,
    path: &'p str,
) -> Option<(&'static Endpoint, Vec<(&'static str, &'p str)>)> {
    let candidates = all.iter().filter(|endpoint| endpoint.method == method.as_str());
    let matches = candidates.filter_map(|endpoint| Some((*endpoint, capture(endpoint.path, path)?)));
    matches.min_by_key(|(endpoint, _)| {
        let rank = |segment| parameter(segment).map_or(0, |(_, rest)| 1 + u8::from(rest));
        endpoint.path.split('/').map(rank).collect::<Vec<u8>>()
    })
}

/// The parameters' values if the path fits the template. A parameter is never empty.
fn capture<'p>(template: &'static str, path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
    let mut params = Vec::new();
    let mut rest = path.strip_prefix('/')?;
    let mut segments = template.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        if let Some((name, true)) = parameter(segment) {
            params.push((name, rest));
            return (!rest.is_empty()).then_some(params);
        }
        let (value, after) = match rest.split_once('/') {
            Some((value, after)) => (value, Some(after)),
            None => (rest, None),
        };
        match parameter(segment) {
            Some((name, _)) if !value.is_empty() => params.push((name, value)),
            None if segment == value => {}
            _ => return None,
        }
        match (after, segments.peek()) {
            (Some(after), Some(_)) => rest = after,
            (None, None) => return Some(params),
            _ => return None,
        }
    }
    None
}

/// `{name}` or `{*name}`: the name, and whether it takes the rest.
fn parameter(segment: &'static str) -> Option<(&'static str, bool)> {
    let inner = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(match inner.strip_prefix('*') {
        Some(name) => (name, true),
        None => (inner, false),
    })
}

fn decode(raw: Vec<(&'static str, &str)>) -> Result<Pairs, Refusal> {
    raw.into_iter()
        .map(|(name, value)| match form::decode(value, false) {
            Ok(value) => Ok((name.to_owned(), value)),
            Err(error) => Err(Refusal::bad_request("invalid_path", format!("`{name}` in the path: {error}"))),
        })
        .collect()
}

fn not_found(method: &Method, path: &str) -> Refusal {
    Refusal::not_found("not_found", format!("this plugin serves no {method} {path}"))
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({} {} {:?})", self.method, self.path, self.price)
    }
}

impl fmt::Display for DescribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str("no function of this plugin has the attribute #[endpoint(..)]"),
            Self::TwoPackages { one, other } => {
                write!(
                    f,
                    "the packages {one} and {other} both have endpoints, but a plugin has one name: move them into one"
                )
            }
            Self::BadName { name } => {
                write!(
                    f,
                    "a plugin's name starts with a letter and has at most 64 characters; rename the package {name:?}"
                )
            }
            Self::Schema { method, path, error } => write!(f, "{method} {path}: {error}"),
        }
    }
}

impl std::error::Error for DescribeError {}
