//! Speaks to the remote server, and passes on what it tells by itself.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientConfig, ClientRequest, Implementation, JsonObject,
    ListToolsResult, MetaObject, PaginatedRequestParams, ProgressNotificationParam, ProgressToken, RequestMetaObject,
    ServerResult,
};
use rmcp::service::{NotificationContext, Peer, PeerRequestOptions, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient, RoleServer, ServiceExt as _};
use serde_json::Value;
use tokio::sync::watch;
use url::Url;

use super::answer;
use super::errors::why_unconnected;
use crate::cli::{Failure, pay};

/// The longest time of connecting and of listing.
const SHORT: Duration = Duration::from_secs(30);
/// The time in which notices of progress that came together are put in order.
const TURN: Duration = Duration::from_millis(20);
/// The longest wait for notices that the result says were sent.
const LAST_NOTICES: Duration = Duration::from_secs(5);
/// The most calls whose progress is kept.
const MAX_CALLS: usize = 1_024;
/// The largest answer that is taken, in bytes: 16 MiB as Base64, with room.
const MAX_ANSWER: usize = 64 << 20;

/// The remote server.
#[derive(Debug)]
pub(super) struct Remote {
    service: RunningService<RoleClient, RemoteEvents>,
    url: Url,
    timeout: Duration,
}

/// The credential that a call carries beside its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) enum CallCredential<'c> {
    None,
    Payment(&'c Value),
    /// The proof of an account that has paid before, or has free calls.
    SignIn(&'c Value),
}

/// A caller on this machine.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    peer: Peer<RoleServer>,
    /// None: the caller does not want to hear of the progress of its call.
    progress: Option<ProgressToken>,
}

impl Caller {
    pub(super) fn new(peer: Peer<RoleServer>, progress: Option<ProgressToken>) -> Self {
        Self { peer, progress }
    }
}

/// The progress of one call: what was heard of it, and who wants to hear it.
///
/// The library gives each notice a task of its own, and the result another one. So notices come in any order, and the
/// first may come before the call is known here, the last behind the result, after which an agent hears no more.
#[derive(Debug, Default)]
struct CallProgress {
    /// The notices that are to be passed on, by their progress.
    waiting: Mutex<BTreeMap<u64, ProgressNotificationParam>>,
    caller: OnceLock<Caller>,
    /// The largest progress that was heard of.
    newest: watch::Sender<f64>,
    /// Held while notices are passed on.
    passing: tokio::sync::Mutex<()>,
}

impl CallProgress {
    /// Takes a notice to be passed on in its turn.
    fn hear(&self, notice: ProgressNotificationParam) {
        let progress = notice.progress.max(0.0);
        // The bits of numbers that are not negative have the order of the numbers.
        self.waiting.lock().insert(progress.to_bits(), notice);
        self.newest.send_modify(|newest| *newest = newest.max(progress));
    }

    /// Waits until this progress was heard of, for a while.
    async fn heard(&self, progress: f64) {
        let mut newest = self.newest.subscribe();
        let heard = newest.wait_for(|newest| *newest >= progress);
        // What is lost is in the result, too.
        let _ = tokio::time::timeout(LAST_NOTICES, heard).await;
    }

    /// Passes on what came within a moment, in order.
    async fn pass_on(&self) {
        tokio::time::sleep(TURN).await;
        let _passing = self.passing.lock().await;
        let Some(caller) = self.caller.get() else { return };
        let notices = std::mem::take(&mut *self.waiting.lock());
        let Some(token) = &caller.progress else { return };
        for heard in notices.into_values() {
            let mut notice = ProgressNotificationParam::new(token.clone(), heard.progress);
            notice.total = heard.total;
            notice.message = heard.message;
            // An agent that has left is noticed elsewhere.
            let _ = caller.peer.notify_progress(notice).await;
        }
    }
}

/// Passes on what the server tells by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct RemoteEvents {
    /// The agent, once it is there.
    agent: Arc<Mutex<Option<Peer<RoleServer>>>>,
    /// The progress of calls at work, by the remote token.
    calls: Arc<Mutex<HashMap<ProgressToken, Arc<CallProgress>>>>,
}

