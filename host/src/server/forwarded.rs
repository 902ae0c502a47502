//! Finds the client's address in `X-Forwarded-For`, trusting named proxies only.
//!
//! The field proves nothing by itself: each proxy appends the address that it was asked from, and a client may have
//! written the beginning of the field. So it is read from its end, and an entry is believed for as long as the peer
//! that appended it is a proxy that the operator named. A guest sees such fields only from a named proxy.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::payment::ClientAddress;

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The fields that proxies write, beside `X-Forwarded-*`, and that a guest sees only from a named proxy.
const PROXY_FIELDS: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "cloudfront-viewer-address",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-url",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
];

/// True for a field by which a proxy tells who asked it, and for what.
pub(super) fn is_proxy_field(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || PROXY_FIELDS.contains(&name.as_str())
}

/// Tells the guest the path that the host has removed before its own, behind what a named proxy has removed: by it the
/// guest can make links that begin with a slash.
pub(super) fn add_prefix(headers: &mut HeaderMap, mount: &str) {
    let before = headers.get(&PREFIX).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Nothing but the characters of a path is in either.
    if let Ok(value) = HeaderValue::try_from(format!("{}{mount}", before.trim_end_matches('/'))) {
        headers.insert(&PREFIX, value);
    }
}

/// Returns true if a named proxy was asked over TLS. None if the peer is no named proxy, or does not say it.
pub(super) fn is_https(proxies: Option<&[IpNet]>, peer: IpAddr, headers: &HeaderMap) -> Option<bool> {
    if is_named(proxies, peer) {
        // The last entry is the proxy's own; a client may have written those before it.
        let said = headers.get_all(&PROTO).iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
        return Some(said.eq_ignore_ascii_case("https"));
    }
    None
}

/// Warns once of a proxy before a host whose public address is not configured: buyers are told to pay for `origin`,
/// which is the address that the proxy asks.
pub(super) fn warn_of_proxy(headers: &HeaderMap, origin: &str) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let is_proxied = headers.contains_key(&PROTO) || headers.contains_key(FORWARDED);
    if is_proxied && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!("a proxy forwards requests, and challenges tell buyers to pay for {origin}: set `public_url`");
    }
}

/// True for a proxy that the operator has named.
pub(super) fn is_named(proxies: Option<&[IpNet]>, address: IpAddr) -> bool {
    proxies.is_some_and(|nets| nets.iter().any(|net| net.contains(&address.to_canonical())))
}

/// The address of the client. The proxy fields of a peer that is no named proxy are removed.
///
/// It proves who the client is only if no proxy can stand for several clients there. `None` for `proxies`: the operator
/// has not named any. Then an address of a private network or of this machine may be a proxy's. A peer that writes
/// proxy fields and is not named, and a named proxy that does not name its client, are proxies in any case.
pub(super) fn client(proxies: Option<&[IpNet]>, peer: IpAddr, headers: &mut HeaderMap) -> ClientAddress {
    let named = |address| is_named(proxies, address);
    if !named(peer) {
        let fields: Vec<HeaderName> = headers.keys().filter(|name| is_proxy_field(name)).cloned().collect();
        let has_proxy_fields = !fields.is_empty();
        for name in fields {
            headers.remove(name);
        }
        let peer = peer.to_canonical();
        return ClientAddress {
            ip: peer,
            proves: !has_proxy_fields && (proxies.is_some() || ClientAddress::of_peer(peer).proves),
        };
    }
    let ip = believed(named, peer.to_canonical(), headers);
    ClientAddress { ip, proves: !named(ip) }
}

/// True if the peer is a client, and not a proxy that forwards requests of several clients, as far as the host can
/// know.
pub(super) fn is_client(proxies: Option<&[IpNet]>, peer: IpAddr) -> bool {
    match proxies {
        Some(_) => !is_named(proxies, peer),
        None => ClientAddress::of_peer(peer).proves,
    }
}

