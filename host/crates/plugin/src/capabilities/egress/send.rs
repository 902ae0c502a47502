//! The outgoing requests of one incoming request: counted, sent or refused.

use std::sync::Arc;

use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody};

use super::client::EgressClient;
use super::loop_guard::LoopGuard;

/// The response of a server, and the end of the transfer of what was sent.
pub(crate) type OutgoingResult = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>)>;

/// The outgoing requests that a guest may send while it handles one request.
#[derive(Debug)]
pub(crate) struct Egress {
    /// None: it may send nothing.
    client: Option<Arc<EgressClient>>,
    plugin: Arc<str>,
    /// Requests that it may still send.
    left: u32,
    loop_guard: LoopGuard,
}

impl Egress {
    /// Outgoing requests of a guest that may send none.
    pub(crate) fn denied(plugin: Arc<str>) -> Self {
        Self { client: None, plugin, left: 0, loop_guard: LoopGuard::default() }
    }

    /// At most `most` outgoing requests, on behalf of a request that has been through these servers.
    pub(crate) fn new(client: Option<Arc<EgressClient>>, plugin: Arc<str>, most: u32, loop_guard: LoopGuard) -> Self {
        Self { client, plugin, left: most, loop_guard }
    }

    /// Sends a request, or refuses it.
    pub(crate) fn send(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Box<dyn Future<Output = OutgoingResult> + Send> {
        let authority = request.uri().authority().map(ToString::to_string);
        let (client, cdn_loop) = match self.check() {
            Ok(allowed) => allowed,
            Err(error) => {
                tracing::debug!(plugin = &*self.plugin, authority, %error, "outgoing request refused");
                return Box::new(std::future::ready(Err(error)));
            }
        };
        // Counted before it is sent, so that a failure does not buy another try.
        self.left -= 1;
        let plugin = Arc::clone(&self.plugin);
        Box::new(async move {
            let response = client.send(request, options, cdn_loop).await.inspect_err(|error| {
                tracing::debug!(plugin = &*plugin, authority, %error, "an outgoing request failed");
            })?;
            let io: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, io))
        })
    }

    /// The client for the next request, and the value of its `CDN-Loop`.
    fn check(&self) -> Result<(Arc<EgressClient>, http::HeaderValue), Error> {
        let client = self.client.as_ref().ok_or(Error::HttpRequestDenied)?;
        if self.left == 0 {
            return Err(Error::ConnectionLimitReached);
        }
        let cdn_loop = self.loop_guard.next().ok_or(Error::LoopDetected)?;
        Ok((Arc::clone(client), cdn_loop))
    }
}
