//! Speaks to the remote server, and passes on what it tells by itself.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
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
use url::Url;

use crate::cli::{Failure, pay};

/// The longest time of connecting and of listing.
const SHORT: Duration = Duration::from_secs(30);
/// The time in which notices of progress that came together are put in order.
const TURN: Duration = Duration::from_millis(20);
/// The largest answer that is taken, in bytes: 16 MiB as Base64, with room.
const MAX_ANSWER: usize = 64 << 20;

/// The remote server.
#[derive(Debug)]
pub(super) struct Remote {
    service: RunningService<RoleClient, RemoteEvents>,
    timeout: Duration,
}

/// A caller on this machine, who hears of the progress of its call.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    peer: Peer<RoleServer>,
    /// None: the caller does not want to hear of it.
    progress: Option<ProgressToken>,
    /// The notices that are to be passed on, by their progress.
    notices: Arc<Mutex<BTreeMap<u64, ProgressNotificationParam>>>,
    /// Held while notices are passed on.
    passing: Arc<tokio::sync::Mutex<()>>,
}

impl Caller {
    pub(super) fn new(peer: Peer<RoleServer>, progress: Option<ProgressToken>) -> Self {
        Self { peer, progress, notices: Arc::default(), passing: Arc::default() }
    }

    /// Takes a notice to be passed on in its turn.
    fn keep(&self, progress: ProgressNotificationParam) {
        let Some(token) = self.progress.clone() else { return };
        let mut notice = ProgressNotificationParam::new(token, progress.progress);
        notice.total = progress.total;
        notice.message = progress.message;
        // The bits of numbers that are not negative have the order of the numbers.
        self.notices.lock().insert(progress.progress.max(0.0).to_bits(), notice);
    }

    /// Passes on what came within a moment, in order: each notice of the server has a task of its own, and so has the
    /// result, after which a client hears no notice any more.
    async fn pass_on(&self) {
        if self.progress.is_none() {
            return;
        }
        tokio::time::sleep(TURN).await;
        let _passing = self.passing.lock().await;
        let notices = std::mem::take(&mut *self.notices.lock());
        for notice in notices.into_values() {
            // An agent that has left is noticed elsewhere.
            let _ = self.peer.notify_progress(notice).await;
        }
    }
}

/// What the server tells by itself, and whom.
#[derive(Clone, Debug, Default)]
pub(super) struct RemoteEvents {
    /// The agent, once it is there.
    agent: Arc<Mutex<Option<Peer<RoleServer>>>>,
    /// The callers of calls at work, by the remote token of their progress.
    callers: Arc<Mutex<HashMap<ProgressToken, Caller>>>,
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
        let service =
            connected.map_err(|_| cannot("it took too long".to_owned()))?.map_err(|error| cannot(error.to_string()))?;
        Ok(Self { service, timeout })
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

    /// Calls a tool, with a payment if there is one.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: &JsonObject,
        payment: Option<&Value>,
        caller: &Caller,
    ) -> Result<CallToolResult, ServiceError> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
        let mut meta = JsonObject::new();
        if let Some(payment) = payment {
            meta.insert("x402/payment".to_owned(), payment.clone());
        }
        let mut options = PeerRequestOptions::with_timeout(self.timeout).with_meta(RequestMetaObject(MetaObject(meta)));
        // A streamed answer may take longer, as long as pieces come.
        options.reset_timeout_on_progress = true;
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let handle = self.service.peer().send_cancellable_request(request, options).await?;
        let token = handle.progress_token.clone();
        let callers = &self.service.service().callers;
        callers.lock().insert(token.clone(), caller.clone());
        let _forgets = Forgets { callers: Arc::clone(callers), token };
        let answered = handle.await_response().await;
        caller.pass_on().await;
        match answered? {
            ServerResult::CallToolResult(result) => Ok(result),
            _ => Err(ServiceError::UnexpectedResponse),
        }
    }
}

/// Forgets the caller of a call when the call ends.
struct Forgets {
    callers: Arc<Mutex<HashMap<ProgressToken, Caller>>>,
    token: ProgressToken,
}

impl Drop for Forgets {
    fn drop(&mut self) {
        self.callers.lock().remove(&self.token);
    }
}

impl ClientHandler for RemoteEvents {
    fn get_info(&self) -> ClientConfig {
        let client = Implementation::new("coinslot", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(rmcp::model::ClientCapabilities::default(), client)
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        let caller = self.callers.lock().get(&progress.progress_token).cloned();
        if let Some(caller) = caller {
            caller.keep(progress);
            caller.pass_on().await;
        }
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        let agent = self.agent.lock().clone();
        if let Some(agent) = agent {
            let _ = agent.notify_tool_list_changed().await;
        }
    }
}
