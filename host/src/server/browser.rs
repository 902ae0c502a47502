//! Tells a person's browser, which gets a page where a request has to be paid, from programs.

use coinslot_x402::header::is_payment_header;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request};

/// Says what a browser wants with a request (Fetch metadata): `navigate` is a link, a form or the bar of addresses.
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The media types of the forms that a browser sends by itself.
const FORMS: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// True for a person who opens a URL or sends a form: what stock servers take for a browser, `text/html` in `Accept`
/// and `Mozilla` in `User-Agent`, and neither a payment nor the call of a page's script.
pub(super) fn shows_pages<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    // The first look tells most programs.
    has(headers.get(ACCEPT), "text/html")
        && has(headers.get(USER_AGENT), "Mozilla")
        && (*request.method() == Method::GET || (*request.method() == Method::POST && is_form(headers)))
        && headers.get(&SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate")
        && !headers.keys().any(|name| is_payment_header(name.as_str()))
}

fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    FORMS.iter().any(|form| essence.eq_ignore_ascii_case(form))
}

fn has(value: Option<&HeaderValue>, text: &str) -> bool {
    value.and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: [(&str, &str); 2] =
        [("accept", "text/html,application/xhtml+xml,*/*;q=0.8"), ("user-agent", "Mozilla/5.0 (X11) Firefox/140.0")];

    #[track_caller]
    fn check(method: &str, headers: &[(&'static str, &str)], expected: bool) {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        assert_eq!(shows_pages(&request.body(()).expect("a request")), expected, "{method} {headers:?}");
    }

    #[test]
    fn people_are_told_from_programs() {
        let with = |more: (&'static str, &'static str)| [BROWSER[0], BROWSER[1], more];
        check("GET", &BROWSER, true);
        check("GET", &with(("sec-fetch-mode", "navigate")), true);
        check("POST", &with(("content-type", "application/x-www-form-urlencoded")), true);
        check("POST", &with(("content-type", "Multipart/Form-Data; boundary=x")), true);
        for program in [&BROWSER[..1], &BROWSER[1..], &[("accept", "*/*"), ("user-agent", "curl/8.5.0")]] {
            check("GET", program, false);
        }
        check("GET", &[("accept", "*/*"), BROWSER[1]], false);
        check("HEAD", &BROWSER, false);
        check("PUT", &BROWSER, false);
        check("POST", &BROWSER, false);
        check("POST", &with(("content-type", "application/json")), false);
        check("GET", &with(("sec-fetch-mode", "cors")), false);
        check("GET", &with(("payment-signature", "")), false);
        check("GET", &with(("x-payment", "e30=")), false);
    }
}
