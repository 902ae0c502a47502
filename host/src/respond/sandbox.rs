//! Keeps the scripts of a plugin's pages out of the host's origin.
//!
//! All plugins answer under one origin, with the pages of the host, which keep signed payments in the browser and ask its
//! wallet. A script of that origin could read what they keep, buy by a visitor's pass and sign in the host's name. The
//! directive `sandbox` of Content Security Policy (level 3, section 6.3.2) gives a document an origin of its own without
//! changing what it shows.
//!
//! Every answer has it, whatever its type and status. Browsers read types in their own ways, keep the policy of a 304 for
//! the document that they have, and do what `Link` and `Refresh` say for texts and pictures, too.

use http::header::{CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue};

/// All that a page may do on its own, apart from the origin of its address.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox allow-downloads allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-scripts",
);

/// Gives a document an origin of its own, beside the policies that its plugin has written: a browser enforces all of them.
pub(super) fn sandbox(headers: &mut HeaderMap) {
    headers.append(CONTENT_SECURITY_POLICY, SANDBOX);
}
