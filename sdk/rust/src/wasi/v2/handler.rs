//! Exports `wasi:http/incoming-handler`.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

use super::body::send_body;
use crate::Response;
use crate::exports::{PluginExports, log_panics};
use crate::wasi::{append_fields, log_cut_short, serve};

#[allow(unsafe_code, reason = "generated: exported functions take what the canonical ABI passes")]
mod export {
    use super::PluginExports;

    wasip2::http::proxy::export!(PluginExports with_types_in wasip2);
}

impl wasip2::exports::http::incoming_handler::Guest for PluginExports {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        log_panics();
        wstd::runtime::block_on(async move {
            let request = wstd::http::request::try_from_incoming(request);
            let response = serve(request.map(|request| request.map(wstd::http::Body::into_boxed_body))).await;
            send_response(response, out).await;
        });
    }
}

async fn send_response(response: Response, out: ResponseOutparam) {
    let (head, body) = response.into_parts();
    let fields = Fields::new();
    append_fields(head.status, &head.headers, &body, |name, value| fields.append(name.as_str(), value));
    let outgoing = OutgoingResponse::new(fields);
    outgoing.set_status_code(head.status.as_u16()).expect("a StatusCode is in range");
    let outgoing_body = outgoing.body().expect("its body is taken once");
    ResponseOutparam::set(out, Ok(outgoing));
    let _ = send_body(body, outgoing_body, log_cut_short).await;
}
