//! Checks HTTP/2 without TLS, as proxies speak it to a backend: the same prices and answers as HTTP/1.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, Http2, decode, guest};
use hyper::{Request, Version};
use serde_json::Value;

#[tokio::test]
async fn http_2_with_prior_knowledge_gets_free_and_paid_answers() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let mut http2 = Http2::connect(&host.url("")).await;
    let free = http2.send(Request::get(host.url("/echo"))).await;
    assert_eq!((free.version(), free.status().as_u16()), (Version::HTTP_2, 200));
    assert_eq!(free.json::<Value>().await.expect("JSON")["receipt"], Value::Null);
    let challenge = http2.send(Request::post(host.url("/echo?paid"))).await;
    assert_eq!(challenge.status(), 402);
    assert!(!host.log().contains("echo got paid"));
    let payment = host.payer(0).pay(&challenge).header();
    let reply = http2.send(Request::post(host.url("/echo?paid")).header("payment-signature", payment)).await;
    assert_eq!((reply.version(), reply.status().as_u16()), (Version::HTTP_2, 200));
    assert_eq!(decode(reply.headers()["payment-response"].to_str().expect("ASCII"))["success"], true);
    let seen: Value = reply.json().await.expect("JSON");
    assert_eq!(seen["receipt"]["payer"], host.payer(0).address().to_checksum(None));
    assert_eq!(host.log().matches("echo got paid").count(), 1);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
    host.wait_for_ledger(&["delivered"]).await;
}

#[tokio::test]
async fn no_http_2_method_avoids_the_price() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let mut http2 = Http2::connect(&host.url("")).await;
    for (method, expected) in
        [("POST", 402), ("OPTIONS", 204), ("PUT", 405), ("post", 405), ("PoSt", 405), ("BREW", 405), ("TRACE", 405)]
    {
        let reply = http2.send(Request::builder().method(method).uri(host.url("/echo"))).await;
        assert_eq!(reply.status(), expected, "{method}");
    }
    assert!(!host.log().contains("echo got"));
}
