//! Streams answers while guests write them, and checks that the ledger records how each paid stream ended: by the
//! guest, by the client, or by a limit.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use alloy::primitives::U256;
use bytes::Bytes;
use coinslot_tests::{DevHost, TestChain, decode, guest, open_body};
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A host with the guest `ticker`, which streams events, and a signed payment for one answer.
struct TickerHost {
    host: DevHost,
    payment: String,
}

impl TickerHost {
    async fn open(arguments: &[&str]) -> Self {
        let host = DevHost::builder().plugin("ticker.wasm", &guest("ticker")).arguments(arguments).start().await;
        let challenge = host.client().post(host.url("/ticker")).send().await.expect("an answer");
        let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
        assert_eq!(required["accepts"][0]["extra"]["paymentFlow"], "upfront", "events are paid first");
        let payment = host.payer(0).pay(&challenge).header();
        Self { host, payment }
    }

    fn ask(&self, order: &str) -> reqwest::RequestBuilder {
        let request = self.host.client().post(self.host.url("/ticker"));
        request.header("x-do", order).header("PAYMENT-SIGNATURE", &self.payment)
    }

    async fn send(&self, order: &str) -> reqwest::Response {
        self.ask(order).send().await.expect("an answer")
    }

    fn runs(&self) -> usize {
        self.host.log().matches("ticker ran").count()
    }

    async fn paid_cents(&self) -> U256 {
        self.host.chain().balance(self.host.seller()).await / U256::from(10_000)
    }
}

/// Reads until the body contains this text.
async fn read_until(reply: &mut reqwest::Response, text: &str) {
    let mut seen = String::new();
    while !seen.contains(text) {
        let piece = reply.chunk().await.expect("an open stream").expect("more to come");
        seen.push_str(&String::from_utf8_lossy(&piece));
    }
}

#[tokio::test]
async fn paid_events_arrive_while_the_guest_still_runs() {
    let ticker = TickerHost::open(&[]).await;
    let mut reply = ticker.send("event sleep event").await;
    assert_eq!(reply.status(), 200);
    let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
    assert_eq!(receipt["success"], true, "it is settled before its first byte");
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    assert!(reply.headers()["cache-control"].to_str().expect("ASCII").contains("private"));
    read_until(&mut reply, "data: 1\n\n").await;
    assert_eq!(ticker.host.ledger(), ["executing"], "the guest sleeps for an hour");
    assert_eq!(ticker.paid_cents().await, U256::from(1));
}

#[tokio::test]
async fn a_streamed_answer_within_the_limit_is_stored() {
    let ticker = TickerHost::open(&[]).await;
    let first = ticker.send("event wait event").await.text().await.expect("a whole answer");
    assert_eq!(first, "data: 1\n\ndata: 2\n\n");
    // The ledger records the end of the answer before the client sees it.
    let again = ticker.send("event wait event").await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.headers()["content-type"], "text/event-stream");
    assert_eq!(again.text().await.expect("a whole answer"), first);
    ticker.host.wait_for_ledger(&["delivered"]).await;
    assert_eq!((ticker.paid_cents().await, ticker.runs()), (U256::from(1), 1));
}

#[tokio::test]
async fn a_streamed_answer_beyond_the_storage_limit_is_delivered_once() {
    let ticker = TickerHost::open(&[]).await;
    let first = ticker.send("event big wait big event").await.text().await.expect("a whole answer");
    assert!(first.len() > 1_400_000 && first.ends_with("data: 2\n\n"), "{}", first.len());
    ticker.host.wait_for_ledger(&["delivered"]).await;
    let again = ticker.send("event").await;
    assert_eq!(again.status(), 410);
    assert!(again.headers().contains_key("payment-response"), "the receipt says that it was paid");
    assert_eq!((ticker.paid_cents().await, ticker.runs()), (U256::from(1), 1));
}

