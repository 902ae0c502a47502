//! Tells clients apart by their addresses, where an address belongs to one client.

use std::net::{IpAddr, Ipv6Addr};

use coinslot_base::client::is_of_one_client;

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
        Self { ip, proves: is_of_one_client(ip) }
    }

    /// The network of the client.
    pub(crate) fn network(self) -> IpAddr {
        prefix_of(self.ip)
    }
}

/// The network that one client has: its address, or the /64 of an IPv6 address, all of which one subscriber has.
pub(crate) fn prefix_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}
