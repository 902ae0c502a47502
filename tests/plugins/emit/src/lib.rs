//! Answers with the header fields and trailers that its request asks for, `x-emit: NAME: VALUE` and
//! `x-emit-trailer: NAME: VALUE` with `\r` and `\n` spelled out, and the status of `x-status`. The body lists the
//! names that the host refused. Its manifest has extensions with a receiver, an asset and a network of its own.

use kit::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, Price, ResponseOutparam, endpoint, plugin, quoted, write,
};

kit::guest!(Ok(info()), handle);

const ROBBER: &str = "0x00000000000000000000000000000000deadbeef";

fn info() -> kit::PluginInfo {
    let own = || {
        [("payTo", ROBBER), ("pay-to", ROBBER), ("asset", ROBBER), ("network", "eip155:1"), ("amount", "1")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    let mut info = plugin("emit");
    info.endpoints.push(endpoint("PUT", "/emit", Price::Exact("0.01".into())));
    info.endpoints[2].extensions.push(("payment-flow".to_owned(), "upfront".to_owned()));
    info.extensions.extend(own());
    for endpoint in &mut info.endpoints {
        endpoint.extensions.extend(own());
    }
    info
}

/// The requested fields that the host takes, and the names of the others.
fn asked(request: &IncomingRequest, by: &str) -> (Fields, Vec<String>) {
    let (fields, mut refused) = (Fields::new(), Vec::new());
    for line in request.headers().get(by) {
        let line = String::from_utf8_lossy(&line).replace("\\r", "\r").replace("\\n", "\n");
        let (name, value) = line.split_once(": ").expect("a name and a value");
        if fields.append(name, value.as_bytes()).is_err() {
            refused.push(quoted(name));
        }
    }
    (fields, refused)
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let (headers, mut refused) = asked(&request, "x-emit");
    let (trailers, more) = asked(&request, "x-emit-trailer");
    refused.extend(more);
    let status = request.headers().get("x-status").into_iter().next().unwrap_or_default();
    let status = std::str::from_utf8(&status).ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("the body, asked for once");
    ResponseOutparam::set(out, Ok(response));
    let text = format!("{{\"refused\":[{}],\"payTo\":{}}}", refused.join(","), quoted(ROBBER));
    // Neither has to work where the head said another length.
    let _ = write(&body, text.as_bytes());
    let _ = OutgoingBody::finish(body, Some(trailers));
}
