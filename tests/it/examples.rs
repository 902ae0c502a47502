//! Pays for the small example plugins of `plugins/` on a real host.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::U256;
use bytes::Bytes;
use coinslot_tests::{DevHost, decode, guest};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::test]
async fn redact_costs_what_its_quote_says() {
    let host = DevHost::builder().plugin("redact.wasm", &guest("redact")).start().await;
    let text = format!("{} ada@example.com", "x".repeat(1_500));
    let ask = || host.client().post(host.url("/api/redact")).json(&json!({ "text": text }));
    let challenge = ask().send().await.expect("an answer");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["accepts"][0]["amount"], "2000", "two thousand bytes at most: {required}");
    let payment = host.payer(0).pay(&challenge).header();
    let answer = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.expect("a body").ends_with("x [e-mail]"));
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(2_000));

    let refused =
        host.client().post(host.url("/api/redact")).json(&json!({ "text": "" })).send().await.expect("an answer");
    assert_eq!(refused.status(), 400, "refused before payment");
}

#[tokio::test]
async fn primes_are_paid_first_and_streamed() {
    let host = DevHost::builder().plugin("primes.wasm", &guest("primes")).start().await;
    let ask = || host.client().get(host.url("/api/primes?from=100&count=3"));
    let challenge = ask().send().await.expect("an answer");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["accepts"][0]["extra"]["paymentFlow"], "upfront");
    let payment = host.payer(0).pay(&challenge).header();
    let answer = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.expect("a body"), "101\n103\n107\n");
    host.wait_for_ledger(&["delivered"]).await;
}

/// A source of rates that counts its requests and wants a key.
async fn source(requests: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let requests = Arc::clone(&requests);
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                requests.fetch_add(1, Ordering::SeqCst);
                let has_key = request.headers().get("authorization").is_some_and(|value| value == "Token hunter2");
                let body = if has_key { r#"{"rates":{"EUR":0.9}}"# } else { "no key" };
                async move { Ok::<_, Infallible>(hyper::Response::new(Full::<Bytes>::from(body))) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn rates_come_from_the_source_once_and_then_from_the_cache() {
    let requests = Arc::new(AtomicUsize::new(0));
    let source = source(Arc::clone(&requests)).await;
    let builder = DevHost::builder().plugin("rates.wasm", &guest("rates")).arguments(&["--config", "coinslot.toml"]);
    let grants = format!(
        "[plugin.rates]\nhttp = [\"{source}\"]\nkeyvalue = true\n\
         secrets = [{{ origin = \"{source}\", header = \"Authorization\", prefix = \"Token \", value_file = \"key\" }}]\n\
         [plugin.rates.config]\nsource = \"{source}/latest.json\"\n"
    );
    std::fs::write(builder.path("coinslot.toml"), grants).expect("a file");
    std::fs::write(builder.path("key"), "hunter2\n").expect("a file");
    let host = builder.start().await;
    for payer in 0..2 {
        let ask = || host.client().get(host.url("/api/rates/eur"));
        let payment = host.payer(payer).pay(&ask().send().await.expect("an answer")).header();
        let answer = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{}", host.log());
        assert_eq!(answer.text().await.expect("a body"), "0.9");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}
