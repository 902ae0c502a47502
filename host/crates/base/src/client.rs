//! Tells clients apart by their addresses, where an address belongs to one client.

use std::net::{IpAddr, Ipv4Addr};

/// True if the address tells one client from another. An address of a private network or of this machine may be that of
/// a proxy, which asks for all its clients.
///
/// This is no rule about what the Internet reaches: that of the egress of plugins refuses every special-purpose range.
pub fn is_of_one_client(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || is_shared(v4))
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local())
        }
    }
}

/// True for an address that providers share between subscribers (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && (64..128).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_private_network_or_of_this_machine_may_be_a_proxys() {
        let is_of_one = |text: &str| is_of_one_client(text.parse().expect("an address"));
        for text in
            ["10.0.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"]
        {
            assert!(!is_of_one(text), "{text}");
        }
        // Those of documentation are as good as others here: nobody reaches them, and whoever has one is one client.
        for text in ["9.9.9.9", "100.128.0.1", "192.0.2.1", "2001:db8::1", "2606:4700::1111", "::ffff:9.9.9.9"] {
            assert!(is_of_one(text), "{text}");
        }
    }
}
