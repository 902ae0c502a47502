//! Reads the id and the trace that a request comes with, and writes those that its guest sees.
//!
//! Both are believed from the proxies that the operator has named, and from nobody else: an id of a stranger would put
//! its text into the books, and its sampled flag would make other servers record what nobody asked for. So a stranger
//! gets an id of the host, and its trace goes on with the flag cleared.

use coinslot_base::request_id::RequestId;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::payment::RequestTrace;

/// The field that names a request.
pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest state of a trace that is passed on. W3C Trace Context, section 3.3.1.5: at least 512 characters.
const MAX_STATE: usize = 512;

/// The id by which a named proxy calls a request. None if it names none, or several, or what is no id.
pub(super) fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    let mut said = headers.get_all(&REQUEST_ID).iter();
    let first = said.next()?;
    if said.next().is_some() { None } else { RequestId::parse(first.as_bytes()) }
}

/// Removes a state of a trace that is longer than any that is passed on: a span that waits for its collector keeps it, and
/// there are thousands of these.
pub(super) fn bound_state(headers: &mut HeaderMap) {
    let length = headers.get_all(&TRACESTATE).iter().map(|state| state.len() + 1).sum::<usize>();
    if length > MAX_STATE {
        headers.remove(&TRACESTATE);
    }
}

/// Writes the id and the trace into the request of a guest: those of a sampled request are the host's own.
pub(super) fn prepare(headers: &mut HeaderMap, is_trusted: bool, trace: &RequestTrace) {
    if let Some(id) = RequestId::current()
        && let Ok(value) = HeaderValue::from_bytes(id.as_bytes())
    {
        headers.insert(&REQUEST_ID, value);
    }
    if let Some(spans) = trace.spans() {
        headers.remove(&TRACESTATE);
        headers.extend(spans.headers());
        return;
    }
    let Some(parent) = headers.get(&TRACEPARENT) else {
        headers.remove(&TRACESTATE);
        return;
    };
    let is_one = headers.get_all(&TRACEPARENT).iter().nth(1).is_none();
    let passed = parent.as_bytes().try_into().ok().filter(|_| is_one).and_then(|text| passed_on(text, is_trusted));
    match passed {
        Some(parent) => {
            headers.insert(&TRACEPARENT, parent);
            bound_state(headers);
        }
        None => {
            headers.remove(&TRACEPARENT);
            headers.remove(&TRACESTATE);
        }
    }
}

/// The parent as it is passed on: version 00, and without its flags from a stranger. None if it is no parent.
fn passed_on(text: &[u8; 55], is_trusted: bool) -> Option<HeaderValue> {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &[u8]| is_hex(part) && part.iter().any(|byte| *byte != b'0');
    let is_parent = text.starts_with(b"00-")
        && is_id(&text[3..35])
        && text[35] == b'-'
        && is_id(&text[36..52])
        && text[52] == b'-'
        && is_hex(&text[53..]);
    let mut passed = *text;
    if !is_trusted {
        passed[53..].copy_from_slice(b"00");
    }
    is_parent.then(|| HeaderValue::from_bytes(&passed).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn passed(parents: &[&'static str], state: &'static str, is_trusted: bool) -> (Option<String>, bool) {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(&TRACEPARENT, HeaderValue::from_static(parent));
        }
        headers.insert(&TRACESTATE, HeaderValue::from_static(state));
        prepare(&mut headers, is_trusted, &RequestTrace::default());
        let parent = headers.get(&TRACEPARENT).map(|parent| parent.to_str().expect("text").to_owned());
        (parent, headers.contains_key(&TRACESTATE))
    }

    #[test]
    fn the_flag_of_a_stranger_is_cleared_and_its_trace_goes_on() {
        assert_eq!(passed(&[PARENT], "a=1", true), (Some(PARENT.to_owned()), true));
        assert_eq!(passed(&[PARENT], "a=1", false), (Some(PARENT.replace("-01", "-00")), true));
    }

    #[test]
    fn what_is_no_parent_is_not_passed_on() {
        for parent in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "no parent",
        ] {
            assert_eq!(passed(&[parent], "a=1", true), (None, false), "{parent}");
        }
        assert_eq!(passed(&[], "a=1", true), (None, false), "a state without its parent");
        assert_eq!(passed(&[PARENT, PARENT], "a=1", true), (None, false), "two parents");
        let long: &'static str = String::leak("a=".to_owned() + &"x".repeat(600));
        assert_eq!(passed(&[PARENT], long, true), (Some(PARENT.to_owned()), false));
    }

    #[test]
    fn one_id_is_taken_and_no_other() {
        let read = |ids: &[&'static str]| {
            let ids = ids.iter().map(|id| (REQUEST_ID.clone(), HeaderValue::from_static(id)));
            request_id(&HeaderMap::from_iter(ids)).map(|id| id.to_string())
        };
        assert_eq!(read(&["7b1c"]).as_deref(), Some("7b1c"));
        assert_eq!((read(&["a b"]), read(&[])), (None, None));
        // `from_iter` keeps the last of two values, and `append` both.
        let mut two = HeaderMap::new();
        two.append(&REQUEST_ID, HeaderValue::from_static("a"));
        two.append(&REQUEST_ID, HeaderValue::from_static("b"));
        assert_eq!(request_id(&two), None);
    }
}
