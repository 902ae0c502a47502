//! Compares the media type of an answer with the one that its endpoint declares.

use http::header::CONTENT_TYPE;
use http_body::Body as _;

use super::RequestOutcome;
use crate::endpoint::Endpoint;
use crate::respond::Reply;
use crate::schema::essence;

/// Advice for an answer whose media type is not the one that its endpoint declares: clients choose by the declared one.
pub(super) fn media_type_advice(endpoint: &Endpoint, outcome: RequestOutcome, reply: &Reply) -> Option<String> {
    let is_of_plugin = matches!(outcome, RequestOutcome::Free | RequestOutcome::Paid | RequestOutcome::PaidBefore);
    let has_content = reply.status().is_success() && reply.status().as_u16() != 204;
    if !is_of_plugin || !has_content {
        return None;
    }
    let header = reply.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let (sent, declared) = (essence(header.as_deref().unwrap_or_default()), essence(&endpoint.resource.mime_type));
    let is_empty = sent.is_empty() && reply.body().size_hint().exact() == Some(0);
    if is_empty || declared.is_empty() || sent == declared {
        return None;
    }
    let sent = if sent.is_empty() { "missing" } else { &sent };
    Some(format!("the answer's media type is {sent}, and {declared} is declared"))
}
