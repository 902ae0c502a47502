//! Tells clients apart by their addresses, where an address belongs to one client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    pub ip: IpAddr,
    /// Set if the address is that of this client alone, as far as the host can know: then a client without a secret is
    /// known again by it.
    pub proves: bool,
}

impl ClientAddress {
    /// The address of a peer of a host whose operator has not named the proxies: an address of a private network or of
    /// this machine may be a proxy's.
    pub fn of_peer(ip: IpAddr) -> Self {
        Self { ip, proves: is_public(ip) }
    }

    /// The network of the client.
    pub(crate) fn network(self) -> IpAddr {
        prefix_of(self.ip)
    }
}

/// True if the address tells one client from another. An address of a private network or of this machine may be that of
/// a proxy, which asks for all its clients.
pub(super) fn is_public(address: IpAddr) -> bool {
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

/// The network that one client has: its address, or the /64 of an IPv6 address, all of which one subscriber has.
pub(crate) fn prefix_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}
