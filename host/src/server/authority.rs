//! Checks the host that a request names: RFC 9112, section 3.2.

use std::time::{Duration, Instant};

use http::Request;
use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use parking_lot::Mutex;

use crate::respond::Unroutable;

/// The host names that are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// No public address is configured. A request may name any host, and the name is used for nothing.
    Any,
    /// These names, in any case, each with the port that clients write.
    Only(Vec<String>),
}

/// The pause between two lines of the log about hosts that are not served: strangers ask for any name.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// The longest part of a foreign host name that is repeated.
const MAX_NAME: usize = 100;

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
            return Err(misdirected(text, names));
        }
        match header {
            Some(header) if target.is_none() => Ok(header.clone()),
            _ => HeaderValue::from_str(text).map_err(|_| NOT_A_HOST),
        }
    }
}

/// The answer to a request for a host that is not served. The log has it, too: most often a proxy has put its own name
/// in the place of the client's.
fn misdirected(named: &str, served: &[String]) -> Unroutable {
    static LOGGED: Mutex<Option<Instant>> = Mutex::new(None);
    let named: String = named.chars().take(MAX_NAME).collect();
    let served = served.first().cloned().unwrap_or_default();
    let mut logged = LOGGED.lock();
    if logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
        *logged = Some(Instant::now());
        tracing::warn!(
            host = %named,
            public = %served,
            "a request for another host name was refused with 421: let the proxy pass on the Host header, or add the \
             name to `hosts`"
        );
    }
    Unroutable::Misdirected { named, served }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_host_is_named_with_the_one_that_is_served() {
        let hosts = Hosts::Only(vec!["api.example.com".to_owned()]);
        let request = Request::get("/x").header(HOST, "127.0.0.1:8402").body(()).expect("a request");
        let Err(Unroutable::Misdirected { named, served }) = hosts.authority(&request) else {
            panic!("it is not served here")
        };
        assert_eq!((named.as_str(), served.as_str()), ("127.0.0.1:8402", "api.example.com"));
        let long = Request::get("/x").header(HOST, "a".repeat(5_000)).body(()).expect("a request");
        let Err(Unroutable::Misdirected { named, .. }) = hosts.authority(&long) else {
            panic!("it is not served here")
        };
        assert_eq!(named.len(), MAX_NAME);
    }
}
