//! Answers with a document that the host publishes.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

use super::{Reply, empty, full, with_cors};
use crate::discover::Document;

/// A picture of the operator's that a browser opens by itself runs no script and loads nothing.
const INERT: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");

/// The document, or 304 if the client has it. Every page may read it, unless it is for those of this origin. A cache
/// asks each time whether it is still the same (RFC 9110, section 13.1.2): a price may change at any time.
pub fn document(document: Document, request: &HeaderMap) -> Reply {
    let Document { media_type, body, etag, policy, is_for_every_page } = document;
    let is_known = request.get_all(IF_NONE_MATCH).iter().any(|value| matches(value, &etag));
    let mut reply = Response::new(if is_known { empty() } else { full(body) });
    if is_known {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        if media_type == "image/svg+xml" {
            reply.headers_mut().insert(CONTENT_SECURITY_POLICY, INERT);
        }
        reply.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply.headers_mut().insert(ETAG, etag);
    if let Some(policy) = policy {
        confine(reply.headers_mut(), policy);
    }
    if is_for_every_page { with_cors(reply) } else { reply }
}

/// The 402 of a browser: the page in place of the body of the challenge, whose other headers stay.
pub fn paywall(challenge: Reply, page: Document) -> Reply {
    let mut reply = challenge.map(|_| full(page.body));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, page.media_type);
    // A program gets another body at the same URL.
    headers.append(VARY, HeaderValue::from_static("Accept, User-Agent"));
    if let Some(policy) = page.policy {
        confine(headers, policy);
    }
    reply
}

/// Keeps a page to what its policy allows, and tells the sites that it links to nothing about who came from where.
fn confine(headers: &mut HeaderMap, policy: HeaderValue) {
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// True if a list of tags has this one, or is `*`. Weak tags match, too (RFC 9110, section 13.1.2).
fn matches(list: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(list), Ok(etag)) = (list.to_str(), etag.to_str()) else { return false };
    list.split(',').map(|tag| tag.trim()).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
