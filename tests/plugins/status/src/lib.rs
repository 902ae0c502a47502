//! Answers with the status that the query names, and with headers that belong to the host.

use kit::{IncomingRequest, OutgoingBody, ResponseOutparam, head, plugin, query, write};

kit::guest!(Ok(plugin("status")), handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let status = query(&request).parse().unwrap_or(200);
    let body = head(
        out,
        status,
        &[
            ("content-type", "text/plain"),
            ("payment-response", "forged"),
            ("payment-required", "forged"),
            ("set-cookie", "a=b"),
            ("cache-control", "public, max-age=3600"),
        ],
    );
    write(&body, b"as asked").expect("a reader");
    OutgoingBody::finish(body, None).expect("the whole body");
}
