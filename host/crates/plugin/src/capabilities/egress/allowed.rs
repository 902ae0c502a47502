//! The entries of an operator's allow-list: origins, and the addresses that their names may have.

use std::fmt;
use std::net::IpAddr;

use super::address;
use super::origin::{Origin, OriginHost};

/// An entry of the allow-list: an origin, and the addresses that its name may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub origin: Origin,
    /// Allows addresses of private networks and of this machine for its name.
    pub private: bool,
}

impl Allowed {
    /// True if a request that this entry allows may be sent to this address.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        match &self.origin.host {
            OriginHost::Address(own) => *own == address.to_canonical(),
            // The name itself means this machine.
            OriginHost::Name(name) if name == "localhost" => address.to_canonical().is_loopback(),
            OriginHost::Name(_) | OriginHost::Below(_) | OriginHost::Any => {
                address::is_public(address) || self.private && address::is_private(address)
            }
        }
    }

    /// True if it is an address at which clouds serve the credentials of their machines.
    pub fn serves_credentials(&self) -> bool {
        self.origin.literal().is_some_and(address::serves_credentials)
    }

    /// True if the operator has allowed private networks or this machine by it.
    pub fn is_inside(&self) -> bool {
        match &self.origin.host {
            OriginHost::Address(address) => address::is_private(*address),
            OriginHost::Name(name) if name == "localhost" => true,
            OriginHost::Name(_) | OriginHost::Below(_) | OriginHost::Any => self.private,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, if self.private { " (private)" } else { "" })
    }
}
