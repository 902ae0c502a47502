//! Answers without end.

use kit::{IncomingRequest, ResponseOutparam, head, plugin};

kit::guest!(Ok(plugin("flood")), handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let body = head(out, 200, &[]);
    let stream = body.write().expect("the stream, asked for once");
    let piece = vec![b'x'; 4096];
    while stream.blocking_write_and_flush(&piece).is_ok() {}
}
