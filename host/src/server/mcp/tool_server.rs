//! Answers the messages of the protocol: which tools there are, and the calls of them.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, SubscriptionFilter,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};

use super::call_request::{self, CallCredentials};
use super::call_result::CallAnswer;
use super::changes::ToolChanges;
use super::progress::Progress;
use super::received::CallArguments;
use super::{MessageHold, RequestHandler};
use crate::catalog::Catalog;
use crate::discover::EndpointTool;
use crate::payment::{self, Charged, ClientAddress};
use crate::server::Peer;

/// The most tools of one page of the list.
const PAGE: usize = 100;

/// The text that every client gets first.
const INSTRUCTIONS: &str = "Each tool calls an endpoint of this server. The description of a tool says what a call \
    costs. A call that is not paid for answers with isError and the payment requirements of x402: send the same call \
    again with the signed payment in _meta[\"x402/payment\"]. Where they have the extension sign-in-with-x, an account \
    that has a pass is served without a payment: send the same call with its proof in \
    _meta[\"x402/sign-in-with-x\"]. If the end of a paid call is unknown, send the same payment again with the same \
    arguments: it is never charged twice.";

/// The server of one message.
#[derive(Clone, Debug)]
pub(super) struct ToolServer {
    pub(super) handler: Arc<RequestHandler>,
    /// The generation of the message's arrival.
    pub(super) catalog: Arc<Catalog>,
    pub(super) peer: Peer,
    pub(super) client: ClientAddress,
    /// The fields of the message.
    pub(super) headers: Arc<HeaderMap>,
    /// The name that the client has from `initialize`.
    pub(super) session: Option<String>,
    pub(super) hold: Arc<MessageHold>,
    /// The arguments of a call, which are not in its message.
    pub(super) arguments: Option<Arc<CallArguments>>,
}

impl ServerHandler for ToolServer {
    fn get_info(&self) -> ServerConfig {
        let config = self.handler.publisher().config();
        let public_url = self.catalog.public_url();
        let host = public_url.split_once("://").map_or(public_url, |(_, host)| host);
        let name = config.name.as_deref().unwrap_or(host);
        let mut server = Implementation::new("coinslot", env!("CARGO_PKG_VERSION")).with_title(name);
        server.description.clone_from(&config.description);
        server.website_url = config.website.as_ref().map(ToString::to_string);
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities).with_server_info(server).with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let Some(tools) = self.handler.tools().await else { return Ok(ListToolsResult::default()) };
        // A page begins after a name, so that it is right also where tools came and went meanwhile.
        let after = request.and_then(|request| request.cursor);
        let (page, has_more) = tools.after(after.as_deref(), PAGE);
        let mut result = ListToolsResult::with_all_items(page.iter().map(|tool| tool.definition.clone()).collect());
        result.next_cursor = page.last().filter(|_| has_more).map(|tool| tool.definition.name.to_string());
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let tools = self.handler.tools().await.unwrap_or_default();
        let Some(tool) = tools.find(&request.name) else {
            let name = coinslot_base::text::excerpt(&request.name, 100);
            return Err(ErrorData::invalid_params(format!("there is no tool `{name}`: list the tools again"), None));
        };
        let of_meta = |name: &str| context.meta.get(name).or_else(|| request.meta.as_ref()?.get(name));
        let credentials = CallCredentials::read(of_meta);
        let carries_payment = credentials.payment.is_some();
        let arguments = match &self.arguments {
            Some(arguments) => CallArguments::clone(arguments),
            None => request.arguments.unwrap_or_default().into(),
        };
        let asked = match self.request(tool, arguments, credentials).await {
            Ok(asked) => asked,
            Err(mistake) => return Ok(wrong_arguments(&mistake, carries_payment).into()),
        };
        let url = format!("{}{}", self.catalog.public_url(), asked.uri());
        let progress = context.meta.get_progress_token().map(|token| Progress::new(context.peer.clone(), token));
        let at_work = self.session.as_ref().map(|session| self.handler.mcp().calls.begin(session, context.id.clone()));
        let cancelled = async {
            match &at_work {
                Some(at_work) => at_work.cancelled.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let answered = async {
            let reply = self.handler.answer(asked, self.peer).await;
            CallAnswer::new(self, tool, url).read(reply, progress).await
        };
        // A client that gives up is one that hangs up: what is paid is worked out all the same.
        tokio::select! {
            result = answered => Ok(result.into()),
            () = cancelled => Err(cancelled_by_client()),
            () = context.ct.cancelled() => Err(cancelled_by_client()),
        }
    }

    fn accepted_subscription_filter(&self, _requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::builder().tools_list_changed().build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let Some(_place) = self.handler.mcp().listeners.take(self.handler.share_of(self.peer, self.client)) else {
            let why = "too many subscriptions of this client: end one of them first";
            return Err(ErrorData::internal_error(why, None));
        };
        let mut changes = ToolChanges::since(Arc::clone(&self.handler), &self.catalog).await;
        loop {
            tokio::select! {
                () = changes.next() => {
                    if context.sink().notify_tool_list_changed().await.is_err() {
                        return Ok(());
                    }
                }
                () = context.cancelled() => return Ok(()),
                () = self.handler.mcp().closing.cancelled() => return Ok(()),
            }
        }
    }
}

impl ToolServer {
    /// The request of a call. Fails with what is wrong with its arguments.
    async fn request(
        &self,
        tool: &Arc<EndpointTool>,
        arguments: CallArguments,
        credentials: CallCredentials,
    ) -> Result<Request<Bytes>, String> {
        let size = arguments.body.as_ref().map_or(0, Bytes::len);
        let busy = "the server has no room for this call: call again later";
        // A text is read out of the JSON, and bytes out of Base64.
        let room = size.saturating_mul(2);
        self.hold.request.lock().grow_to(room).map_err(|_| busy.to_owned())?;
        let (tool, headers) = (Arc::clone(tool), Arc::clone(&self.headers));
        let made = move || call_request::request(&tool, arguments, &credentials, &headers);
        let made = payment::work_on_message(self.handler.payments(), self.client, size, made).await;
        made.unwrap_or_else(|_| Err(busy.to_owned()))
    }
}

/// The result of a call whose arguments make no request. Models see it, unlike an error of the protocol. A payment that it
/// carries may have been used before.
fn wrong_arguments(mistake: &str, carries_payment: bool) -> CallToolResult {
    let charged = if carries_payment { Charged::Unknown } else { Charged::No }.as_str();
    let document = serde_json::json!({ "error": "invalid_input", "message": mistake, "charged": charged });
    // Without a structure, which clients would hold against the output schema of the tool.
    CallToolResult::error(vec![ContentBlock::text(document.to_string())])
}

fn cancelled_by_client() -> ErrorData {
    ErrorData::internal_error(Cow::Borrowed("the client has cancelled the call"), None)
}
