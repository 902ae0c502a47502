//! Outgoing HTTP of guests, and which header fields pass between a guest and the world.
//!
//! A guest reaches what its operator allows, and nothing by default; while it describes itself or
//! quotes a price it reaches nothing at all. The stock client of `wasmtime-wasi-http` is not compiled
//! in, so nothing else can answer.

mod address;
mod client;
mod connect;
mod loop_guard;
mod origin;
mod response;

use std::sync::Arc;

use http::{HeaderName, header};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody};

pub use self::origin::{Allowed, Origin};

pub(crate) use self::client::EgressClient;
#[cfg(test)]
pub(crate) use self::connect::Addresses;
pub(crate) use self::connect::{Resolve, SystemResolver};
pub(crate) use self::loop_guard::LoopGuard;

/// Bytes of one write to a body, and how many of them are buffered before the guest waits. Together
/// they let a small answer be written without suspending the guest.
pub(crate) const CHUNK: usize = 64 << 10;
pub(crate) const CHUNKS: usize = 4;

/// Names the servers that a request has been through (RFC 8586). Ours alone: guests neither see nor set it.
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// What one request's guest may reach.
#[derive(Debug)]
pub(crate) struct Egress {
    way: Option<Arc<EgressClient>>,
    plugin: Arc<str>,
    /// Requests that it may still send.
    left: u32,
    trail: LoopGuard,
}

impl Egress {
    /// Nothing.
    pub(crate) fn denied(plugin: Arc<str>) -> Self {
        Self { way: None, plugin, left: 0, trail: LoopGuard::default() }
    }

    /// So many requests by this way, on behalf of a request that came by this trail.
    pub(crate) fn by(way: Option<Arc<EgressClient>>, plugin: Arc<str>, most: u32, trail: LoopGuard) -> Self {
        Self { way, plugin, left: most, trail }
    }

    /// Sends one of them, or refuses.
    pub(crate) fn send(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Box<dyn Future<Output = OutgoingResult> + Send> {
        let authority = request.uri().authority().map(ToString::to_string);
        let refused = match &self.way {
            None => Some(Error::HttpRequestDenied),
            Some(_) if self.left == 0 => Some(Error::ConnectionLimitReached),
            Some(_) => None,
        };
        let trail = self.trail.next();
        let (way, trail) = match (&self.way, refused, trail) {
            (Some(way), None, Some(trail)) => (Arc::clone(way), trail),
            (_, refused, _) => {
                let error = refused.unwrap_or(Error::LoopDetected);
                self.refuse(authority.as_deref(), &error);
                return Box::new(std::future::ready(Err(error)));
            }
        };
        self.left -= 1;
        let plugin = Arc::clone(&self.plugin);
        Box::new(async move {
            let answer = way.send(request, options, trail).await.inspect_err(|error| {
                tracing::debug!(plugin = &*plugin, authority, %error, "an outgoing request failed");
            })?;
            let io: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((answer, io))
        })
    }

    fn refuse(&self, authority: Option<&str>, error: &Error) {
        tracing::debug!(plugin = &*self.plugin, authority, %error, "outgoing request refused");
    }
}

/// Header fields that belong to a connection or to a payment. They are removed from what a guest
/// is given, in headers and in trailers, and a guest cannot set them.
pub(crate) fn is_withheld(name: &HeaderName) -> bool {
    const WITHHELD: [HeaderName; 13] = [
        header::CONNECTION,
        header::HOST,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("http2-settings"),
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("payment-signature"),
        HeaderName::from_static("x-payment"),
        CDN_LOOP,
    ];
    WITHHELD.contains(name)
}

/// What a server answered, and how the transfer of what was sent ended.
pub(crate) type OutgoingResult = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>)>;
