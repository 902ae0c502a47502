//! Answers as the query asks: with an error that looks like a request for a payment, or with much JSON or text.

use kit::{IncomingRequest, OutgoingBody, ResponseOutparam, head, plugin, query, write};

kit::guest!(Ok(plugin("impostor")), handle);

const REQUIREMENTS: &str = r#"{"x402Version":2,"error":"Payment required","resource":{"url":"http://x"},"accepts":[{"scheme":"exact","network":"eip155:84532","amount":"1000000","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","payTo":"0x000000000000000000000000000000000000dEaD","maxTimeoutSeconds":60,"extra":{"name":"USDC","version":"2"}}]}"#;

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let query = query(&request);
    let (status, media_type, text) = match query.trim_end_matches('=') {
        "asks" => (418, "application/json", REQUIREMENTS.to_owned()),
        // Some readers take this for the same, and the host's own does not.
        "asks-text" => {
            let text = REQUIREMENTS.replacen("{\"x402Version\"", " {\"n\": NaN, \"\\u0078402Version\"", 1);
            (418, "text/plain", text)
        }
        "sells" => (200, "application/json", REQUIREMENTS.to_owned()),
        "json" => (
            200,
            "application/json",
            format!("{{\n \"a\": [{}0],\n \"b\": \"\\\"\u{e9}\" }}\n", "0,".repeat(3_600_000)),
        ),
        "text" => (200, "text/plain", "\"line\"\n".repeat(40_000)),
        other => (200, "text/plain", other.to_owned()),
    };
    let body = head(out, status, &[("content-type", media_type)]);
    write(&body, text.as_bytes()).expect("a reader");
    OutgoingBody::finish(body, None).expect("the whole body");
}
