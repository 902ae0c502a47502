//! The exported `wasi:http/incoming-handler`.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

use super::body::{IncomingBody, send_body};
use crate::body::Body;
use crate::dispatch::{self, RawRequest};
use crate::exports::{PluginExports, log_panics};
use crate::{Refusal, Response, log};

#[allow(unsafe_code, reason = "generated: exported functions take what the canonical ABI passes")]
mod export {
    use super::PluginExports;

    wasip2::http::proxy::export!(PluginExports with_types_in wasip2);
}

impl wasip2::exports::http::incoming_handler::Guest for PluginExports {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        log_panics();
        wstd::runtime::block_on(async move {
            let response = match wstd::http::request::try_from_incoming(request) {
                Ok(request) => {
                    let (head, body) = request.into_parts();
                    dispatch::serve(RawRequest {
                        method: head.method,
                        path: head.uri.path().to_owned(),
                        query: head.uri.query().map(str::to_owned),
                        headers: head.headers,
                        body: Body::chunks(IncomingBody::new(body)),
                    })
                    .await
                }
                Err(error) => {
                    log::warn(format_args!("a request that is not HTTP: {error:#}"));
                    Refusal::bad_request("invalid_request", "the request is not valid HTTP").response()
                }
            };
            send_response(response, out).await;
        });
    }
}

async fn send_response(response: Response, out: ResponseOutparam) {
    let (head, body) = response.into_parts();
    let fields = Fields::new();
    let mut has_length = false;
    for (name, value) in &head.headers {
        has_length |= name == http::header::CONTENT_LENGTH;
        if let Err(error) = fields.append(name.as_str(), value.as_bytes()) {
            log::warn(format_args!("the header {name} is not for a plugin to set: {error}"));
        }
    }
    // A response with one of these statuses and without a body has no length either (RFC 9110, section 8.6).
    if let (Some(whole), false) = (body.whole(), has_length)
        && (!whole.is_empty() || !matches!(head.status.as_u16(), 204 | 304))
        && let Err(error) = fields.append("content-length", whole.len().to_string().as_bytes())
    {
        log::warn(format_args!("the answer has no content-length: {error}"));
    }
    let outgoing = OutgoingResponse::new(fields);
    outgoing.set_status_code(head.status.as_u16()).expect("a StatusCode is in range");
    let outgoing_body = outgoing.body().expect("its body is taken once");
    ResponseOutparam::set(out, Ok(outgoing));
    if let Err(error) = send_body(body, outgoing_body).await {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        log::error(format_args!("an answer was cut short: {source}"));
    }
}
