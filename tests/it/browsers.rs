//! Checks what pages may send and read, and that event streams pass proxies.

use coinslot_tests::{DevHost, guest};
use reqwest::Method;

#[tokio::test]
async fn a_page_sends_its_own_header_fields_and_reads_those_of_the_plugin() {
    let host = DevHost::builder().plugin("emit.wasm", &guest("emit")).start().await;
    let preflight = host.client().request(Method::OPTIONS, host.url("/emit")).header("origin", "https://a.example");
    let preflight = preflight
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "traceparent,baggage,idempotency-key,x-request-id");
    let reply = preflight.send().await.expect("an answer");
    assert_eq!(reply.status(), 204);
    let headers = reply.headers();
    assert_eq!(headers["access-control-allow-headers"], "traceparent,baggage,idempotency-key,x-request-id");
    assert_eq!(headers["access-control-max-age"], "600", "a plugin may get other methods meanwhile");
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let reply = host.client().get(host.url("/emit")).header("x-emit", "x-total-count: 7").send().await;
    let reply = reply.expect("an answer");
    assert_eq!(reply.headers()["x-total-count"], "7");
    let exposed = reply.headers()["access-control-expose-headers"].to_str().expect("ASCII");
    assert!(exposed.split(", ").any(|name| name == "*"), "{exposed}");
}

#[tokio::test]
async fn an_event_stream_tells_proxies_not_to_collect_it() {
    let host = DevHost::builder().plugin("ticker.wasm", &guest("ticker")).start().await;
    let free = host.client().get(host.url("/ticker")).header("x-do", "event").send().await.expect("an answer");
    assert_eq!(free.headers()["x-accel-buffering"], "no");
    assert_eq!(free.text().await.expect("a body"), "data: 1\n\n");
    let ask = || host.client().post(host.url("/ticker")).header("x-do", "event");
    let challenge = ask().send().await.expect("a challenge");
    let payment = host.payer(0).pay(&challenge).header();
    let paid = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(paid.headers()["x-accel-buffering"], "no");
    assert_eq!(paid.text().await.expect("a body"), "data: 1\n\n");
}
