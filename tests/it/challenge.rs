//! Checks the 402 answer to a request without a payment: both versions, CORS, sizes, and input that is refused first.

use coinslot_tests::{DevHost, declaring, decode, guest, raw, take_secret};
use serde_json::{Value, json};

#[tokio::test]
async fn one_402_carries_both_protocol_versions() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let reply = host.client().post(host.url("/echo")).send().await.expect("an answer");
    assert_eq!(reply.status(), 402);
    assert_eq!(reply.headers()["cache-control"], "no-store");
    assert_eq!(reply.headers()["content-type"], "application/json");
    let header = reply.headers()["payment-required"].to_str().expect("ASCII").to_owned();
    assert!(header.len() <= 4096, "{} bytes", header.len());
    let mut v2 = decode(&header);
    let secret = take_secret(&mut v2["accepts"][0]);
    assert_eq!(secret.len(), 32, "an unguessable value");
    let entry = json!({
        "scheme": "exact",
        "network": "eip155:84532",
        "amount": "10000",
        "asset": host.dev_json()["asset"],
        "payTo": host.dev_json()["payTo"],
        "maxTimeoutSeconds": 300,
        "extra": { "name": "USDC", "version": "2" },
    });
    assert_eq!(v2["x402Version"], 2);
    assert_eq!(v2["error"], "Payment required");
    assert_eq!(v2["resource"]["url"], host.url("/echo"));
    assert_eq!(v2["accepts"], json!([entry]));
    assert!(v2.get("extensions").is_none_or(|extensions| !extensions.is_null()));
    let v1: Value = reply.json().await.expect("JSON");
    assert_eq!(v1["x402Version"], 1);
    assert_eq!(v1["accepts"][0]["network"], "base-sepolia");
    assert_eq!(v1["accepts"][0]["maxAmountRequired"], "10000");
    assert_eq!(v1["accepts"][0]["resource"], host.url("/echo"));
    assert!(v1["accepts"][0]["mimeType"].is_string() && v1["accepts"][0]["description"].is_string());
    assert!(v1["accepts"][0].get("outputSchema").is_none_or(Value::is_object));
    assert_eq!(host.ledger(), [""; 0]);
}

#[tokio::test]
async fn client_supplied_host_headers_do_not_reach_the_challenge() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let reply = host
        .client()
        .post(host.url("/echo"))
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("forwarded", "host=evil.example;proto=https")
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.status(), 402);
    let required = decode(reply.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["resource"]["url"], host.url("/echo"));
    assert!(!reply.text().await.expect("a body").contains("evil"));
}

#[tokio::test]
async fn head_and_options_neither_charge_nor_run_the_plugin() {
    let host =
        DevHost::builder().plugin("aurora.wasm", &guest("aurora")).plugin("trap.wasm", &guest("trap")).start().await;
    let head = host.client().head(host.url("/api/gitignore?stack=rust")).send().await.expect("an answer");
    assert_eq!(head.status(), 402);
    assert!(head.headers().contains_key("payment-required"));
    let paid_head = host.payer(0).pay(&head);
    let head = host
        .client()
        .head(host.url("/api/gitignore?stack=rust"))
        .header("payment-signature", paid_head.header())
        .send()
        .await
        .expect("an answer");
    assert_eq!(head.status(), 402, "a payment on HEAD buys nothing and is not taken");
    assert_eq!(host.ledger(), [""; 0]);
    let options = host
        .client()
        .request(reqwest::Method::OPTIONS, host.url("/trap"))
        .header("origin", "https://shop.example.com")
        .header("access-control-request-headers", "payment-signature,access-control-expose-headers")
        .send()
        .await
        .expect("an answer");
    assert_eq!(options.status(), 204);
    assert_eq!(options.headers()["access-control-allow-origin"], "*");
    let allowed = options.headers()["access-control-allow-headers"].to_str().expect("ASCII").to_ascii_lowercase();
    for needed in ["payment-signature", "access-control-expose-headers"] {
        assert!(allowed.contains(needed), "{needed} is missing from {allowed}");
    }
}

