//! Checks what plugins in Rust gain by the SDK's feature `wasi3`: while one request waits, the instance answers others.

use std::convert::Infallible;
use std::time::Duration;

use alloy::primitives::U256;
use bytes::Bytes;
use coinslot_tests::{DevHost, Payment, guest};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One instance for all requests, and room for a quote.
const CONFIG: &str = "
[plugin.guest-wasi3]
http = [\"SERVER\"]
reuse = { total = 100, concurrent = 8 }
[plugin.guest-wasi3.limits]
max_instances_per_plugin = 2
first_byte_timeout = \"20s\"
[plugin.guest-wasi3.config]
server = \"SERVER\"
";

/// A host with the guest, and another server that counts `/arrived`, and holds `/slow` until it is released.
struct Together {
    host: DevHost,
    /// The number of requests that the server has counted or holds.
    held: watch::Receiver<u32>,
    release: watch::Sender<bool>,
}

impl Together {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        let (holding, held) = watch::channel(0);
        let (release, released) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (holding, released) = (holding.clone(), released.clone());
                let service = service_fn(move |request| answer(request, holding.clone(), released.clone()));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        let builder = DevHost::builder().plugin("wasi3.wasm", &guest("wasi3"));
        std::fs::write(builder.path("coinslot.toml"), CONFIG.replace("SERVER", &server)).expect("a file");
        let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
        Self { host, held, release }
    }

    async fn payment(&self, payer: usize, path: &str) -> Payment {
        let challenge = self.host.client().get(self.host.url(path)).send().await.expect("an answer");
        assert_eq!(challenge.status(), 402, "{}", self.host.log());
        self.host.payer(payer).pay(&challenge)
    }

    /// Buys an answer in a task of its own.
    async fn buy(&self, payer: usize, path: &str) -> JoinHandle<reqwest::Response> {
        let payment = self.payment(payer, path).await.header();
        let request = self.host.client().get(self.host.url(path)).header("PAYMENT-SIGNATURE", payment);
        tokio::spawn(async move { request.send().await.expect("an answer") })
    }

    async fn said(&self, bought: JoinHandle<reqwest::Response>) -> Value {
        let answer = bought.await.expect("a task");
        assert_eq!(answer.status(), 200, "{}", self.host.log());
        answer.json().await.expect("JSON")
    }

    fn name(&self, payer: usize) -> String {
        self.host.payer(payer).address().to_checksum(None)
    }

    async fn sold(&self) -> U256 {
        self.host.chain().balance(self.host.seller()).await / U256::from(10_000)
    }

    /// The line of `dev` about a request, once it is there.
    async fn line_of(&self, request: &str) -> String {
        let start = std::time::Instant::now();
        loop {
            if let Some(line) = self.host.log().lines().find(|line| line.contains(request)) {
                return line.to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{}", self.host.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Two payers meet at a path, and each gets an answer of its own.
    ///
    /// The second payer comes when the guest of the first one waits: an instance that computes is passed over as long
    /// as there may be another one.
    async fn two_meet_at(&mut self, path: &str) {
        let first = self.buy(0, path).await;
        self.held.wait_for(|held| *held == 1).await.expect("a server");
        let second = self.buy(1, path).await;
        for (payer, bought) in [first, second].into_iter().enumerate() {
            let said = self.said(bought).await;
            assert_eq!((&said["payer"], &said["fetched"]), (&json!(self.name(payer)), &json!("/quick")), "{said}");
            let mut met: Vec<_> = said["met"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
            met.sort_unstable();
            let mut both = [self.name(0), self.name(1)];
            both.sort_unstable();
            assert_eq!(met, both);
        }
        assert_eq!(self.sold().await, U256::from(2));
    }
}

async fn answer(
    request: Request<Incoming>,
    holding: watch::Sender<u32>,
    mut released: watch::Receiver<bool>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path != "/quick" {
        holding.send_modify(|held| *held += 1);
    }
    if path == "/slow" {
        let _ = released.wait_for(|released| *released).await;
    }
    Ok(Response::new(Full::from(path)))
}

#[tokio::test]
async fn a_request_is_sold_while_another_waits_for_a_server_in_the_same_instance() {
    let mut together = Together::open().await;
    let slow = together.buy(0, "/together/fetch").await;
    together.held.wait_for(|held| *held == 1).await.expect("a server");
    let here = together.buy(1, "/together/here").await;
    let said = together.said(here).await;
    assert_eq!(said, json!({ "inside": 2, "payer": together.name(1) }), "both are in one instance");
    assert_eq!(together.sold().await, U256::from(1), "the first one still waits");
    assert!(!slow.is_finished());
    together.release.send_replace(true);
    assert_eq!(together.said(slow).await, json!({ "said": "/slow", "payer": together.name(0) }));
    assert_eq!(together.sold().await, U256::from(2));
}

/// A task that waits for nothing but another task's waker is woken by a means of its own, which is a feature of the
/// event loop. Without it the instance trapped.
#[tokio::test]
async fn a_request_wakes_another_one_in_the_same_instance() {
    Together::open().await.two_meet_at("/together/wake").await;
}

#[tokio::test]
async fn a_request_that_sleeps_lets_others_run() {
    Together::open().await.two_meet_at("/together/nap").await;
}

#[tokio::test]
async fn a_request_that_waits_for_nothing_ends_alone() {
    let together = Together::open().await;
    let never = together.buy(0, "/together/never").await;
    let here = together.buy(1, "/together/here").await;
    assert_eq!(together.said(here).await["payer"], together.name(1));
    assert_eq!(never.await.expect("a task").status(), 504);
    assert_eq!(together.sold().await, U256::from(1));
}

#[tokio::test]
async fn an_answer_that_breaks_off_costs_nothing() {
    let together = Together::open().await;
    let cut = together.buy(0, "/together/cut").await.await.expect("a task");
    assert!(cut.status().is_server_error(), "{}", cut.status());
    assert_eq!(together.sold().await, U256::ZERO);
    assert!(together.host.log().contains("an answer was cut short: 500 broken: as asked"), "{}", together.host.log());
}

/// HTTP/1 does not ask for the end of a body whose length is declared. The guest was dropped before it had ended, and
/// its instance with it, so that `reuse` changed nothing for answers of free endpoints.
#[tokio::test]
async fn an_instance_is_used_again_after_a_free_answer_of_a_declared_length() {
    for reuse in ["{ total = 100 }", "{ total = 100, concurrent = 8 }"] {
        let builder = DevHost::builder().plugin("wasi3.wasm", &guest("wasi3"));
        let config = format!("[plugin.guest-wasi3]\nreuse = {reuse}\n");
        std::fs::write(builder.path("coinslot.toml"), config).expect("a file");
        let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
        // An instance that has not ended yet when the next request comes is not taken for it.
        let mut calls = Vec::new();
        while calls.last().is_none_or(|calls| calls != "3") {
            assert!(calls.len() < 50, "with {reuse}: {calls:?}");
            let answer = host.client().get(host.url("/together/calls")).send().await.expect("an answer");
            assert_eq!(answer.headers()["content-length"], "1");
            calls.push(answer.text().await.expect("a body"));
        }
    }
}

/// HTTP/1 drops a body whose declared length has been sent. Its request stayed in the list of those that may have made the
/// instance fail, an unpaid one among them, so that no later failure of a paid call counted.
#[tokio::test]
async fn a_free_answer_that_was_read_leaves_the_circuit_of_paid_calls_in_force() {
    let builder = DevHost::builder().plugin("wasi3.wasm", &guest("wasi3"));
    let config = "[health]\nfailures = 1\n[plugin.guest-wasi3]\nreuse = { total = 1000, concurrent = 8 }\n\
                  [plugin.guest-wasi3.limits]\nfirst_byte_timeout = \"1s\"\n";
    std::fs::write(builder.path("coinslot.toml"), config).expect("a file");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    for _ in 0..12 {
        let answer = host.client().get(host.url("/together/calls")).send().await.expect("an answer");
        assert!(answer.headers().contains_key("content-length"));
        answer.text().await.expect("a body");
    }
    let challenge = host.client().get(host.url("/together/never")).send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge).header();
    let request = host.client().get(host.url("/together/never")).header("PAYMENT-SIGNATURE", payment);
    assert_eq!(request.send().await.expect("an answer").status(), 504, "{}", host.log());
    let refused = host.client().get(host.url("/together/here")).send().await.expect("an answer");
    assert_eq!(refused.status(), 503, "{}", host.log());
}

/// A guest of WASI 0.3 ends after the last byte of its answer. `dev` told of every whole answer of a free endpoint that
/// the client had hung up, because nobody asks for the end of a body whose length is declared.
#[tokio::test]
async fn a_whole_answer_of_a_free_endpoint_is_told_as_answered() {
    let together = Together::open().await;
    let item = together.host.client().get(together.host.url("/items/7")).send().await.expect("an answer");
    assert_eq!(item.text().await.expect("a whole body"), "item 7");
    let line = together.line_of("GET /items/7").await;
    assert!(line.contains("answered"), "{line}");
}
