//! Tells public addresses from those of private networks and special purposes, and of clouds' metadata services.
//!
//! An address that is not known to be public is not public. Of IPv6 only global unicast counts. Addresses that embed
//! an IPv4 address are judged by it, or refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True for an address that is reachable from the whole Internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// True for an address of this machine or of a private network, which an operator may allow.
///
/// Addresses at which clouds serve the machine's credentials are not among them, link-local ones included.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        address if is_metadata(address) => false,
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            address.is_loopback() || address.is_private() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

/// True for an address at which a cloud serves credentials or the configuration of its machines, link-local ones included.
/// Only an entry that is this very address allows it.
pub(crate) fn serves_credentials(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local || is_metadata(address)
}

/// True for such an address that is not link-local.
fn is_metadata(address: IpAddr) -> bool {
    match address {
        // Azure's WireServer, Alibaba, Oracle's older one.
        IpAddr::V4(address) => {
            matches!(address.octets(), [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, 192])
        }
        // Amazon (metadata, time, names, and credentials of containers), Google, Scaleway.
        IpAddr::V6(address) => matches!(
            address.segments(),
            [0xfd00, 0xec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]
        ),
    }
}

/// By IANA's registry of special-purpose IPv4 addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    if is_metadata(address.into()) {
        return false;
    }
    let special = match address.octets() {
        // This network, private, shared (CGNAT), loopback, link-local, private.
        [0 | 10 | 127, ..] | [100, 64..128, ..] | [169, 254, ..] | [172, 16..32, ..] | [192, 168, ..] => true,
        // Protocol assignments, documentation, the relay of 6to4, benchmarks.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => true,
        // Multicast and reserved, broadcast included.
        [224..=255, ..] => true,
        _ => false,
    };
    !special
}

/// By IANA's registry of special-purpose IPv6 addresses.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // NAT64 (RFC 6052) leads to the IPv4 address at its end.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocol assignments (Teredo among them), documentation twice, 6to4.
        [0x2001, 0..0x200, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] | [0x2002, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn no_special_address_is_public() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "168.63.129.16",
            "64:ff9b::a83f:8110",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_internet_is_public_up_to_the_edges() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2606:4700::1111",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn metadata_services_are_not_private_networks() {
        for text in [
            "169.254.169.254",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "100.100.100.200",
            "168.63.129.16",
            "fe80::1",
            "::ffff:169.254.169.254",
        ] {
            let address = text.parse().unwrap();
            assert!(!is_private(address) && serves_credentials(address), "{text}");
        }
        for text in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "::1", "fd12::1", "::ffff:10.0.0.1"] {
            let address = text.parse().unwrap();
            assert!(is_private(address) && !serves_credentials(address), "{text}");
        }
    }
}
