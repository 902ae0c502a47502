//! Serves agents by MCP (streamable HTTP): each endpoint is a tool, and a call of a tool is a request to its endpoint.
//!
//! A call takes the way of every request: the host makes the request that the call means and routes it as one of the
//! network. So HTTP and MCP share prices, claims, limits, allowances, schemas and the ledger, and nothing here decides
//! about money.
//!
//! The host keeps no sessions: each message is complete, and any replica answers it. The id that `initialize` gives a
//! client is a random name under which its calls at work can be cancelled, and nothing else is kept for it.

mod answer_head;
mod call_request;
mod call_result;
mod cancel;
mod changes;
mod large_answer;
mod message;
mod progress;
mod received;
mod tool_server;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::header::{ACCEPT, HOST, HeaderValue, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::authority::Hosts;
use super::endpoint_call::ArrivedBody;
use super::forwarded;
use super::handler::{Peer, RequestHandler};
use crate::catalog::Catalog;
use crate::discover::ToolList;
use crate::payment::{self, ClientAddress, HeldBytes, Problem};
use crate::respond::{self, McpRefusal, Reply};
use cancel::CallsAtWork;
use changes::Listeners;
use large_answer::{LargeAnswer, WithLargeAnswer};
use message::MessageHead;
use received::{ReceivedMessage, UnfitMessage};
use tool_server::ToolServer;

/// The methods of the path of MCP.
pub(super) static METHODS: [Method; 3] = [Method::GET, Method::POST, Method::DELETE];

/// The largest message, in bytes: the input of a call, whose bytes are Base64.
const MAX_MESSAGE: u64 = 4 << 20;

/// The protocol's server has a message as bytes, as a tree and as its own values.
const PROTOCOL_COPIES: usize = 3;

/// The field by which a client names itself again.
const SESSION: &str = "mcp-session-id";

/// The clients of MCP that the host keeps in mind: those that wait for changes, and those whose calls can be cancelled.
#[derive(Debug, Default)]
pub(super) struct McpClients {
    listeners: Arc<Listeners>,
    calls: Arc<CallsAtWork>,
    /// Ends streams that have no end of their own.
    closing: CancellationToken,
}

/// A request to the path of MCP.
pub(super) struct McpCall {
    /// The generation of its arrival.
    pub(super) catalog: Arc<Catalog>,
    pub(super) request: Request<ArrivedBody>,
    pub(super) peer: Peer,
    /// The host that the request names, which has been checked.
    pub(super) authority: HeaderValue,
}

/// The memory that one message holds until its answer has left.
#[derive(Debug)]
pub(super) struct MessageHold {
    /// The bytes of the message, which count for the budget.
    _message: bytes::Bytes,
    /// The bytes that are made of the message.
    request: Mutex<HeldBytes>,
    /// The bytes of the answer.
    answer: Mutex<HeldBytes>,
    /// The answer, if it is not in the result of the protocol's server.
    large: OnceLock<LargeAnswer>,
}

impl MessageHold {
    /// The answer that is put into the result on its way.
    fn large_answer(&self) -> Option<&LargeAnswer> {
        self.large.get()
    }
}

impl McpClients {
    /// Ends the streams of clients that wait for changes.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }
}

impl RequestHandler {
    /// Answers a request to the path of MCP.
    pub(super) async fn serve_mcp(self: Arc<Self>, call: McpCall) -> Reply {
        if is_rebound(self.hosts(), &call.authority, call.request.headers()) {
            return respond::mcp_refused(McpRefusal::ForeignPage);
        }
        match *call.request.method() {
            Method::GET => self.listen(&call),
            Method::HEAD => respond::head_only(respond::mcp_refused(McpRefusal::NoAgent)),
            Method::DELETE => {
                // The session is a name for calls at work, and has nothing else to end.
                if let Some(session) = session_of(call.request.headers()) {
                    self.mcp().calls.cancel_all(session);
                }
                respond::mcp_ended()
            }
            _ => self.receive(call).await,
        }
    }

    /// Sends a client a notice of each change of the tools, until it leaves.
    fn listen(self: &Arc<Self>, call: &McpCall) -> Reply {
        let mut accepted = call.request.headers().get_all(ACCEPT).iter();
        if !accepted.any(|value| value.to_str().is_ok_and(|value| value.contains("text/event-stream"))) {
            return respond::mcp_refused(McpRefusal::NoAgent);
        }
        let client = self.client_of(call);
        let Some(place) = self.mcp().listeners.take(self.share_of(call.peer, client)) else {
            return respond::mcp_refused(McpRefusal::TooManyStreams);
        };
        let notices = changes::notices(Arc::clone(self), Arc::clone(&call.catalog), place, self.mcp().closing.clone());
        respond::mcp_notices(notices)
    }

