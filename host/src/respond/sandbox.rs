//! Keeps the scripts of a plugin's pages out of the host's origin.
//!
//! All plugins answer under one origin, with the pages of the host, which keep signed payments in the browser and ask its
//! wallet. A script of that origin could read what they keep, buy by a visitor's pass and sign in the host's name. The
//! directive `sandbox` of Content Security Policy (level 3, section 6.3.2) gives a document an origin of its own without
//! changing what it shows. Only what a browser makes a document of has scripts, so other answers have no such field.

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue};

/// All that a page may do on its own, apart from the origin of its address and from leading the whole window away
/// before a person has done anything.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox allow-downloads allow-forms allow-modals allow-orientation-lock allow-pointer-lock allow-popups \
     allow-popups-to-escape-sandbox allow-presentation allow-scripts allow-top-navigation-by-user-activation",
);

/// Media types that no browser makes a document with scripts of, and takes for nothing else: it looks into a body of no
/// or of an unknown type, and so may find HTML (WHATWG MIME Sniffing, section 7). The viewer of a PDF has an origin of its
/// own, and does not show one in a sandbox.
const PASSIVE: &[&str] =
    &["application/json", "application/octet-stream", "application/pdf", "text/event-stream", "text/plain"];

/// Groups of such types. SVG, which has scripts, is an image.
const PASSIVE_GROUPS: &[&str] = &["audio/", "font/", "image/", "video/"];

/// Gives what may become a document an origin of its own, beside the policies that its plugin has written: a browser
/// enforces all of them.
pub(super) fn sandbox(headers: &mut HeaderMap) {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_passive = types.next().is_some_and(is_passive) && types.next().is_none();
    if !is_passive {
        headers.append(CONTENT_SECURITY_POLICY, SANDBOX);
    }
}

fn is_passive(media_type: &HeaderValue) -> bool {
    let Ok(text) = media_type.to_str() else { return false };
    // Browsers read several types in one field, and take the last that they understand.
    if text.contains(',') {
        return false;
    }
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = PASSIVE_GROUPS.iter().find_map(|group| essence.strip_prefix(group));
    subtype.is_some_and(|subtype| !subtype.is_empty() && !subtype.contains("xml"))
        || PASSIVE.contains(&essence.as_str())
        || essence.starts_with("application/") && essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_sandboxed(types: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for media_type in types {
            headers.append(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        sandbox(&mut headers);
        headers.contains_key(CONTENT_SECURITY_POLICY)
    }

    #[test]
    fn whatever_may_become_a_document_with_scripts_has_an_origin_of_its_own() {
        for media_type in [
            "text/html",
            "Text/HTML; charset=utf-8",
            "application/xhtml+xml",
            "application/xml",
            "text/xml",
            "image/svg+xml",
            "IMAGE/SVG+XML",
            "multipart/x-mixed-replace; boundary=a",
            "application/unknown",
            "image/",
            "*/*",
            "",
            "text/plain, text/html",
            "application/json,text/html",
        ] {
            assert!(is_sandboxed(&[media_type]), "{media_type}");
        }
        assert!(is_sandboxed(&[]));
        assert!(is_sandboxed(&["text/plain", "text/html"]));
    }

    #[test]
    fn data_pictures_and_streams_have_no_field_more() {
        for media_type in [
            "application/json",
            "application/problem+json",
            "application/pdf",
            "text/plain; charset=utf-8",
            "image/png",
            "text/event-stream",
        ] {
            assert!(!is_sandboxed(&[media_type]), "{media_type}");
        }
    }

    #[test]
    fn the_policy_of_the_plugin_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
        sandbox(&mut headers);
        assert_eq!(headers.get_all(CONTENT_SECURITY_POLICY).iter().count(), 2);
    }
}
