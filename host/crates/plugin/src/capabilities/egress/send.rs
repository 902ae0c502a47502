//! The outgoing requests of one incoming request: counted, sent or refused.

use std::sync::Arc;

use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody};

use super::client::EgressClient;
use super::origin::Origin;
use super::provenance::{OutgoingEnd, Provenance};
use crate::capabilities::log::PluginLog;

/// The response of a server, and the end of the transfer of what was sent.
pub(crate) type OutgoingResult = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>)>;

/// The outgoing requests that a guest may send while it handles one request.
#[derive(Debug)]
pub(crate) struct Egress {
    /// None: it may send nothing.
    client: Option<Arc<EgressClient>>,
    /// Set for `describe` and `quote`, which send nothing whatever is granted.
    asks_nobody: bool,
    /// Takes the explanations of refusals, for the author.
    log: Arc<PluginLog>,
    /// Requests of one incoming request.
    most: u32,
    /// Requests that it may still send.
    left: u32,
    provenance: Provenance,
}

impl Egress {
    /// Outgoing requests of a guest that may send none: it describes itself, or quotes a price.
    pub(crate) fn denied(log: Arc<PluginLog>) -> Self {
        Self { client: None, asks_nobody: true, log, most: 0, left: 0, provenance: Provenance::default() }
    }

    /// At most `most` outgoing requests, on behalf of this request.
    pub(crate) fn new(
        client: Option<Arc<EgressClient>>,
        log: Arc<PluginLog>,
        most: u32,
        provenance: Provenance,
    ) -> Self {
        Self { client, asks_nobody: false, log, most, left: most, provenance }
    }

    /// Sends a request, or refuses it. The log tells the author why: the guest sees an error code.
    pub(crate) fn send(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Box<dyn Future<Output = OutgoingResult> + Send> {
        let target =
            Origin::asked(request.uri()).map_or_else(|| "no http or https origin".to_owned(), |o| o.to_string());
        let (client, cdn_loop) = match self.check() {
            Ok(allowed) => allowed,
            Err(error) => {
                // Counted as denied, too: an operator sees what a plugin lacks.
                if let Some(call) = self.provenance.begin(&mut request) {
                    call.ended(&OutgoingEnd::of_error(&error));
                }
                let advice = self.advice(&target, &error);
                self.provenance.named(|| self.log.remark(&format!("outgoing request to {target} refused: {advice}")));
                return Box::new(std::future::ready(Err(error)));
            }
        };
        // Counted before it is sent, so that a failure does not buy another try.
        self.left -= 1;
        let (log, provenance) = (Arc::clone(&self.log), self.provenance.clone());
        let call = provenance.begin(&mut request);
        Box::new(async move {
            let sent = client.send(request, options, cdn_loop).await;
            if let Some(call) = call {
                call.ended(&OutgoingEnd::of(&sent));
            }
            let response = sent.inspect_err(|error| {
                let said = match grant(log.name(), &target, error) {
                    Some(advice) => format!("outgoing request to {target} refused: {advice}"),
                    None => format!("outgoing request to {target} failed: {error}"),
                };
                provenance.named(|| log.remark(&said));
            })?;
            let io: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, io))
        })
    }

    /// The reason why a request is not sent, and what to do about it.
    fn advice(&self, target: &str, error: &Error) -> String {
        if self.asks_nobody {
            return "`describe` and `quote` send no requests".to_owned();
        }
        if matches!(error, Error::ConnectionLimitReached) {
            return format!("one request may cause {}, the plugin's `limits.outgoing_requests`", self.most);
        }
        grant(self.log.name(), target, error).unwrap_or_else(|| error.to_string())
    }

    /// The client for the next request, and the value of its `CDN-Loop`.
    fn check(&self) -> Result<(Arc<EgressClient>, http::HeaderValue), Error> {
        let client = self.client.as_ref().ok_or(Error::HttpRequestDenied)?;
        if self.left == 0 {
            return Err(Error::ConnectionLimitReached);
        }
        let cdn_loop = self.provenance.next_hop().ok_or(Error::LoopDetected)?;
        Ok((Arc::clone(client), cdn_loop))
    }
}

/// The grant that a refused request lacks.
fn grant(plugin: &str, target: &str, error: &Error) -> Option<String> {
    match error {
        Error::HttpRequestDenied => Some(format!("grant it in coinslot.toml: `plugin.{plugin}.http = [\"{target}\"]`")),
        Error::DestinationIpProhibited => Some(format!(
            "its address is a private one; if that is meant, grant it in coinslot.toml: \
             `plugin.{plugin}.http = [{{ origin = \"{target}\", private = true }}]`"
        )),
        _ => None,
    }
}
