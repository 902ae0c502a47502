//! Checks that headers which belong to the host (payments, connection, the whole site) never leave a plugin.

use alloy::primitives::{Address, U256};
use coinslot_tests::{DevHost, decode, encode, guest, raw};
use http_body_util::BodyExt as _;
use reqwest::{Client, Method, RequestBuilder, Response, Version};
use serde_json::{Value, json};

/// The receiver that the guest `emit` names.
const FORGED_RECEIVER: &str = "0x00000000000000000000000000000000deadbeef";

/// The headers that only the host may write.
const RESERVED: &[&str] = &[
    "payment-required",
    "payment-response",
    "payment-signature",
    "payment-of-tomorrow",
    "x-payment",
    "x-payment-response",
    "x-payment-of-tomorrow",
    "settlement-overrides",
    "extension-responses",
    "x-coinslot-payment-id",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-max-age",
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "surrogate-control",
    "edge-control",
    "x-accel-expires",
    "x-accel-redirect",
    "x-sendfile",
    "x-lighttpd-send-file",
    "x-reproxy-url",
    "nel",
    "report-to",
    "reporting-endpoints",
    "accept-ch",
    "origin-agent-cluster",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "set-cookie",
    "clear-site-data",
    "strict-transport-security",
    "alt-svc",
    "service-worker-allowed",
];

/// The methods of the guest's routes: free, authorization flow, upfront flow.
const METHODS: [Method; 3] = [Method::GET, Method::POST, Method::PUT];

/// Sends a request, with a payment unless it is free.
async fn bought(
    client: &Client,
    host: &DevHost,
    method: &Method,
    path: &str,
    ask: impl Fn(RequestBuilder) -> RequestBuilder,
) -> Response {
    let request = || ask(client.request(method.clone(), host.url(path)));
    let reply = request().send().await.expect("an answer");
    if *method == Method::GET {
        return reply;
    }
    assert_eq!(reply.status(), 402, "{method} {path}");
    let payment = host.payer(0).pay(&reply).header();
    request().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer")
}

/// Asserts that no header has a forged value.
#[track_caller]
fn check_head(reply: &Response, what: &str) {
    for (name, value) in reply.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        assert!(!value.contains("forged"), "{what}: {name}: {value}");
    }
    let headers = reply.headers();
    assert_eq!(headers["access-control-allow-origin"], "*", "{what}");
    assert!(!headers.contains_key("access-control-allow-credentials"), "{what}");
}

/// A plugin's refusal at a paid route could be kept by a cache, which then gave it to those who would pay.
#[tokio::test]
async fn a_refusal_of_a_plugin_at_a_paid_route_is_private() {
    let host = DevHost::builder().plugin("emit.wasm", &guest("emit")).start().await;
    for method in [Method::POST, Method::PUT] {
        let refused = |request: RequestBuilder| {
            let request = request.header("x-status", "404").header("x-emit", "cdn-cache-control: public, max-age=3600");
            request.header("x-emit", "cache-control: public, max-age=3600")
        };
        let reply = bought(host.client(), &host, &method, "/emit", refused).await;
        assert_eq!(reply.status(), 404, "{method}");
        assert_eq!(reply.headers()["cache-control"], "private, max-age=3600", "{method}");
        assert!(!reply.headers().contains_key("cdn-cache-control"), "{method}");
    }
}

