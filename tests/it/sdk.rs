//! Checks what the Rust SDK does in a real host: failures, forms, uploads, requests to other servers, and the store.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::U256;
use bytes::Bytes;
use coinslot_tests::{DevHost, guest};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// Answers a POST with the number of its bytes, and each other path with its name. `/other` is busy the first time.
async fn answer(request: Request<Incoming>, asked: Arc<AtomicUsize>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == "/other" && asked.fetch_add(1, Ordering::Relaxed) == 0 {
        let mut busy = Response::new(Full::from("busy"));
        *busy.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(busy);
    }
    let streamed = request.headers().contains_key("transfer-encoding");
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let text = if path == "/forward" { format!("{} bytes, streamed: {streamed}", body.len()) } else { path };
    Ok(Response::new(Full::from(text)))
}

/// The guests with these endpoints: on WASI 0.2, and on WASI 0.3.
const GUESTS: [&str; 2] = ["author", "wasi3"];

/// Starts a host with a guest, which reaches a server of this test.
async fn start(name: &str) -> DevHost {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let asked = Arc::new(AtomicUsize::new(0));
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&asked);
            let service = service_fn(move |request| answer(request, Arc::clone(&asked)));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let builder = DevHost::builder().plugin("author.wasm", &guest(name));
    let config = format!(
        "[plugin.guest-{name}]\nhttp = [\"{server}\"]\nkeyvalue = true\n\
         [plugin.guest-{name}.config]\nserver = \"{server}\"\n"
    );
    std::fs::write(builder.path("coinslot.toml"), config).expect("a file");
    builder.arguments(&["--config", "coinslot.toml"]).start().await
}

async fn text(request: reqwest::RequestBuilder) -> String {
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.text().await.expect("text")
}

#[tokio::test]
async fn a_failed_endpoint_costs_nothing_and_the_log_has_the_reason() {
    for name in GUESTS {
        let host = start(name).await;
        for (how, status, code) in
            [("refusal", 404, "no_such_thing"), ("x", 500, "plugin_failed"), ("panic", 500, "plugin_failed")]
        {
            let ask = || host.client().get(host.url(&format!("/author/fail/{how}")));
            let payment = host.payer(0).pay(&ask().send().await.expect("a challenge")).header();
            let failed = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
            assert_eq!(failed.status(), status, "{how}");
            let body: Value = failed.json().await.expect("JSON");
            assert_eq!(body["error"], code, "{how}: {body}");
            assert!(!body.to_string().contains("digit"), "the caller does not read the reason: {body}");
        }
        assert_eq!(host.chain().balance(host.seller()).await, U256::ZERO);
        let log = host.log();
        assert!(log.contains("GET /author/fail/{how}: the number of the path: invalid digit found in string"), "{log}");
        assert!(log.contains("the plugin panicked at ") && log.contains("author/src/lib.rs:"), "{log}");
        assert!(log.contains(": asked to panic") && !log.contains("RUST_BACKTRACE"), "{log}");
    }
}

/// A host takes every charge that is an amount, and looks at none of a fixed price: the author was not told that the
/// charge had no effect.
#[tokio::test]
async fn a_charge_for_a_fixed_price_fails_the_request_and_the_log_says_what_to_do() {
    for name in GUESTS {
        let host = start(name).await;
        let ask = || host.client().get(host.url("/author/charge"));
        let payment = host.payer(0).pay(&ask().send().await.expect("a challenge")).header();
        let failed = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
        assert_eq!(failed.status(), 500, "{name}");
        assert_eq!(host.chain().balance(host.seller()).await, U256::ZERO);
        let reason = "GET /author/charge: the charge was not taken: no endpoint of this plugin is metered: declare a \
                      price with `up_to`";
        assert!(host.log().contains(reason), "{}", host.log());
    }
}

#[tokio::test]
async fn events_are_paid_and_sent() {
    for name in GUESTS {
        let host = start(name).await;
        let ask = || host.client().get(host.url("/author/events"));
        let payment = host.payer(0).pay(&ask().send().await.expect("a challenge")).header();
        let answer = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let events = answer.text().await.expect("text");
        assert_eq!(events, "event: count\ndata: 1\n\nevent: count\ndata: 2\n\nevent: count\ndata: 3\n\n");
        assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
    }
}

#[tokio::test]
async fn uploads_pass_through_and_forms_are_read_in_pieces() {
    for name in GUESTS {
        let host = start(name).await;
        let large = vec![b'-'; 3_000_000];
        let forward = host.client().post(host.url("/author/forward")).body(large.clone());
        assert_eq!(text(forward).await, "3000000 bytes, streamed: true");

        let mut form = b"--frontier\r\ncontent-disposition: form-data; name=\"title\"\r\n\r\ndots\r\n--frontier\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"dots.txt\"\r\n\r\n"
            .to_vec();
        form.extend(&large);
        form.extend(b"\r\n--frontier--\r\n");
        let post = |form: Vec<u8>| {
            let request = host.client().post(host.url("/author/files"));
            request.header("content-type", "multipart/form-data; boundary=frontier").body(form)
        };
        assert_eq!(text(post(form.clone())).await, "title: 4\ndots.txt: 3000000\n");
        form.truncate(1_000_000);
        let refused = post(form).send().await.expect("an answer");
        assert_eq!(refused.status(), 400, "a form without its end");
    }
}

#[tokio::test]
async fn two_requests_run_at_once_and_a_busy_server_is_asked_again() {
    for name in GUESTS {
        let host = start(name).await;
        assert_eq!(text(host.client().get(host.url("/author/both"))).await, "/one/other");
        let log = host.log();
        assert!(log.contains("status 503 Service Unavailable; again in"), "{log}");
    }
}

#[tokio::test]
async fn an_update_of_the_store_loses_nothing_to_another_at_the_same_time() {
    for name in GUESTS {
        let host = start(name).await;
        let note = |word: &'static str| text(host.client().put(host.url("/author/notes/n")).body(word));
        let _ = tokio::join!(note("a"), note("b"), note("c"), note("d"), note("e"));
        let all = note("f").await;
        let mut words: Vec<&str> = all.split(' ').take(6).collect();
        words.sort_unstable();
        assert_eq!(words, ["a", "b", "c", "d", "e", "f"], "{all}");
        assert!(all.ends_with("[true, false]"), "{all}");
    }
}
