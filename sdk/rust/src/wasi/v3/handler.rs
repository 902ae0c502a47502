//! Exports `wasi:http/handler`.

use wasip3::http::types::{ErrorCode, Fields, Request, Response as WasiResponse};
use wasip3::http_compat::{BodyWriter, http_from_wasi_request};

use super::body::send_body;
use crate::Response;
use crate::exports::{PluginExports, log_panics};
use crate::wasi::{append_fields, log_cut_short, serve};

#[allow(unsafe_code, reason = "generated: exported functions take what the canonical ABI passes")]
mod export {
    use super::PluginExports;

    wasip3::http::service::export!(PluginExports with_types_in wasip3);
}

impl wasip3::exports::http::handler::Guest for PluginExports {
    async fn handle(request: Request) -> Result<WasiResponse, ErrorCode> {
        log_panics();
        Ok(outgoing(serve(http_from_wasi_request(request)).await))
    }
}

/// The response for the host, whose body is sent after it by the same task.
fn outgoing(response: Response) -> WasiResponse {
    let (head, body) = response.into_parts();
    let fields = Fields::new();
    append_fields(head.status, &head.headers, &body, |name, value| fields.append(name.as_str(), value));
    let (writer, contents, end) = BodyWriter::new();
    let (response, _sent) = WasiResponse::new(fields, Some(contents), end);
    response.set_status_code(head.status.as_u16()).expect("a StatusCode is in range");
    wasip3::spawn_local(async move {
        let _ = send_body(body, writer, log_cut_short).await;
    });
    response
}