/// This failed as follows: five names of payment headers were removed from a plugin's answer. Others in that namespace,
/// and Set-Cookie, Clear-Site-Data, Strict-Transport-Security, Alt-Svc and Service-Worker-Allowed, went through,
/// although they apply to every other plugin under the same name.
#[tokio::test]
async fn headers_reserved_for_the_host_never_leave_a_plugin() {
    let host =
        DevHost::builder().plugin("emit.wasm", &guest("emit")).plugin("echo3.wasm", &guest("echo3")).start().await;
    let forge = |field: &'static str| {
        move |request: RequestBuilder| {
            let request = request.header(field, "x-mine: kept").header(field, "cache-control: public, max-age=3600");
            let request = request.header(field, "expires: Thu, 01 Jan 2099 00:00:00 GMT");
            RESERVED.iter().fold(request, |request, name| request.header(field, format!("{name}: forged")))
        }
    };
    // Only HTTP/2 carries trailers without an announcement.
    let second = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    for client in [host.client(), &second] {
        for method in METHODS {
            let paid = method != Method::GET;
            let reply = bought(client, &host, &method, "/emit", forge("x-emit")).await;
            let what = format!("{method} by {:?}", reply.version());
            assert_eq!(reply.status(), 200, "{what}");
            check_head(&reply, &what);
            assert_eq!(reply.headers()["x-mine"], "kept", "{what}");
            assert_eq!(reply.headers().contains_key("expires"), !paid, "{what}");
            let cache = reply.headers()["cache-control"].to_str().expect("ASCII");
            let expected = if paid { "private, max-age=3600" } else { "public, max-age=3600" };
            assert_eq!(cache, expected, "{what}");
            assert_eq!(reply.headers().contains_key("payment-response"), paid, "{what}");
            let body: Value = reply.json().await.expect("JSON");
            assert!(!body["refused"].to_string().contains("x-mine"), "{what}: {body}");

            let reply = bought(client, &host, &method, "/emit", forge("x-emit-trailer")).await;
            assert_eq!(reply.status(), 200, "{what}");
            check_head(&reply, &what);
            // An answer that is held until its settlement loses its trailers.
            let expected: &[&str] =
                if reply.version() == Version::HTTP_2 && !paid { &["x-mine", "cache-control", "expires"] } else { &[] };
            let trailers = reqwest::Body::from(reply).collect().await.expect("a body").trailers().cloned();
            let kept: Vec<_> = trailers.iter().flatten().map(|(name, _)| name.as_str()).collect();
            assert_eq!(kept, expected, "{what}");
        }
    }
    let reply = bought(host.client(), &host, &Method::POST, "/echo3", forge("x-emit")).await;
    assert_eq!(reply.status(), 200);
    check_head(&reply, "WASI 0.3");
    assert_eq!(reply.headers()["x-mine"], "kept");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(90_000), "nine times a cent");
}

/// Splits off the first answer: head, body and rest. `None` if the answer is cut off.
fn answer(text: &str) -> Option<(&str, String, &str)> {
    let (head, mut rest) = text.split_once("\r\n\r\n")?;
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let values: Vec<&str> = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect();
        assert!(values.len() < 2, "{name} stands twice: {head}");
        values.first().copied()
    };
    match (field("content-length"), field("transfer-encoding")) {
        (Some(length), None) => {
            let (body, rest) = rest.split_at_checked(length.parse().expect("a length"))?;
            Some((head, body.to_owned(), rest))
        }
        (None, Some("chunked")) => {
            let mut body = String::new();
            loop {
                let (size, after) = rest.split_once("\r\n")?;
                let size = usize::from_str_radix(size, 16).expect("a chunk's size");
                let (chunk, after) = after.split_at_checked(size)?;
                rest = after.strip_prefix("\r\n").expect("a chunk's end");
                body.push_str(chunk);
                if size == 0 {
                    return Some((head, body, rest));
                }
            }
        }
        // For HTTP/1.0 the end of the connection ends a streamed body.
        (None, None) => Some((head, rest.to_owned(), "")),
        both => panic!("two lengths, {both:?}: {head}"),
    }
}

