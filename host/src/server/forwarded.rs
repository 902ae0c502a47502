//! Finds the client's address in `X-Forwarded-For`, trusting named proxies only.
//!
//! The field is a claim: each proxy appends the address that it was asked from, and a client may have written the
//! beginning of it. So the field is read from its end, and an entry is believed for as long as the peer that appended
//! it is a proxy that the operator named. A guest sees such fields only from a named proxy.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The fields that proxies write, and that a guest sees only from a named proxy.
static CLAIMS: [HeaderName; 6] = [
    http::header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// The address of the client. Claims of a peer that is no named proxy are removed.
pub(super) fn client(proxies: &[IpNet], peer: IpAddr, headers: &mut HeaderMap) -> IpAddr {
    let named = |address: IpAddr| proxies.iter().any(|net| net.contains(&address.to_canonical()));
    if !named(peer) {
        for name in &CLAIMS {
            headers.remove(name);
        }
        return peer.to_canonical();
    }
    let mut client = peer.to_canonical();
    let claims: Vec<&str> = headers.get_all(&FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for text in claims.iter().flat_map(|value| value.split(',')).rev() {
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
        let client = client(&proxies, peer.parse().expect("an address"), &mut headers);
        (client.to_string(), headers.contains_key("x-real-ip") && headers.contains_key(&FOR) != said.is_empty())
    }

    #[test]
    fn only_named_proxies_are_believed() {
        assert_eq!(seen("198.51.100.7", &["192.0.2.9"]).0, "198.51.100.7");
        assert!(!seen("198.51.100.7", &["192.0.2.9"]).1, "a guest does not see the claims of an unnamed peer");
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
}