    /// Reads one message and answers it.
    async fn receive(self: Arc<Self>, call: McpCall) -> Reply {
        let client = self.client_of(&call);
        let McpCall { catalog, request, peer, authority } = call;
        let (mut head, body) = request.into_parts();
        let body = body.boxed_unsync();
        let message = match payment::read_message(self.payments(), client, body, MAX_MESSAGE).await {
            Ok(message) => message,
            Err(problem) => return respond::mcp_refused(McpRefusal::Message(problem)),
        };
        let about = MessageHead::read(&message);
        let session = session_of(&head.headers).map(str::to_owned);
        if let (Some(cancelled), Some(session)) = (about.cancels(), &session) {
            self.mcp().calls.cancel(session, cancelled);
        }
        let read = {
            let message = message.clone();
            move || ReceivedMessage::read(&message)
        };
        let received = match payment::work_on_message(self.payments(), client, message.len(), read).await {
            Ok(Ok(received)) => received,
            Ok(Err(UnfitMessage::TooManyValues)) => return respond::mcp_refused(McpRefusal::TooManyValues),
            Ok(Err(UnfitMessage::DuplicateName)) => return respond::mcp_refused(McpRefusal::DuplicateName),
            Err(problem) => return respond::mcp_refused(McpRefusal::Message(problem)),
        };
        let mut held = self.payments().hold(client);
        if held.grow_to(received.protocol.len().saturating_mul(PROTOCOL_COPIES)).is_err() {
            return respond::mcp_refused(McpRefusal::Message(Problem::Overloaded));
        }
        let hold = Arc::new(MessageHold {
            _message: message,
            request: Mutex::new(held),
            answer: Mutex::new(self.payments().hold(client)),
            large: OnceLock::new(),
        });
        head.headers.insert(HOST, authority);
        let server = ToolServer {
            handler: Arc::clone(&self),
            catalog,
            peer,
            client,
            headers: Arc::new(head.headers.clone()),
            session,
            hold: Arc::clone(&hold),
            arguments: received.arguments.map(Arc::new),
        };
        let answer = message::answer(server, head, received.protocol).await;
        let answer = answer.map(|body| WithLargeAnswer::new(body, Arc::clone(&hold)));
        let session = about.initializes().then(cancel::new_session);
        respond::mcp_answer(answer, session.as_deref(), hold)
    }

    /// The tools of the active generation.
    pub(super) async fn tools(&self) -> Option<Arc<ToolList>> {
        let catalog = self.catalog();
        self.publisher().tools(&catalog, self.payments()).await
    }

    /// The network whose share of the places a client uses. None if its address may stand for many clients.
    fn share_of(&self, peer: Peer, client: ClientAddress) -> Option<IpAddr> {
        // A peer that writes fields of proxies, and is none, is one client all the same.
        (client.proves || self.is_client(peer.ip)).then(|| client.network())
    }

    fn client_of(&self, call: &McpCall) -> ClientAddress {
        // The fields of proxies are removed from a copy: the request that a call means carries them once more.
        forwarded::client(self.proxies(), call.peer.ip, &mut call.request.headers().clone())
    }
}

/// The name that a client has from `initialize`.
fn session_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION)?.to_str().ok().filter(|session| !session.is_empty() && session.len() <= cancel::MAX_SESSION)
}

/// True if a page may have come here by a name that its owner has pointed at this machine (DNS rebinding). With a public
/// address the host has refused every other name already. Without one, a page may name an address or `localhost` only.
fn is_rebound(hosts: &Hosts, authority: &HeaderValue, headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && !is_own_name(hosts, authority)
}

/// True for a name that nobody else can have pointed at this machine: one that the host checks, an address, or `localhost`.
pub(super) fn is_own_name(hosts: &Hosts, authority: &HeaderValue) -> bool {
    if *hosts != Hosts::Any {
        return true;
    }
    let authority = authority.to_str().ok().and_then(|authority| authority.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_points_its_own_name_here_is_told_apart() {
        let page = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static("http://evil.example"))]);
        let none = HeaderMap::new();
        let only = Hosts::Only(vec!["api.example.com".to_owned()]);
        for (hosts, named, headers, rebound) in [
            (&Hosts::Any, "evil.example:8402", &page, true),
            (&Hosts::Any, "localhost.evil.example", &page, true),
            (&Hosts::Any, "evil.example:8402", &none, false),
            (&Hosts::Any, "127.0.0.1:8402", &page, false),
            (&Hosts::Any, "[::1]:8402", &page, false),
            (&Hosts::Any, "LOCALHOST:8402", &page, false),
            (&only, "api.example.com", &page, false),
        ] {
            assert_eq!(is_rebound(hosts, &HeaderValue::from_static(named), headers), rebound, "{named}");
        }
    }
}
