//! Finds whether a browser sends a request for a page of another origin (W3C Fetch Metadata).

use axum::http::header::{HOST, HeaderName, ORIGIN, REFERER};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Request};

use crate::operate::pages::is_of_api;

/// The field in which a browser tells the page behind a request (W3C Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The way in which it fetches, and what for.
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

pub(in crate::operate) fn authority(headers: &HeaderMap) -> Option<Authority> {
    headers.get(HOST)?.to_str().ok()?.parse().ok()
}

/// True if a browser sends the request for a page of another origin. Browsers tell the origin of a question without
/// `Sec-Fetch-Site` by `Referer` alone.
pub(super) fn is_of_another_page(headers: &HeaderMap, host: &Authority) -> bool {
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return true;
    }
    let page = headers.get(ORIGIN).or_else(|| headers.get(REFERER).filter(|_| site.is_none()));
    let page = page.map(|page| page.to_str().unwrap_or_default());
    page.is_some_and(|page| {
        let of = page.split_once("://").and_then(|(_, rest)| rest.split('/').next());
        of.is_none_or(|of| !of.eq_ignore_ascii_case(host.as_str()))
    })
}

/// True if a person follows a link to a page of the dashboard, as a document of its own.
pub(super) fn is_link<B>(request: &Request<B>) -> bool {
    let field = |name: &HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    // A browser that does not tell what it fetches for asks for a document, and shows it to no other page.
    let is_document =
        matches!((field(&FETCH_MODE), field(&FETCH_DEST)), (Some(b"navigate"), Some(b"document")) | (None, None));
    let is_question =
        matches!(*request.method(), Method::GET | Method::HEAD) && !request.headers().contains_key(ORIGIN);
    let path = request.uri().path();
    is_document && is_question && !is_of_api(path) && !path.starts_with("/assets/")
}
