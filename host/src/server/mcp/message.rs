//! Gives one message to the protocol's own server, and returns its answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use rmcp::model::NumberOrString;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Deserialize;
use tower_service::Service as _;

use super::tool_server::ToolServer;

/// The largest message whose head is read apart. Those that matter here are small.
const MAX_HEAD: usize = 64 << 10;
/// The silence after which a comment keeps a stream open.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// The facts of a message that the host itself needs.
#[derive(Debug, Default, Deserialize)]
pub(super) struct MessageHead {
    #[serde(default)]
    method: String,
    #[serde(default)]
    params: MessageParams,
}

#[derive(Debug, Default, Deserialize)]
struct MessageParams {
    #[serde(default, rename = "requestId")]
    request_id: Option<NumberOrString>,
}

impl MessageHead {
    /// Reads the head of a message; that of anything else says nothing.
    pub(super) fn read(message: &[u8]) -> Self {
        if message.len() > MAX_HEAD { Self::default() } else { serde_json::from_slice(message).unwrap_or_default() }
    }

    /// True for the first message of a client.
    pub(super) fn initializes(&self) -> bool {
        self.method == "initialize"
    }

    /// The call that a client gives up.
    pub(super) fn cancels(&self) -> Option<&NumberOrString> {
        self.params.request_id.as_ref().filter(|_| self.method == "notifications/cancelled")
    }
}

/// The answer to a message: JSON, or a stream of events if anything comes before its result.
pub(super) async fn answer(
    server: ToolServer,
    mut head: Parts,
    message: Bytes,
) -> Response<BoxBody<Bytes, Infallible>> {
    if takes_anything(&head.headers) {
        head.headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    }
    let most = usize::try_from(super::MAX_MESSAGE).unwrap_or(usize::MAX);
    // The host has checked the names of the host and of the page. When it ends it waits for the calls at work.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(Some(PING_INTERVAL))
        .with_max_request_body_bytes(most)
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let make = move || Ok(server.clone());
    let mut service = StreamableHttpService::new(make, Arc::new(NeverSessionManager::default()), config);
    match service.call(Request::from_parts(head, Full::new(message))).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// True for a client that does not say what it takes, such as curl.
fn takes_anything(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().peekable();
    accepted.peek().is_none() || accepted.any(|value| value.as_bytes().windows(3).any(|part| part == b"*/*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_message_says_what_the_door_does_itself() {
        let head = |text: &str| MessageHead::read(text.as_bytes());
        assert!(head(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}"#).initializes());
        let cancelled =
            head(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"late"}}"#);
        assert_eq!(cancelled.cancels(), Some(&NumberOrString::Number(7)));
        for text in ["", "[]", "nonsense", r#"{"method":"tools/call","params":{"requestId":7}}"#, r#"{"method":3}"#] {
            assert!(!head(text).initializes() && head(text).cancels().is_none(), "{text}");
        }
    }
}
