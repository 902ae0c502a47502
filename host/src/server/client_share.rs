//! Counts the open connections of each client, so that one client does not hold all of them.
//!
//! An address counts where it is that of one client, as far as the host can know. A proxy asks for many clients from
//! one address, and has no share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::payment::client_network;

/// The open connections of each client that has some.
#[derive(Clone, Debug)]
pub(super) struct ClientShares {
    /// The greatest number of connections of one client.
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, OpenConnections>>>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    count: usize,
    /// Set once a connection was refused: the log says it once.
    refused: bool,
}

/// The part that one connection has of its client's share.
#[derive(Debug)]
#[must_use]
pub(super) struct SharePermit {
    shares: ClientShares,
    network: IpAddr,
}

impl ClientShares {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// Takes a part of this client's share. None if all of it is in use.
    pub(super) fn take(&self, client: IpAddr) -> Option<SharePermit> {
        let network = client_network(client);
        let mut open = self.open.lock();
        let connections = open.entry(network).or_default();
        if connections.count >= self.most {
            if !connections.refused {
                connections.refused = true;
                tracing::warn!(
                    %client,
                    most = self.most,
                    "a client has as many connections open as one client may; others are closed. If it is a proxy, \
                     name it in trusted_proxies"
                );
            }
            return None;
        }
        connections.count += 1;
        Some(SharePermit { shares: self.clone(), network })
    }
}

impl Drop for SharePermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.shares.open.lock().entry(self.network) {
            entry.get_mut().count -= 1;
            if entry.get().count == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_client_has_a_share_of_the_connections() {
        let shares = ClientShares::new(2);
        let (first, second) = (shares.take(address("192.0.2.1")), shares.take(address("::ffff:192.0.2.1")));
        assert!(first.is_some() && second.is_some());
        assert!(shares.take(address("192.0.2.1")).is_none());
        let other = shares.take(address("192.0.2.2"));
        assert!(other.is_some(), "another client has a share of its own");
        drop(first);
        assert!(shares.take(address("192.0.2.1")).is_some(), "a connection that ended gives its part back");
        drop((second, other));
        assert!(shares.open.lock().is_empty(), "clients without connections are forgotten");
    }

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        let shares = ClientShares::new(1);
        let _first = shares.take(address("2001:db8::1")).expect("a part");
        assert!(shares.take(address("2001:db8::2")).is_none());
        assert!(shares.take(address("2001:db8:0:1::1")).is_some());
    }
}