/// The client that the last believed proxy names.
fn believed(named: impl Fn(IpAddr) -> bool, proxy: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut client = proxy;
    let values: Vec<&str> = headers.get_all(&FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for text in values.iter().flat_map(|value| value.split(',')).rev() {
        // An entry that cannot be read ends the chain: the last proxy that was believed counts as the client.
        let Some(address) = address(text.trim()) else { return client };
        client = address;
        if !named(client) {
            return client;
        }
    }
    client
}

/// An address as proxies write it: bare, or with a port, IPv6 then in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |(inside, _)| inside);
    let parsed = bare.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|with| with.ip()));
    parsed.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(peer: &str, said: &[&'static str]) -> (String, bool) {
        let proxies: Vec<IpNet> =
            ["10.0.0.0/8", "fd00::/8"].into_iter().map(|net| net.parse().expect("a network")).collect();
        let mut headers = HeaderMap::new();
        for value in said {
            headers.append(&FOR, HeaderValue::from_static(value));
        }
        headers.insert("x-real-ip", HeaderValue::from_static("192.0.2.1"));
        let client = client(Some(&proxies), peer.parse().expect("an address"), &mut headers);
        (client.ip.to_string(), headers.contains_key("x-real-ip") && headers.contains_key(&FOR) != said.is_empty())
    }

    #[test]
    fn only_a_named_proxy_says_that_its_client_came_by_https() {
        let proxies: Vec<IpNet> = vec!["10.0.0.1/32".parse().expect("a network")];
        for (peer, said, https) in [
            ("10.0.0.1", Some("https"), Some(true)),
            ("10.0.0.1", Some("https, HTTP"), Some(false)),
            ("10.0.0.1", Some("http"), Some(false)),
            ("10.0.0.1", None, None),
            ("10.0.0.2", Some("https"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert(&PROTO, HeaderValue::from_static(said));
            }
            assert_eq!(is_https(Some(&proxies), peer.parse().expect("an address"), &headers), https, "{peer} {said:?}");
        }
    }

    #[test]
    fn no_clients_word_for_an_address_reaches_a_guest() {
        let names = ["True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "X-Original-URL", "X-Forwarded-Prefix"];
        let mut headers: HeaderMap = names
            .iter()
            .map(|name| (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_static("192.0.2.1")))
            .collect();
        client(None, "198.51.100.7".parse().expect("an address"), &mut headers);
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn only_named_proxies_are_believed() {
        assert_eq!(seen("198.51.100.7", &["192.0.2.9"]).0, "198.51.100.7");
        assert!(!seen("198.51.100.7", &["192.0.2.9"]).1, "a guest does not see the proxy fields of an unnamed peer");
        assert_eq!(seen("10.0.0.1", &["192.0.2.9"]), ("192.0.2.9".to_owned(), true));
        assert_eq!(seen("::ffff:10.0.0.1", &["192.0.2.9"]).0, "192.0.2.9");
        assert_eq!(seen("10.0.0.1", &[]).0, "10.0.0.1");
    }

    #[test]
    fn an_entry_that_a_client_wrote_is_not_believed() {
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 192.0.2.9, 10.2.2.2"]).0, "192.0.2.9");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1", "192.0.2.9"]).0, "192.0.2.9", "several fields are one list");
        assert_eq!(seen("10.0.0.1", &["192.0.2.9, unknown"]).0, "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:4711"]).0, "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["192.0.2.9:4711, 10.0.0.9:80"]).0, "192.0.2.9");
    }

    #[test]
    fn an_address_that_may_be_a_proxys_proves_nothing() {
        let named: Vec<IpNet> = vec!["10.0.0.1/32".parse().expect("a network")];
        let none = Vec::new();
        // The proxies that the operator named, the peer, X-Forwarded-For, and whether the address proves the client.
        for (proxies, peer, said, proves) in [
            (None, "198.51.100.7", None, true),
            (None, "198.51.100.7", Some("192.0.2.9"), false),
            (None, "127.0.0.1", None, false),
            (None, "10.0.0.1", None, false),
            (None, "::1", None, false),
            (None, "fd00::1", None, false),
            (Some(&none), "127.0.0.1", None, true),
            (Some(&none), "127.0.0.1", Some("192.0.2.9"), false),
            (Some(&named), "10.0.0.1", Some("192.0.2.9"), true),
            (Some(&named), "10.0.0.1", Some("10.0.0.9"), true),
            (Some(&named), "10.0.0.1", None, false),
            (Some(&named), "10.0.0.1", Some("unknown"), false),
            (Some(&named), "10.0.0.9", None, true),
            (Some(&named), "10.0.0.9", Some("192.0.2.9"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert(&FOR, HeaderValue::from_static(said));
            }
            let client = client(proxies.map(Vec::as_slice), peer.parse().expect("an address"), &mut headers);
            assert_eq!(client.proves, proves, "{proxies:?} {peer} {said:?}");
        }
    }
}
