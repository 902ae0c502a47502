//! Serves the agent: with the tools of the remote server, and with one that tells what was spent.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation, JsonObject,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{NotificationContext, RequestContext, ServiceError};
use rmcp::{RoleServer, ServerHandler};
use serde_json::json;
use url::Url;

use super::answer;
use super::errors::why_unanswered;
use super::payer::{AgentPayer, cheapest, refusal};
use super::remote::{CallCredential, Caller, Remote};

/// The tool of this program itself.
const WALLET: &str = "coinslot_wallet";

/// The words to an agent without a key.
const NO_KEY: &str = "there is no key to pay with: set COINSLOT_PAYER_KEY for `coinslot mcp`, or name a key with its \
                      --key-file or --key-env";

/// The server on standard streams.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    remote: Arc<Remote>,
    /// None: there is no key.
    payer: Option<Arc<AgentPayer>>,
    url: Url,
}

impl Bridge {
    pub(super) fn new(remote: Remote, payer: Option<AgentPayer>, url: Url) -> Self {
        Self { remote: Arc::new(remote), payer: payer.map(Arc::new), url }
    }

    async fn wallet(&self) -> CallToolResult {
        let Some(payer) = &self.payer else { return refusal(NO_KEY) };
        match payer.report().await {
            Ok(report) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(report.to_string())]);
                result.structured_content = Some(report);
                result
            }
            Err(failure) => refusal(&failure.message),
        }
    }
}

impl ServerHandler for Bridge {
    fn get_info(&self) -> ServerConfig {
        let about = self.remote.about();
        let title = about.as_ref().and_then(|about| about.title.clone().or_else(|| Some(about.name.clone())));
        let mut server = Implementation::new("coinslot-mcp", env!("CARGO_PKG_VERSION"));
        server.title = title;
        server.description = about.and_then(|about| about.description);
        let instructions = format!(
            "Tools of {}. Calls that cost something are paid by this program within the user's limits, unless a pass of \
             an earlier payment serves them; {WALLET} tells what is left. A call that fails with an open payment is repeated with the same arguments: it is never \
             charged twice.",
            self.url
        );
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities).with_server_info(server).with_instructions(instructions)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.remote.tell(context.peer);
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let is_first = request.as_ref().is_none_or(|request| request.cursor.is_none());
        let mut listed = self.remote.list(request).await.map_err(|error| unanswered(&error))?;
        listed.tools.retain(|tool| tool.name != WALLET);
        if is_first {
            listed.tools.insert(0, wallet_tool());
        }
        Ok(listed)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name == WALLET {
            return Ok(self.wallet().await.into());
        }
        let caller = Caller::new(context.peer.clone(), context.meta.get_progress_token());
        let arguments = request.arguments.unwrap_or_default();
        // In a task of its own: an agent that gives a call up does not stop a payment from being finished.
        let (remote, payer, tool) = (Arc::clone(&self.remote), self.payer.clone(), request.name.to_string());
        let work = tokio::spawn(async move {
            match payer {
                Some(payer) => payer.call(&remote, &tool, &arguments, &caller).await,
                None => remote.call(&tool, &arguments, CallCredential::None, &caller).await.map(without_key),
            }
        });
        let result = work.await.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        result.map(CallToolResponse::from).map_err(|error| unanswered(&error))
    }
}

/// A result as an agent without a key gets it: one that asks for a payment says in words what it costs.
fn without_key(mut result: CallToolResult) -> CallToolResult {
    if let Some(challenge) = answer::challenge(&result) {
        let price = cheapest(&challenge).unwrap_or_else(|| "something".to_owned());
        result.content = vec![ContentBlock::text(format!("this call costs {price}, and {NO_KEY}"))];
    }
    result
}

/// The error of the remote server, or of the way to it.
fn unanswered(error: &ServiceError) -> ErrorData {
    match error {
        ServiceError::McpError(error) => error.clone(),
        error => {
            let why = why_unanswered(error);
            ErrorData::internal_error(format!("the remote server did not answer: {why}; call again"), None)
        }
    }
}

fn wallet_tool() -> Tool {
    let schema: JsonObject = json!({ "type": "object" }).as_object().cloned().unwrap_or_default();
    let about = "What was spent at this server, what is left of the budget, and the most that one call may cost. Free.";
    let tool = Tool::new(WALLET, about, schema).with_title("Spent and left");
    tool.with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
}