#[tokio::test]
async fn a_stream_that_the_guest_aborts_is_owed_to_the_same_payment() {
    let ticker = TickerHost::open(&[]).await;
    let mut broken = ticker.send("event wait trap").await;
    assert_eq!(broken.status(), 200);
    read_until(&mut broken, "data: 1\n\n").await;
    assert!(broken.chunk().await.is_err(), "the client can tell that it is not whole");
    assert_eq!(ticker.host.ledger(), ["owed"]);
    let whole = ticker.send("event wait event").await.text().await.expect("a whole answer");
    assert_eq!(whole, "data: 1\n\ndata: 2\n\n");
    ticker.host.wait_for_ledger(&["delivered"]).await;
    assert_eq!((ticker.paid_cents().await, ticker.runs()), (U256::from(1), 2), "one charge");
}

#[tokio::test]
async fn a_client_that_hangs_up_during_a_stream_is_owed_the_answer_a_few_times() {
    let ticker = TickerHost::open(&[]).await;
    for hang_up in 1..=3 {
        let mut reply = ticker.send("event sleep").await;
        assert_eq!(reply.status(), 200, "{hang_up}");
        read_until(&mut reply, "data: 1\n\n").await;
        drop(reply);
        ticker.host.wait_for_ledger(&[if hang_up < 3 { "owed" } else { "delivered" }]).await;
    }
    // Otherwise one payment would buy any number of answers without their last byte.
    let again = ticker.send("event sleep").await;
    assert_eq!(again.status(), 410);
    assert_eq!((ticker.paid_cents().await, ticker.runs()), (U256::from(1), 3));
}

#[tokio::test]
async fn a_client_that_hangs_up_before_the_first_byte_can_fetch_the_answer() {
    let ticker = TickerHost::open(&[]).await;
    let order = format!("{} event", ["wait"; 30].join(" "));
    let reply = ticker.send(&order).await;
    assert_eq!(reply.status(), 200);
    drop(reply);
    // The guest finishes without a reader, so that a repetition does not run it again.
    ticker.host.wait_for_ledger(&["settled"]).await;
    let served = ticker.send(&order).await;
    assert_eq!(served.text().await.expect("a whole answer"), "data: 1\n\n");
    assert_eq!((ticker.paid_cents().await, ticker.runs()), (U256::from(1), 1));
}

