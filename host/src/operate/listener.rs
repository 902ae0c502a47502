//! Serves the connections of operators, within bounds: strangers reach the listener before they have shown a token, and
//! must not keep operators out, nor take the descriptors and the memory that the sale needs.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use coinslot_base::accept::{NewConnection, accept};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tower_service::Service as _;

use crate::payment::client_network;
use crate::server::Tls;

/// The most connections at once. More wait in the queue of the system.
const MOST_CONNECTIONS: usize = 256;
/// The most connections of one address at once; those above it are closed.
const MOST_OF_ADDRESS: usize = 64;
/// The longest time of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The longest time for the head of a request, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(10);
/// The longest time of a connection. A report of a large ledger takes some of it.
const LONGEST: Duration = Duration::from_secs(600);

/// The connections that each address has open.
#[derive(Debug, Default)]
struct OpenConnections(Mutex<HashMap<IpAddr, usize>>);

/// One of them. Dropping it lets the address open another.
struct OpenConnection {
    all: Arc<OpenConnections>,
    network: IpAddr,
}

impl OpenConnections {
    /// Counts a connection. None if its address has too many.
    fn open(self: &Arc<Self>, client: IpAddr) -> Option<OpenConnection> {
        let network = client_network(client);
        let mut open = self.0.lock();
        let count = open.entry(network).or_default();
        if *count >= MOST_OF_ADDRESS {
            return None;
        }
        *count += 1;
        Some(OpenConnection { all: Arc::clone(self), network })
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut open = self.all.0.lock();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// Serves connections for ever. None of TLS: plain HTTP.
pub(super) async fn serve(listener: TcpListener, tls: Option<Arc<Tls>>, router: Router) {
    let open = Arc::<OpenConnections>::default();
    let serving = accept(listener, MOST_CONNECTIONS, std::future::pending(), |connection| {
        let client = connection.peer;
        let Some(counted) = open.open(client.ip()) else { return };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            let served = tokio::time::timeout(LONGEST, serve_connection(connection, tls, router)).await;
            drop(counted);
            if served.is_err() {
                tracing::debug!(%client, "a connection of the admin listener took too long");
            }
        });
    });
    match &tls {
        Some(tls) => tokio::select! {
            _ = serving => {}
            () = Arc::clone(tls).watch() => {}
        },
        None => drop(serving.await),
    }
}

async fn serve_connection(connection: NewConnection, tls: Option<Arc<Tls>>, router: Router) {
    let NewConnection { stream, peer, watcher: _, permit } = connection;
    match tls {
        None => converse(stream, peer, router).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, peer, router).await,
            Ok(Err(error)) => tracing::debug!(client = %peer, %error, "a handshake with the admin listener failed"),
            Err(_) => {}
        },
    }
    drop(permit);
}

/// Answers the requests of one connection, by HTTP/1.1.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr, router: Router) {
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(client = %peer, %error, "a connection of the admin listener ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_of_connections_and_gets_it_back() {
        let open = Arc::<OpenConnections>::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut held: Vec<_> = (0..MOST_OF_ADDRESS).map(|_| open.open(one).expect("within its share")).collect();
        assert!(open.open(one).is_none() && open.open(other).is_some());
        held.pop();
        assert!(open.open(one).is_some());
        held.clear();
        assert!(open.0.lock().is_empty());
    }
}
