//! Lets pages of every origin call the host.
//!
//! The payment is the credential; cookies are not, so no page is given more than any program has. A page may therefore
//! send every header field, and read every one.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ALLOW, HeaderMap, HeaderName, HeaderValue,
};
use http::{Method, Response, StatusCode};

use super::{Reply, allow, empty};

// Static, because a name is looked up and hashed each time that it is made.
static ALLOW_ORIGIN: HeaderName = HeaderName::from_static("access-control-allow-origin");
static EXPOSE_HEADERS: HeaderName = HeaderName::from_static("access-control-expose-headers");

/// The header fields that a page may send, if its preflight names none. The official clients set
/// Access-Control-Expose-Headers on the paid *request*.
const ALLOWED: HeaderValue = HeaderValue::from_static(
    "PAYMENT-SIGNATURE, X-PAYMENT, SIGN-IN-WITH-X, X-API-Key, Content-Type, Authorization, Accept, \
     Access-Control-Expose-Headers",
);

/// Sent by some browsers before a page of the Internet calls an address of a private network, and the answer.
static ASKS_FOR_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
static ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The longest list of header fields that is repeated, in bytes.
const MAX_LIST: usize = 2048;

/// The time for which a browser keeps a preflight's answer, in seconds: a plugin may get other methods meanwhile.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// `OPTIONS`, answered by the host: it never costs and never runs a guest. `from_outside`: pages of the Internet may
/// call a host in a private network.
pub fn options(methods: &[Method], request: &HeaderMap, from_outside: bool) -> Reply {
    let mut reply = Response::new(empty());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(ALLOW, allow(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, allow(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(request));
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if from_outside && request.contains_key(&ASKS_FOR_PRIVATE_NETWORK) {
        headers.insert(&ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    with_cors(reply)
}

/// The header fields that a page may send: those that its preflight names.
///
/// They are repeated rather than answered with `*`, which does not stand for `Authorization`.
fn allowed_headers(request: &HeaderMap) -> HeaderValue {
    let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS);
    asked.filter(|list| is_list_of_names(list.as_bytes())).cloned().unwrap_or(ALLOWED)
}

fn is_list_of_names(list: &[u8]) -> bool {
    !list.is_empty()
        && list.len() <= MAX_LIST
        && list.split(|byte| *byte == b',').all(|name| HeaderName::from_bytes(name.trim_ascii()).is_ok())
}

/// Lets every page read the answer. `*` stands for every field, and the names are for browsers that do not know it.
pub(super) fn with_cors(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(&ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        &EXPOSE_HEADERS,
        HeaderValue::from_static(
            "*, PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, X-Coinslot-Payment-Id, X-Coinslot-Charged, \
              X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate",
        ),
    );
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_send_the_header_fields_that_it_asks_for() {
        let answer = |asked: &'static str| {
            let request = HeaderMap::from_iter([(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(asked))]);
            let reply = options(&[Method::GET], &request, false);
            assert_eq!(reply.headers()["access-control-max-age"], "600");
            reply.headers()["access-control-allow-headers"].clone()
        };
        for asked in ["traceparent, baggage", "x-request-id", "authorization,idempotency-key"] {
            assert_eq!(answer(asked), asked);
        }
        for asked in ["", "a b", "x-a,,x-b", "x-a;q=1"] {
            assert_eq!(answer(asked), ALLOWED, "{asked:?}");
        }
        let bare = options(&[], &HeaderMap::new(), false);
        assert_eq!(bare.headers()["access-control-allow-headers"], ALLOWED);
    }

    #[test]
    fn pages_of_the_internet_call_a_private_network_only_where_the_operator_allows_it() {
        let asks = HeaderMap::from_iter([(ASKS_FOR_PRIVATE_NETWORK.clone(), HeaderValue::from_static("true"))]);
        let allowed = |request, from_outside| {
            options(&[Method::GET], request, from_outside).headers().contains_key(&ALLOW_PRIVATE_NETWORK)
        };
        assert!(allowed(&asks, true) && !allowed(&asks, false) && !allowed(&HeaderMap::new(), true));
    }
}
