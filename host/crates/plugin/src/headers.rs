//! The header fields that do not pass between guests, clients and other servers.

use http::{HeaderMap, HeaderName, header};

/// Names the servers that a request has been through (RFC 8586). Guests neither see nor set it.
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The field by which an SDK says that its answer of status 500 stands for an error that the plugin's code does not
/// handle. The value means nothing. No client receives the field.
pub const FAILED: HeaderName = HeaderName::from_static("x-coinslot-failed");

/// Fields that belong to a connection (RFC 9110, section 7.6.1), to the host's routing, or to a proxy's credential.
const WITHHELD: [HeaderName; 11] = [
    header::CONNECTION,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    CDN_LOOP,
];

/// True for a field that a guest cannot set, and that is removed from every message that it is given or sends, headers
/// and trailers.
pub(crate) fn is_withheld(name: &HeaderName) -> bool {
    WITHHELD.contains(name)
}

/// True for a field that is removed from the answers of other servers, headers and trailers. A guest that passes such an
/// answer on would call itself failed by the mark of an SDK.
pub(crate) fn is_kept_from_callers(name: &HeaderName) -> bool {
    is_withheld(name) || *name == FAILED
}

/// Tells the fields that only the host may write, by the rule of the host's own protocol. They are removed from a
/// client's request before a guest sees it, and from a guest's outgoing requests.
pub type HostOnly = fn(&HeaderName) -> bool;

/// True for a field of a client's request that is kept from the guest, which is asked for a price or for the response.
/// Beside the withheld fields these are fields that only the host may write: from a client they prove nothing, and a
/// guest could take them for a receipt. Cookies are kept from guests, too: plugins set none, so they belong to other
/// pages of the operator.
pub(crate) fn is_kept_from_guests(name: &HeaderName, is_host_only: HostOnly) -> bool {
    is_withheld(name) || is_host_only(name) || *name == header::COOKIE
}

/// Removes the fields that match.
pub(crate) fn remove(headers: &mut HeaderMap, matches: impl Fn(&HeaderName) -> bool) {
    let removed: Vec<HeaderName> = headers.keys().filter(|name| matches(name)).cloned().collect();
    for name in removed {
        headers.remove(name);
    }
}