#[tokio::test]
async fn a_browser_may_read_the_challenge() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let plain = host.client().post(host.url("/echo")).send().await.expect("an answer");
    assert_eq!(
        (plain.status().as_u16(), &plain.headers()["cache-control"]),
        (402, &"no-store".parse().expect("ASCII"))
    );
    assert!(!plain.headers().contains_key("access-control-expose-headers"), "the request came from no page");
    let reply = host
        .client()
        .post(host.url("/echo"))
        .header("origin", "https://shop.example.com")
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.headers()["access-control-allow-origin"], "*");
    let exposed = reply.headers()["access-control-expose-headers"].to_str().expect("ASCII").to_ascii_lowercase();
    for needed in ["payment-required", "payment-response", "x-payment-response"] {
        assert!(exposed.contains(needed), "{needed} is missing from {exposed}");
    }
}

#[tokio::test]
async fn an_empty_request_is_challenged_and_bad_input_is_refused_before_payment() {
    let host = DevHost::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
    for (method, path) in [
        ("GET", "/api/gitignore"),
        ("POST", "/api/code-review"),
        ("POST", "/api/debug-error"),
        ("GET", "/api/agent-insights"),
    ] {
        let method = method.parse::<reqwest::Method>().expect("a method");
        let probe = host.client().request(method, host.url(path)).send().await.expect("an answer");
        assert_eq!(probe.status(), 402, "{path}");
    }
    let unknown = host.client().get(host.url("/api/gitignore?stack=zzqqxx")).send().await.expect("an answer");
    assert_eq!(unknown.status(), 400);
    let body: Value = unknown.json().await.expect("JSON");
    assert_eq!(body["error"], "unknown_stack");
    assert!(body["message"].as_str().is_some_and(|message| message.len() > 20), "{body}");
    let broken = host.client().post(host.url("/api/code-review")).body("{").send().await.expect("an answer");
    assert!((400..500).contains(&broken.status().as_u16()) && broken.status() != 402, "{}", broken.status());
}

#[tokio::test]
async fn a_long_query_still_gets_a_challenge_that_can_be_paid() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let reply =
        host.client().post(host.url(&format!("/echo?q={}", "x".repeat(6_000)))).send().await.expect("an answer");
    assert_eq!(reply.status(), 402);
    let header = reply.headers()["payment-required"].to_str().expect("ASCII");
    assert!(header.len() <= 4096, "{} bytes", header.len());
    let challenge = decode(header);
    assert_eq!(challenge["accepts"][0]["amount"], "10000");
    // The path alone, which is still the request's own.
    assert_eq!(challenge["resource"]["url"], host.url("/echo").as_str());
}

/// The bound was for PAYMENT-REQUIRED alone, and nginx takes a head of 4 KiB: a 402 with a query of about 2,400 bytes
/// was a 502 behind it.
#[tokio::test]
async fn the_whole_head_of_a_challenge_fits_four_kibibytes() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    for length in (0..4_200).step_by(60) {
        let query = "x".repeat(length);
        let request = format!(
            "POST /echo?q={query} HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = raw(&host.url(""), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 402 "), "{answer}");
        let head = answer.find("\r\n\r\n").expect("an end of the head") + 4;
        assert!(head <= 4_096, "{head} bytes with a query of {length}");
    }
}

/// The template stood for the path as soon as the query was too long.
#[tokio::test]
async fn a_challenge_names_the_path_of_its_request_where_its_query_does_not_fit() {
    let builder = DevHost::builder();
    std::fs::write(builder.path("plugins").join("shop.wasm"), declaring("/items/{id} exact 0.01"))
        .expect("a component");
    let host = builder.start().await;
    let challenged = async |path: String| {
        let reply = host.client().get(host.url(&path)).send().await.expect("an answer");
        assert_eq!(reply.status(), 402, "{path}");
        decode(reply.headers()["payment-required"].to_str().expect("ASCII"))["resource"]["url"].clone()
    };
    let long = "x".repeat(3_800);
    assert_eq!(challenged("/items/7?q=1".to_owned()).await, host.url("/items/7?q=1").as_str());
    assert_eq!(challenged(format!("/items/7?q={long}")).await, host.url("/items/7").as_str());
    // Nothing of the path's own can be named.
    assert_eq!(challenged(format!("/items/{long}")).await, host.url("/items/{id}").as_str());
}