#[tokio::test]
async fn a_stream_that_exceeds_its_time_is_cut_off_and_not_repeated() {
    let chain = TestChain::start().await;
    let host =
        chain.serve(&["ticker"], "[limits]\nfirst_byte_timeout = \"1000ms\"\ntotal_timeout = \"1000ms\"\n").await;
    let ask = || reqwest::Client::new().post(host.url("/ticker")).header("x-do", "event sleep");
    let challenge = ask().send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let reply = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(reply.status(), 200, "{}", host.log());
    reply.text().await.expect_err("it breaks off");
    let again = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(again.status(), 410, "the same payment is no subscription:\n{}", host.log());
    assert_eq!(host.log().matches("ticker ran").count(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_before_settlement_can_fetch_the_stream() {
    // A settlement takes up to a block time.
    let ticker = TickerHost::open(&["--block-time", "2"]).await;
    ticker.host.chain().next_block().await;
    let impatient = ticker.ask("event wait event").timeout(Duration::from_millis(150));
    assert!(impatient.send().await.is_err(), "it hangs up before the block");
    let deadline = Instant::now() + Duration::from_secs(20);
    let served = loop {
        let reply = ticker.send("event wait event").await;
        if reply.status() == 200 {
            break reply.text().await.expect("a whole answer");
        }
        assert!(matches!(reply.status().as_u16(), 409 | 503), "{}", reply.status());
        assert!(Instant::now() < deadline, "{}", ticker.host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(served, "data: 1\n\ndata: 2\n\n");
    assert_eq!((ticker.paid_cents().await, ticker.runs()), (U256::from(1), 1), "the guest ran once, without a reader");
}

/// A guest that ran out of its CPU time in the middle of its answer was run again for the same payment without end, and
/// its client had almost all of the answer each time.
#[tokio::test]
async fn a_guest_that_always_fails_midway_runs_a_few_times_for_one_payment() {
    let chain = TestChain::start().await;
    let config = "[plugin.ticker.limits]\ncpu_time = \"100ms\"\n[plugin.ticker.health]\nfailures = 0\n";
    let host = chain.serve(&["ticker"], config).await;
    let ask = |order| reqwest::Client::new().post(host.url("/ticker")).header("x-do", order);
    let challenge = ask("event").send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let send = |order| ask(order).header("PAYMENT-SIGNATURE", &payment).send();
    for run in 1..=5 {
        let reply = send("event spin").await.expect("an answer");
        assert_eq!(reply.status(), 200, "run {run}: {}", host.log());
        reply.text().await.expect_err("it breaks off");
        assert_eq!(host.count("owed"), 1);
    }
    for _ in 0..2 {
        let refused = send("event").await.expect("an answer");
        assert_eq!(refused.status(), 502);
        assert!(refused.headers().contains_key("x-coinslot-payment-id"));
        let body: serde_json::Value = refused.json().await.expect("JSON");
        assert_eq!((&body["error"], &body["charged"]), (&"answer_not_given".into(), &"yes".into()));
    }
    assert_eq!((host.runs_of("ticker"), host.count("owed")), (5, 1), "the debt stays in the books");
    host.install_another_build("ticker");
    host.wait_for_log("active file=ticker.wasm", 2).await;
    let repaired = send("event").await.expect("an answer");
    assert_eq!(repaired.text().await.expect("a whole answer"), "data: 1\n\n");
    assert_eq!(chain.payments_received().await, 1);
}

/// Waits until the only instance is free again.
async fn until_served(url: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = reqwest::get(url).await.expect("an answer");
        if reply.status() == 200 {
            return;
        }
        assert_eq!(reply.status(), 503);
        assert!(Instant::now() < deadline, "the instance stays busy");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_frees_the_instance_at_once() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["ticker"], "[plugin.ticker.limits]\nmax_instances_per_plugin = 1\n").await;
    let client = reqwest::Client::new();
    let free = client.get(host.url("/ticker")).header("x-do", "event sleep");
    let challenge = client.post(host.url("/ticker")).send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let paid = client.post(host.url("/ticker")).header("x-do", "event sleep").header("PAYMENT-SIGNATURE", payment);
    for request in [free, paid] {
        let mut reply = request.send().await.expect("an answer");
        assert_eq!(reply.status(), 200);
        read_until(&mut reply, "data: 1\n\n").await;
        let busy = reqwest::get(host.url("/ticker")).await.expect("an answer");
        assert_eq!(busy.status(), 503, "the guest sleeps for an hour in the only instance");
        drop(reply);
        until_served(&host.url("/ticker")).await;
    }
}

#[tokio::test]
async fn an_upfront_payment_is_not_taken_while_the_plugin_is_busy() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["ticker"], "[plugin.ticker.limits]\nmax_instances_per_plugin = 1\n").await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/ticker")).send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let ask = || client.post(host.url("/ticker")).header("PAYMENT-SIGNATURE", &payment);
    let mut other = client.get(host.url("/ticker")).header("x-do", "event sleep").send().await.expect("an answer");
    read_until(&mut other, "data: 1\n\n").await;
    let busy = ask().send().await.expect("an answer");
    assert_eq!(busy.status(), 503);
    assert!(busy.headers().contains_key("retry-after") && !busy.headers().contains_key("payment-response"));
    assert_eq!((chain.payments_received().await, host.ledger().len()), (0, 0), "no money moved, and no answer is owed");
    drop(other);
    until_served(&host.url("/ticker")).await;
    let served = ask().send().await.expect("an answer");
    assert_eq!((served.status().as_u16(), chain.payments_received().await), (200, 1), "the same payment buys it");
}

#[tokio::test]
async fn a_client_that_stops_reading_does_not_hold_an_instance() {
    let chain = TestChain::start().await;
    let limits = "[plugin.flood.limits]\nmax_instances_per_plugin = 1\ntotal_timeout = \"1500ms\"\nresponse_body = \"1048576KiB\"\ncpu_time = \"60000ms\"\n";
    let host = chain.serve(&["flood"], limits).await;
    let address = host.url("/flood").replace("http://", "").replace("/flood", "");
    let mut idle = tokio::net::TcpStream::connect(&address).await.expect("a connection");
    idle.write_all(b"GET /flood HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("sent");
    idle.read_u8().await.expect("the answer begins");
    // The client keeps the connection and reads no more.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = reqwest::get(host.url("/flood")).await.expect("an answer");
        if reply.status() == 200 {
            break;
        }
        assert_eq!(reply.status(), 503);
        assert!(Instant::now() < deadline, "the instance stays busy");
    }
    drop(idle);
}

/// A request body of so many bytes, generated while it is sent.
struct GeneratedBody(u64);

impl Body for GeneratedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
        let size = self.0.min(PIECE.len() as u64);
        self.0 -= size;
        Poll::Ready((size > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..size as usize])))))
    }

    fn size_hint(&self) -> SizeHint {
        // A client sends the body of a GET only with a length.
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn a_hundred_mebibytes_stream_through_a_guest_in_bounded_memory() {
    const SIZE: u64 = 100 << 20;
    let chain = TestChain::start().await;
    let limits =
        "[plugin.echo.limits]\nrequest_body = \"204800KiB\"\nresponse_body = \"204800KiB\"\ncpu_time = \"120000ms\"\n";
    let host = chain.serve(&["echo"], limits).await;
    let send = |size| {
        let request = Request::builder().method(Method::GET).uri(host.url("/echo?stream"));
        open_body(request.body(GeneratedBody(size)).expect("a request"))
    };
    // The first request allocates memory that does not depend on the size of its body.
    assert_eq!(drain(send(1 << 20).await).await, 1 << 20);
    let before = host.resident_memory();
    assert_eq!(drain(send(SIZE).await).await, SIZE);
    let most = host.peak_memory();
    assert!(most < before + (32 << 20), "{before} bytes resident before, {most} at most");
}

/// Reads a body to its end and returns its length.
async fn drain(mut body: hyper::body::Incoming) -> u64 {
    use http_body_util::BodyExt;
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame.expect("an open stream").data_ref().map_or(0, Bytes::len) as u64;
    }
    size
}

