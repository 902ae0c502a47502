//! Serves the connections of operators, within bounds: strangers reach the listener before they have shown a token, and
//! must not keep operators out, nor take the descriptors and the memory that the sale needs.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
use tokio::sync::Notify;
use tower_service::Service as _;

use super::access::PeerCertificate;
use crate::payment::client_network;
use crate::server::Tls;

/// The most connections at once. More wait in the queue of the system.
const MOST_CONNECTIONS: usize = 256;
/// The most connections at once of which no request was admitted yet: the others are for operators.
const MOST_STRANGERS: usize = 128;
/// The most connections of one address at once.
const MOST_OF_ADDRESS: usize = 64;
/// The longest time until a request of a connection is admitted. A browser that shows the form of the token opens another
/// connection for it.
const STRANGER: Duration = Duration::from_secs(15);
/// The longest time of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The longest time for the head of a request, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(10);
/// The longest time of a connection. A report of a large ledger takes some of it.
const LONGEST: Duration = Duration::from_secs(600);

/// The connections that are open.
#[derive(Debug, Default)]
struct OpenConnections(Mutex<Connections>);

#[derive(Debug, Default)]
struct Connections {
    of_address: HashMap<IpAddr, usize>,
    /// Those of which no request was admitted yet, the oldest first.
    strangers: VecDeque<Stranger>,
    /// The number of connections so far.
    count: u64,
}

/// A connection that may have to give way to another.
#[derive(Debug)]
struct Stranger {
    number: u64,
    network: IpAddr,
    leave: Arc<Notify>,
}

/// One connection. Dropping it lets its address open another.
struct OpenConnection {
    all: Arc<OpenConnections>,
    network: IpAddr,
    number: u64,
    leave: Arc<Notify>,
    standing: Standing,
}

/// Tells the listener that a request of a connection was admitted.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    all: Arc<OpenConnections>,
    number: u64,
    is_admitted: Arc<AtomicBool>,
}

impl OpenConnections {
    /// Counts a connection. Where its address, or all strangers together, have their share, the oldest stranger gives way:
    /// a request is admitted within moments, and a connection that waits for nothing is not. None if an address has its
    /// share of connections whose requests were admitted.
    fn open(self: &Arc<Self>, client: IpAddr) -> Option<OpenConnection> {
        let network = client_network(client);
        let mut open = self.0.lock();
        let is_full = open.of_address.get(&network).is_some_and(|count| *count >= MOST_OF_ADDRESS);
        let leaves = match is_full {
            true => Some(open.strangers.iter().position(|stranger| stranger.network == network)?),
            false => (open.strangers.len() >= MOST_STRANGERS).then_some(0),
        };
        if let Some(stranger) = leaves.and_then(|at| open.strangers.remove(at)) {
            stranger.leave.notify_one();
        }
        *open.of_address.entry(network).or_default() += 1;
        open.count += 1;
        let (number, leave) = (open.count, Arc::new(Notify::new()));
        open.strangers.push_back(Stranger { number, network, leave: Arc::clone(&leave) });
        let standing = Standing { all: Arc::clone(self), number, is_admitted: Arc::default() };
        Some(OpenConnection { all: Arc::clone(self), network, number, leave, standing })
    }
}

impl Connections {
    fn forget_stranger(&mut self, number: u64) {
        self.strangers.retain(|stranger| stranger.number != number);
    }
}

impl OpenConnection {
    /// Returns when the connection has to give way to another, or has been open for too long without a request that was
    /// admitted.
    async fn must_leave(&self) {
        tokio::select! {
            () = self.leave.notified() => {}
            () = async {
                tokio::time::sleep(STRANGER).await;
                if self.standing.is_admitted() {
                    std::future::pending::<()>().await;
                }
            } => {}
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut open = self.all.0.lock();
        open.forget_stranger(self.number);
        if let Some(count) = open.of_address.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.of_address.remove(&self.network);
            }
        }
    }
}

impl Standing {
    /// A request of the connection was admitted.
    pub(super) fn admit(&self) {
        if !self.is_admitted.swap(true, Relaxed) {
            self.all.0.lock().forget_stranger(self.number);
        }
    }

    fn is_admitted(&self) -> bool {
        self.is_admitted.load(Relaxed)
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
            let serving = serve_connection(connection, tls, router, counted.standing.clone());
            tokio::select! {
                () = serving => {}
                () = counted.must_leave() => tracing::debug!(%client, "a stranger leaves the admin listener"),
                () = tokio::time::sleep(LONGEST) => {
                    tracing::debug!(%client, "a connection of the admin listener took too long");
                }
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

async fn serve_connection(connection: NewConnection, tls: Option<Arc<Tls>>, router: Router, standing: Standing) {
    let NewConnection { stream, peer, watcher: _, permit } = connection;
    match tls {
        None => converse(stream, peer, router, standing, None).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let certificate = shown.map(PeerCertificate::of);
                converse(stream, peer, router, standing, certificate).await;
            }
            Ok(Err(error)) => tracing::debug!(client = %peer, %error, "a handshake with the admin listener failed"),
            Err(_) => {}
        },
    }
    drop(permit);
}

/// Answers the requests of one connection, by HTTP/1.1.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    router: Router,
    standing: Standing,
    certificate: Option<PeerCertificate>,
) {
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(standing.clone());
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
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
        let held: Vec<_> = (0..MOST_OF_ADDRESS).map(|_| open.open(one).expect("within its share")).collect();
        held.iter().for_each(|connection| connection.standing.admit());
        assert!(open.open(one).is_none() && open.open(other).is_some());
        drop(held);
        assert!(open.open(one).is_some());
        let open = open.0.lock();
        assert!(open.of_address.is_empty() && open.strangers.is_empty());
    }

    /// True if the connection was told to give way.
    fn gives_way(connection: &OpenConnection) -> bool {
        use std::task::{Context, Poll, Waker};
        let told = std::pin::pin!(connection.leave.notified());
        told.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn the_oldest_stranger_gives_way_and_who_was_admitted_stays() {
        let open = Arc::<OpenConnections>::default();
        let from = |last: usize| IpAddr::from([192, 0, 2, u8::try_from(last).expect("small")]);
        let operator = open.open(from(0)).expect("room");
        operator.standing.admit();
        // Several addresses fill the room of strangers, and each of them its own.
        let strangers: Vec<_> = (0..MOST_STRANGERS).map(|at| open.open(from(1 + at / 40)).expect("room")).collect();
        let newcomer = open.open(from(9)).expect("the oldest gives way");
        assert!(gives_way(&strangers[0]) && !gives_way(&strangers[1]));
        assert!(!gives_way(&operator) && !gives_way(&newcomer));
        let of_one: Vec<_> = (0..MOST_OF_ADDRESS).map(|_| open.open(from(77)).expect("room")).collect();
        let next = open.open(from(77)).expect("the oldest of its address gives way");
        assert!(gives_way(&of_one[0]) && !gives_way(&of_one[1]) && !gives_way(&next));
    }
}
