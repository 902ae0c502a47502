//! Checks the host that a request names: RFC 9112, section 3.2.

use http::Request;
use http::header::{HOST, HeaderValue};
use http::uri::Authority;

use crate::respond::Unroutable;

/// The host names that are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// No public address is configured. A request may name any host, and the name is used for nothing.
    Any,
    /// These names, in any case, each with the port that clients write.
    Only(Vec<String>),
}

const NOT_A_HOST: Unroutable = Unroutable::Host("the Host header is not a host name");

impl Hosts {
    /// The host that the client means. It is only checked: no URL is ever made of it.
    pub(super) fn authority<B>(&self, request: &Request<B>) -> Result<HeaderValue, Unroutable> {
        let mut named = request.headers().get_all(HOST).iter();
        let header = named.next();
        if named.next().is_some() {
            return Err(Unroutable::Host("more than one Host header: send one"));
        }
        let target = request.uri().authority().map(Authority::as_str);
        let text = match (target, header.map(HeaderValue::to_str)) {
            (_, Some(Err(_))) => return Err(NOT_A_HOST),
            (Some(target), Some(Ok(header))) if !target.eq_ignore_ascii_case(header) => {
                return Err(Unroutable::Host("the request target and the Host header name different hosts"));
            }
            (Some(target), _) => target,
            (None, Some(Ok(header))) => header,
            (None, None) => return Err(Unroutable::Host("there is no Host header: send one")),
        };
        let parsed: Authority = text.parse().map_err(|_| NOT_A_HOST)?;
        if text.contains('@') || parsed.host().is_empty() {
            return Err(NOT_A_HOST);
        }
        if let Self::Only(names) = self
            && !names.iter().any(|name| name.eq_ignore_ascii_case(text))
        {
            return Err(Unroutable::Misdirected);
        }
        match header {
            Some(header) if target.is_none() => Ok(header.clone()),
            _ => HeaderValue::from_str(text).map_err(|_| NOT_A_HOST),
        }
    }
}
