//! Returns without an answer; with `?error` answers with an error instead of a response.

use kit::{IncomingRequest, ResponseOutparam, http, plugin, query};

kit::guest!(Ok(plugin("silent")), handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if query(&request) == "error" {
        ResponseOutparam::set(out, Err(http::ErrorCode::InternalError(Some("no luck".into()))));
    }
}