#[tokio::test]
async fn an_unpaid_request_body_is_not_read() {
    const SENT: usize = 1 << 20;
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let address = host.url("").replace("http://", "");
    let before = host.resident_memory();
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
        let head = "POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 10000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        // As much as the kernel accepts; the rest waits there.
        let body = vec![b'x'; SENT];
        let _ = tokio::time::timeout(Duration::from_millis(20), stream.write_all(&body)).await;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 402");
        held.push(stream);
    }
    let most = host.peak_memory();
    assert!(most < before + (48 << 20), "{before} bytes resident before, {most} at most, for 200 MiB sent");
}

/// This failed as follows: hyper stops polling a body once `Content-Length` bytes have gone out, so that the host did
/// not see the end of a paid stream with a length. The ledger recorded a client that had hung up, and a repetition got
/// 410 instead of the answer.
#[tokio::test]
async fn a_streamed_answer_with_a_content_length_is_delivered_whole() {
    let ticker = TickerHost::open(&[]).await;
    let whole = "data: 1\n\ndata: 2\n\n";
    for _ in 0..2 {
        // The second answer comes from the ledger.
        let reply = ticker.send("sized event wait event").await;
        assert_eq!(reply.status(), 200, "{}", ticker.host.log());
        assert_eq!(reply.text().await.expect("the whole body"), whole);
        ticker.host.wait_for_ledger(&["delivered"]).await;
    }
    assert_eq!((ticker.runs(), ticker.paid_cents().await), (1, U256::from(1)));
    // On a free route the declared length stays.
    let free =
        ticker.host.client().get(ticker.host.url("/ticker")).header("x-do", "sized event wait event").send().await;
    let free = free.expect("an answer");
    assert_eq!(free.headers()["content-length"], "18");
    assert_eq!(free.text().await.expect("the whole body"), whole);
}
