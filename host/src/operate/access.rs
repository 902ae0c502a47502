//! Decides who may ask the admin listener.
//!
//! Three dangers. Another machine: a listener that others reach asks for a token. A page in the operator's own browser,
//! whose requests come from the operator's machine: it can send some without leave, and by DNS rebinding (a name of its
//! own that resolves to 127.0.0.1) read the answers. So the request must name a host that is an address, `localhost` or
//! configured, and one that changes something must not come from another origin. A stranger who guesses: the token is
//! compared by its digest, in constant time.

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::api::ApiError;
use crate::config::AdminConfig;
use crate::host::HostError;

/// The shortest token.
const SHORTEST_TOKEN: usize = 16;

/// What a browser says of the page behind a request (W3C Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The conditions under which the admin listener answers.
#[derive(Debug)]
pub struct AdminAccess {
    /// SHA-256 of the token. None: none is asked for.
    token: Option<[u8; 32]>,
    hosts: Vec<String>,
}

impl AdminAccess {
    /// The access that the configuration describes, with its token.
    pub fn new(config: &AdminConfig, token: Option<&str>) -> Self {
        Self { token: token.map(digest), hosts: config.hosts.clone() }
    }

    /// Refuses a request that may not be answered.
    pub(super) fn check(&self, request: &Request<Body>) -> Result<(), ApiError> {
        let headers = request.headers();
        let host = authority(headers).ok_or_else(|| {
            ApiError::new(StatusCode::BAD_REQUEST, "no_host", "the request names no host: send a Host header")
        })?;
        if !self.is_known(host.host()) {
            let message = format!(
                "`{}` is no name of this listener: ask by an address or by localhost, or add the name to `hosts` in [admin]",
                coinslot_base::text::printable(host.host())
            );
            return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", message));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) && is_of_another_page(headers, &host) {
            let message = "a page of another origin may change nothing here";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "cross_origin", message));
        }
        match self.token {
            Some(token) if bearer(headers).map(digest).is_none_or(|given| !is_same(&given, &token)) => {
                let message = "send the token of [admin]: `Authorization: Bearer TOKEN`";
                Err(ApiError::new(StatusCode::UNAUTHORIZED, "token_missing", message))
            }
            _ => Ok(()),
        }
    }

    /// True if no page can have made this name up: an address, `localhost`, or a name of the configuration.
    fn is_known(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        address.parse::<std::net::IpAddr>().is_ok() || host == "localhost" || self.hosts.contains(&host)
    }
}

/// Reads the token that the configuration names.
///
/// # Errors
///
/// The variable or the file is missing, or the token is shorter than 16 characters or not visible ASCII.
pub fn read_token(config: &AdminConfig) -> Result<Option<String>, HostError> {
    let Some(source) = &config.token else { return Ok(None) };
    let failed = |reason: String| HostError::Config(format!("admin: {reason}"));
    let text = crate::host::secret_text(source).map_err(failed)?;
    let token = text.trim();
    if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed(format!(
            "the token needs at least {SHORTEST_TOKEN} characters of visible ASCII: `openssl rand -hex 32` makes one"
        )));
    }
    Ok(Some(token.to_owned()))
}

/// The answer to a request that is not answered for lack of a token says how to send it.
pub(super) fn with_scheme(mut response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"coinslot\""));
    }
    response
}

fn authority(headers: &HeaderMap) -> Option<Authority> {
    headers.get(HOST)?.to_str().ok()?.parse().ok()
}

fn is_of_another_page(headers: &HeaderMap, host: &Authority) -> bool {
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return true;
    }
    let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    origin.is_some_and(|origin| origin.split_once("://").is_none_or(|(_, of)| !of.eq_ignore_ascii_case(host.as_str())))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares in constant time.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(access: &AdminAccess, method: &Method, fields: &[(&str, &str)]) -> Result<(), &'static str> {
        let request = fields
            .iter()
            .fold(Request::builder().method(method), |request, (name, value)| request.header(*name, *value));
        access.check(&request.body(Body::empty()).expect("a request")).map_err(|error| error.code)
    }

    #[test]
    fn a_name_that_a_page_may_own_is_refused() {
        let config = AdminConfig { hosts: vec!["ops.example".to_owned()], ..AdminConfig::default() };
        let access = AdminAccess::new(&config, None);
        for host in ["127.0.0.1:8405", "localhost", "LOCALHOST:1", "[::1]:8405", "10.1.2.3", "ops.example:8405"] {
            assert_eq!(asked(&access, &Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8405"] {
            assert_eq!(asked(&access, &Method::GET, &[("host", host)]), Err("unknown_host"), "{host}");
        }
        assert_eq!(asked(&access, &Method::GET, &[]), Err("no_host"));
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        let access = AdminAccess::new(&AdminConfig::default(), None);
        let host = ("host", "127.0.0.1:8405");
        for fields in [
            &[host][..],
            &[host, ("origin", "http://127.0.0.1:8405")],
            &[host, ("origin", "http://127.0.0.1:8405"), ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(asked(&access, &Method::POST, fields), Ok(()), "{fields:?}");
        }
        for fields in [
            &[host, ("origin", "http://127.0.0.1:8402")][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "https://evil.example")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(asked(&access, &Method::POST, fields), Err("cross_origin"), "{fields:?}");
            assert_eq!(asked(&access, &Method::GET, fields), Ok(()), "a page cannot read the answer: {fields:?}");
        }
    }

    #[test]
    fn a_request_carries_the_token_where_there_is_one() {
        let access = AdminAccess::new(&AdminConfig::default(), Some("correct horse battery"));
        let host = ("host", "127.0.0.1:8405");
        for token in ["Bearer correct horse battery", "bearer  correct horse battery"] {
            assert_eq!(asked(&access, &Method::GET, &[host, ("authorization", token)]), Ok(()), "{token}");
        }
        for token in ["Bearer wrong", "Bearer ", "Basic correct horse battery", "correct"] {
            let given = asked(&access, &Method::GET, &[host, ("authorization", token)]);
            assert_eq!(given, Err("token_missing"), "{token}");
        }
        assert_eq!(asked(&access, &Method::GET, &[host]), Err("token_missing"));
    }
}
