//! From an allowed origin to a connection: look up, check every address, connect to what was checked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::address;
use super::origin::{Allowed, Origin};

/// Until the name is looked up, and until one address has answered.
const LOOKUP: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);
/// Of one name, so many addresses are tried.
const ADDRESSES: usize = 4;

/// The addresses of a name, and none for a name that has none.
pub(crate) type Addresses = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Who knows the addresses of names.
pub(crate) trait Resolve: Send + Sync {
    fn addresses(&self, name: String) -> Addresses;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn addresses(&self, name: String) -> Addresses {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the allow-list does not have it")]
    Denied,
    #[error("its name leads to an address that is not public, and its entry does not allow that")]
    Prohibited,
    #[error("its name has no address")]
    Unknown,
    #[error("the look-up of its name took too long")]
    LookupTimeout,
    #[error("it refuses connections")]
    Refused,
    #[error("it does not answer")]
    Timeout,
}

/// Connects to what an allow-list allows, and to nothing else.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) allowed: Arc<[Allowed]>,
    /// Origins without TLS that a secret is sent to: nowhere but inside, whatever the list says.
    pub(crate) inside: Arc<[Origin]>,
    pub(crate) resolver: Arc<dyn Resolve>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Connector {
    /// The addresses behind an origin. One that may not be reached makes all of them suspect: a name
    /// that leads outside and inside at once is there to trick whoever asks twice.
    async fn checked(&self, asked: &Origin) -> Result<Vec<SocketAddr>, ConnectError> {
        let entries: Vec<&Allowed> = self.allowed.iter().filter(|entry| entry.origin.covers(asked)).collect();
        if entries.is_empty() {
            return Err(ConnectError::Denied);
        }
        let (host, port) = asked.endpoint();
        let addresses = match asked.literal() {
            Some(address) => vec![address],
            None => {
                let found = timeout(LOOKUP, self.resolver.addresses(host)).await;
                found.map_err(|_| ConnectError::LookupTimeout)?.map_err(|_| ConnectError::Unknown)?
            }
        };
        if addresses.is_empty() {
            return Err(ConnectError::Unknown);
        }
        let inside = self.inside.contains(asked);
        let may = |address: IpAddr| {
            entries.iter().any(|entry| entry.admits(address)) && (!inside || address::is_private(address))
        };
        if !addresses.iter().copied().all(may) {
            return Err(ConnectError::Prohibited);
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    async fn connect(self, uri: Uri) -> Result<TcpStream, ConnectError> {
        let asked = Origin::asked(&uri).ok_or(ConnectError::Denied)?;
        let mut last = ConnectError::Unknown;
        for address in self.checked(&asked).await?.into_iter().take(ADDRESSES) {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Requests are short: waiting for more to send costs more than it saves.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(_)) => last = ConnectError::Refused,
                Err(_) => last = ConnectError::Timeout,
            }
        }
        Err(last)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(uri).await.map(TokioIo::new) })
    }
}
