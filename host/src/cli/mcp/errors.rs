//! Says in plain words why a remote server of MCP did not answer. The library's own words name its types.

use std::error::Error;

use coinslot_base::text::excerpt;
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::streamable_http_client::StreamableHttpError;
use rmcp::transport::worker::WorkerQuitReason;

use crate::cli::pay;

/// The most characters of a server's text in a message.
const MOST_SHOWN: usize = 300;

/// The errors of the transport.
type HttpError = StreamableHttpError<reqwest::Error>;

/// The reason why there is no connection.
pub(super) fn why_unconnected(error: &ClientInitializeError) -> String {
    if let ClientInitializeError::LegacyFallbackFailed { fallback, .. } = error {
        return why_unconnected(fallback);
    }
    match error {
        // It is not the source of this error, as the library writes it.
        ClientInitializeError::TransportError { error, .. } => {
            way(error.error.as_ref()).unwrap_or_else(|| "the connection failed".to_owned())
        }
        ClientInitializeError::JsonRpcError(error) => format!("it refuses: {}", excerpt(&error.message, MOST_SHOWN)),
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            "it speaks no version of the protocol that this program speaks".to_owned()
        }
        ClientInitializeError::ConnectionClosed(_) => "it closed the connection".to_owned(),
        _ => "its answer is none to `initialize`".to_owned(),
    }
}

/// The reason why a call has no answer.
pub(super) fn why_unanswered(error: &ServiceError) -> String {
    let of_way = way(error);
    match error {
        _ if of_way.is_some() => of_way.unwrap_or_default(),
        ServiceError::McpError(error) => excerpt(&error.message, MOST_SHOWN),
        ServiceError::Timeout { timeout } => {
            format!("it took more than {} seconds (see --timeout of `coinslot mcp`)", timeout.as_secs())
        }
        ServiceError::TransportClosed => "the connection is closed: start `coinslot mcp` again".to_owned(),
        ServiceError::Cancelled { .. } => "the call was given up".to_owned(),
        _ => "its answer is none to this call".to_owned(),
    }
}

/// The trouble on the way to the server, if it is one.
fn way(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return Some(of_http(error));
        }
        if let Some(WorkerQuitReason::Fatal { error, .. }) = error.downcast_ref::<WorkerQuitReason<HttpError>>() {
            return Some(of_http(error));
        }
        if let Some(error) = error.downcast_ref::<reqwest::Error>() {
            return Some(pay::describe(error));
        }
        cause = error.source();
    }
    None
}

fn of_http(error: &HttpError) -> String {
    match error {
        HttpError::Client(error) => pay::describe(error),
        HttpError::HttpStatus(answer) => excerpt(&answer.to_string(), MOST_SHOWN),
        HttpError::UnexpectedContentType(kind) => {
            let kind = kind.as_deref().map_or_else(|| "without a type".to_owned(), |kind| excerpt(kind, MOST_SHOWN));
            format!("its answer is {kind}, and not JSON: is this the address of its MCP path?")
        }
        HttpError::ResponseBodyTooLarge { max_size } => format!("its answer has more than {max_size} bytes"),
        HttpError::AuthRequired(_) => "it wants credentials (401)".to_owned(),
        HttpError::InsufficientScope(_) => "it wants other credentials (403)".to_owned(),
        HttpError::UnexpectedEndOfStream | HttpError::Io(_) | HttpError::Sse(_) => {
            "the connection broke off".to_owned()
        }
        HttpError::UnexpectedServerResponse(why) => format!("not as agreed: {}", excerpt(why, MOST_SHOWN)),
        HttpError::Deserialize(_) => "its answer is no message of MCP".to_owned(),
        HttpError::SessionExpired | HttpError::SessionRecoveryTimeout | HttpError::ReinitializationFailed(_) => {
            "its session has ended, and no new one could be had: start `coinslot mcp` again".to_owned()
        }
        _ => "the connection failed".to_owned(),
    }
}