impl RemoteEvents {
    /// The progress of a call, of which a notice or the caller may be the first to speak. None: too many calls are
    /// spoken of that nobody has made.
    fn progress_of(&self, token: &ProgressToken) -> Option<Arc<CallProgress>> {
        let mut calls = self.calls.lock();
        if calls.len() >= MAX_CALLS && !calls.contains_key(token) {
            calls.retain(|_, progress| progress.caller.get().is_some());
            if calls.len() >= MAX_CALLS {
                return None;
            }
        }
        Some(Arc::clone(calls.entry(token.clone()).or_default()))
    }
}

impl Remote {
    pub(super) async fn connect(url: &Url, authorities: Option<&Path>, timeout: Duration) -> Result<Self, Failure> {
        let cannot = |why: String| Failure::new(format!("{url} does not answer as a server of MCP: {why}"));
        let client = pay::client(authorities)?.connect_timeout(SHORT);
        let client = client.build().map_err(|error| Failure::new(format!("no HTTP client: {error}")))?;
        let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
            .max_json_response_size(MAX_ANSWER)
            .max_sse_event_size(MAX_ANSWER)
            .max_concurrent_requests(64);
        let transport = StreamableHttpClientTransport::with_client(client, config);
        let connected = tokio::time::timeout(SHORT, RemoteEvents::default().serve(transport)).await;
        let service = connected
            .map_err(|_| cannot("it took too long".to_owned()))?
            .map_err(|error| cannot(why_unconnected(&error)))?;
        Ok(Self { service, url: url.clone(), timeout })
    }

    /// The address that the server is asked at.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The name that the server has for people, and the version.
    pub(super) fn about(&self) -> Option<Implementation> {
        self.service.peer().peer_info().and_then(|info| info.server_info.clone())
    }

    /// Tells the agent from here on when the tools change.
    pub(super) fn tell(&self, agent: Peer<RoleServer>) {
        *self.service.service().agent.lock() = Some(agent);
    }

    /// A page of the list of tools.
    pub(super) async fn list(&self, page: Option<PaginatedRequestParams>) -> Result<ListToolsResult, ServiceError> {
        let listed = tokio::time::timeout(SHORT, self.service.peer().list_tools(page)).await;
        listed.unwrap_or(Err(ServiceError::Timeout { timeout: SHORT }))
    }

    /// Calls a tool.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: &JsonObject,
        credential: CallCredential<'_>,
        caller: &Caller,
    ) -> Result<CallToolResult, ServiceError> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
        let mut meta = JsonObject::new();
        match credential {
            CallCredential::None => {}
            CallCredential::Payment(payment) => drop(meta.insert("x402/payment".to_owned(), payment.clone())),
            CallCredential::SignIn(proof) => drop(meta.insert("x402/sign-in-with-x".to_owned(), proof.clone())),
        }
        let mut options = PeerRequestOptions::with_timeout(self.timeout).with_meta(RequestMetaObject(MetaObject(meta)));
        // A streamed answer may take longer, as long as pieces come.
        options.reset_timeout_on_progress = true;
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let handle = self.service.peer().send_cancellable_request(request, options).await?;
        let token = handle.progress_token.clone();
        let events = self.service.service();
        let progress = events.progress_of(&token);
        let _forgets = Forgets { calls: Arc::clone(&events.calls), token };
        if let Some(progress) = &progress {
            let _ = progress.caller.set(caller.clone());
        }
        let answered = handle.await_response().await;
        if let Some(progress) = progress.filter(|_| caller.progress.is_some()) {
            if let Ok(ServerResult::CallToolResult(result)) = &answered
                && let Some(sent) = answer::progress(result)
            {
                progress.heard(sent).await;
            }
            progress.pass_on().await;
        }
        match answered? {
            ServerResult::CallToolResult(result) => Ok(result),
            _ => Err(ServiceError::UnexpectedResponse),
        }
    }
}

/// Forgets the progress of a call when the call ends.
struct Forgets {
    calls: Arc<Mutex<HashMap<ProgressToken, Arc<CallProgress>>>>,
    token: ProgressToken,
}

impl Drop for Forgets {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.token);
    }
}

impl ClientHandler for RemoteEvents {
    fn get_info(&self) -> ClientConfig {
        let client = Implementation::new("coinslot", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(rmcp::model::ClientCapabilities::default(), client)
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        if let Some(call) = self.progress_of(&progress.progress_token) {
            call.hear(progress);
            call.pass_on().await;
        }
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        let agent = self.agent.lock().clone();
        if let Some(agent) = agent {
            let _ = agent.notify_tool_list_changed().await;
        }
    }
}
