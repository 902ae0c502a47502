//! Answers at the path of MCP: with what the protocol's server says, with notices, and with what the host refuses itself.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use coinslot_plugin::Fault;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::error::{ErrorRow, passing, row, with_charged};
use super::{Reply, empty, event_stream, problem, with_cors};
use crate::endpoint::PluginPages;
use crate::payment::{Charged, Problem};

static SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

const FOREIGN_PAGE: ErrorRow = row(
    StatusCode::FORBIDDEN,
    "foreign_page",
    "a page of another host asks, by a name that is not this host's: the operator may set public_url",
);
const NO_AGENT: ErrorRow = row(
    StatusCode::NOT_ACCEPTABLE,
    "mcp_only",
    "agents call the endpoints of this server as tools here, by MCP: add this address to a client of MCP",
);
const TOO_MANY_STREAMS: ErrorRow =
    passing(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", "too many clients wait for changes of the tools")
        .advising("list the tools again from time to time");

const TOO_MANY_VALUES: ErrorRow = row(
    StatusCode::BAD_REQUEST,
    "message_too_complex",
    "the message has more than 10000 values beside the body of its call: send less at once",
);

const DUPLICATE_NAME: ErrorRow = row(
    StatusCode::BAD_REQUEST,
    "message_ambiguous",
    "the call has two members of one name, so that two readers would see two calls: send each once",
);

/// The reason why a message is not taken.
#[derive(Debug)]
pub enum McpRefusal {
    /// A page may have come here by a name that its owner has pointed at this machine.
    ForeignPage,
    /// The client asks for a page or a document, and is none of MCP.
    NoAgent,
    /// This client, or all clients together, have as many streams of notices as they may.
    TooManyStreams,
    /// The message has more values, beside the body of a call, than any that makes sense.
    TooManyValues,
    /// A call says something twice.
    DuplicateName,
    /// The message could not be read.
    Message(Problem),
}

/// The answer of the protocol's server, which keeps this in memory until it has left. `session`: the name that the client
/// is given.
pub fn mcp_answer<B, K>(answer: Response<B>, session: Option<&str>, held: K) -> Reply
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
    K: Send + Unpin + 'static,
{
    let mut reply = answer.map(|body| HeldBody { body, _held: held }.boxed_unsync());
    if let Some(session) = session.and_then(|session| HeaderValue::from_str(session).ok()) {
        reply.headers_mut().insert(&SESSION, session);
    }
    if event_stream::is_event_stream(reply.headers()) {
        event_stream::unbuffered(reply.headers_mut());
    }
    uncached(reply)
}

/// The calls of a client were cancelled.
pub fn mcp_ended() -> Reply {
    let mut reply = Response::new(empty());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    uncached(reply)
}

/// A stream of events.
pub fn mcp_notices(notices: impl Body<Data = Bytes, Error = Fault> + Send + 'static) -> Reply {
    let mut reply = Response::new(notices.boxed_unsync());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    event_stream::unbuffered(reply.headers_mut());
    uncached(reply)
}

/// The answer to a message that is not taken.
pub fn mcp_refused(why: McpRefusal) -> Reply {
    with_cors(match why {
        McpRefusal::ForeignPage => FOREIGN_PAGE.reply(Charged::No),
        McpRefusal::NoAgent => NO_AGENT.reply(Charged::No),
        McpRefusal::TooManyStreams => TOO_MANY_STREAMS.reply(Charged::No),
        McpRefusal::TooManyValues => TOO_MANY_VALUES.reply(Charged::Unknown),
        McpRefusal::DuplicateName => DUPLICATE_NAME.reply(Charged::Unknown),
        // A payment within it may have been used before.
        McpRefusal::Message(problem) => {
            let charged = Charged::Unknown;
            with_charged(problem::explain(problem, charged, PluginPages::Sandboxed), charged)
        }
    })
}

fn uncached(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    with_cors(reply)
}

/// A body that keeps something until it has left.
struct HeldBody<B, K> {
    body: B,
    _held: K,
}

impl<B: Body<Data = Bytes, Error = Infallible> + Unpin, K: Unpin> Body for HeldBody<B, K> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
