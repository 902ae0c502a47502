//! Connects to allowed origins: looks the name up, checks every address, and connects to an address that was checked.

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
use super::allowed::Allowed;
use super::origin::Origin;

/// The longest look-up of a name.
const LOOKUP: Duration = Duration::from_secs(5);
/// The most addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// The addresses of a name; an empty list if it has none.
pub(crate) type Resolving = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Looks up the addresses of names.
pub(crate) trait Resolve: Send + Sync {
    fn addresses(&self, name: String) -> Resolving;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn addresses(&self, name: String) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The reason why a connection failed.
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

/// Connects to the origins of an allow-list, and to no other.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) allowed: Arc<[Allowed]>,
    /// Origins without TLS that a secret is sent to. They are reached at private addresses only, whatever the list
    /// says.
    pub(crate) private_only: Arc<[Origin]>,
    /// The longest wait for a connection. One address that does not answer takes at most half of it.
    pub(crate) timeout: Duration,
    pub(crate) resolver: Arc<dyn Resolve>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Connector {
    /// The addresses of an origin. If one of them is not allowed, none is used: a name that has public and private
    /// addresses at once may be meant to pass this check with one address and to be connected to at another (DNS
    /// rebinding).
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
        let private_only = self.private_only.contains(asked);
        let is_allowed = |address: IpAddr| {
            entries.iter().any(|entry| entry.admits(address)) && (!private_only || address::is_private(address))
        };
        if !addresses.iter().copied().all(is_allowed) {
            return Err(ConnectError::Prohibited);
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    async fn connect(self, uri: Uri) -> Result<TcpStream, ConnectError> {
        let asked = Origin::asked(&uri).ok_or(ConnectError::Denied)?;
        let mut last = ConnectError::Unknown;
        for address in self.checked(&asked).await?.into_iter().take(ADDRESSES) {
            match timeout(self.timeout / 2, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Requests are short: delaying them to fill a packet costs more than it saves.
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