#[tokio::test]
async fn no_length_or_line_break_from_a_plugin_splits_a_response() {
    let host = DevHost::builder().plugin("emit.wasm", &guest("emit")).start().await;
    for emit in [
        &["content-length: 3"][..],
        &["content-length: 99999"],
        &["content-length: 3", "content-length: 5"],
        &["content-length: +3"],
        &["content-length: 3, 3"],
        &["transfer-encoding: chunked"],
        &["transfer-encoding: identity", "content-length: 3"],
        &["x-a: b\\r\\nset-cookie: forged"],
        &["x-a: b\\nset-cookie: forged"],
        &["x-a: b\\r\\n\\r\\nHTTP/1.1 200 OK\\r\\ncontent-length: 6\\r\\n\\r\\nforged"],
        &["x-a\\r\\nset-cookie: forged"],
        &["x-a\\r\\n\\r\\nforged: b"],
        &["x a: forged"],
        &[": forged"],
    ] {
        for version in ["1.1", "1.0"] {
            let emit: String = emit.iter().map(|line| format!("x-emit: {line}\r\n")).collect();
            let request = format!(
                "GET /emit HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n{emit}\r\n\
                 GET /emit HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n"
            );
            let said = raw(&host.url(""), request.as_bytes()).await;
            let count = said.matches("HTTP/1.").count();
            let Some((head, body, rest)) = answer(&said) else {
                // A wrong length shows only after the head has left: the connection then ends.
                let broken = emit.contains("content-length") && count <= 1 && !said.contains("forged");
                assert!(broken, "no whole answer: {request}{said}");
                continue;
            };
            // The guest lists refused names in its body.
            assert!(!head.contains("forged"), "{request}{said}");
            if head.contains(" 502 ") {
                assert!(body.contains("\"plugin_no_answer\""), "{request}{said}");
            } else {
                // A streamed body is cut at the length that the plugin declared.
                let whole = body.starts_with("{\"refused\"") && body.ends_with("deadbeef\"}");
                let short = emit.contains("content-length") && body == "{\"r";
                assert!(head.contains(" 200 ") && (whole || short), "{request}{said}");
            }
            if count > 1 {
                let (head, body, rest) = answer(rest).unwrap_or_else(|| panic!("no second answer: {request}{said}"));
                let fine = head.contains(" 200 ") && !head.contains("forged") && body.starts_with("{\"refused\":[]");
                assert!(fine && rest.is_empty(), "{request}{said}");
            }
        }
    }
}

#[tokio::test]
async fn a_plugin_that_answers_402_itself_is_a_502_without_a_settlement() {
    let host = DevHost::builder().plugin("emit.wasm", &guest("emit")).start().await;
    let accepts = json!([{ "scheme": "exact", "network": "eip155:1", "amount": "1", "payTo": FORGED_RECEIVER }]);
    let forged = encode(&json!({ "x402Version": 2, "accepts": accepts }));
    let ask = |request: RequestBuilder| {
        request.header("x-status", "402").header("x-emit", format!("payment-required: {forged}"))
    };
    for (method, charged, dollars) in [(Method::GET, "no", 0), (Method::POST, "no", 0), (Method::PUT, "yes", 10_000)] {
        let reply = bought(host.client(), &host, &method, "/emit", ask).await;
        assert_eq!(reply.status(), 502, "{method}");
        assert!(!reply.headers().contains_key("payment-required"), "{method}");
        let text = reply.text().await.expect("a body");
        let body: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&body["error"], &body["charged"]), (&json!("plugin_broke_contract"), &json!(charged)), "{method}");
        assert!(!text.to_ascii_lowercase().contains("deadbeef"), "{method}: {text}");
        assert_eq!(host.chain().balance(host.seller()).await, U256::from(dollars), "{method}");
    }
    host.wait_for_ledger(&["owed"]).await;
}

#[tokio::test]
async fn a_plugin_cannot_choose_receiver_token_or_network() {
    let host = DevHost::builder().plugin("emit.wasm", &guest("emit")).start().await;
    for method in [Method::POST, Method::PUT] {
        let challenge = host.client().request(method.clone(), host.url("/emit")).send().await.expect("an answer");
        let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
        let text = challenge.text().await.expect("a body");
        let body: Value = serde_json::from_str(&text).expect("JSON");
        for accepts in [&required["accepts"], &body["accepts"]] {
            let [entry] = accepts.as_array().expect("offers").as_slice() else { panic!("{method}: {accepts}") };
            let paid_to: Address = entry["payTo"].as_str().expect("text").parse().expect("an address");
            assert_eq!(paid_to, host.seller(), "{method}: {entry}");
            assert_eq!(entry["asset"], host.dev_json()["asset"], "{method}: {entry}");
            assert!(matches!(entry["network"].as_str(), Some("eip155:84532" | "base-sepolia")), "{method}: {entry}");
            let amount = entry.get("amount").or_else(|| entry.get("maxAmountRequired")).expect("an amount");
            assert_eq!(amount, "10000", "{method}: {entry}");
        }
        let said = format!("{required}{text}").to_ascii_lowercase();
        assert!(!said.contains("deadbeef") && !said.contains("eip155:1\""), "{method}: {said}");
        let reply = bought(host.client(), &host, &method, "/emit", |request| request).await;
        assert_eq!(reply.status(), 200, "{method}");
    }
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(20_000));
    assert_eq!(host.chain().balance(FORGED_RECEIVER.parse().expect("an address")).await, U256::ZERO);
}
