//! Answers that are read while they are written: nothing is held back, and every end of a paid one is in the
//! ledger, be it the guest's or the client's.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use alloy::primitives::U256;
use bytes::Bytes;
use coinslot_tests::{Host, Market, decode, guest, open_body};
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A host that sells events, and a signed payment for one answer.
struct Shop {
    host: Host,
    payment: String,
}

impl Shop {
    async fn open(arguments: &[&str]) -> Self {
        let host = Host::builder().plugin("ticker.wasm", &guest("ticker")).arguments(arguments).start().await;
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

/// Reads until this has come.
async fn read_until(reply: &mut reqwest::Response, text: &str) {
    let mut seen = String::new();
    while !seen.contains(text) {
        let piece = reply.chunk().await.expect("an open stream").expect("more to come");
        seen.push_str(&String::from_utf8_lossy(&piece));
    }
}

#[tokio::test]
async fn events_of_a_paid_route_arrive_before_the_guest_can_have_ended() {
    let shop = Shop::open(&[]).await;
    let mut reply = shop.send("event sleep event").await;
    assert_eq!(reply.status(), 200);
    let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
    assert_eq!(receipt["success"], true, "it is settled before its first byte");
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    assert!(reply.headers()["cache-control"].to_str().expect("ASCII").contains("private"));
    read_until(&mut reply, "data: 1\n\n").await;
    assert_eq!(shop.host.ledger(), ["executing"], "the guest sleeps for an hour");
    assert_eq!(shop.paid_cents().await, U256::from(1));
}

#[tokio::test]
async fn a_streamed_answer_that_fits_is_kept_for_another_fetch() {
    let shop = Shop::open(&[]).await;
    let first = shop.send("event wait event").await.text().await.expect("a whole answer");
    assert_eq!(first, "data: 1\n\ndata: 2\n\n");
    // The end of the answer is in the ledger before the client sees it.
    let again = shop.send("event wait event").await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.headers()["content-type"], "text/event-stream");
    assert_eq!(again.text().await.expect("a whole answer"), first);
    shop.host.ledger_becomes(&["delivered"]).await;
    assert_eq!((shop.paid_cents().await, shop.runs()), (U256::from(1), 1));
}

#[tokio::test]
async fn a_streamed_answer_that_is_too_large_to_keep_is_given_once() {
    let shop = Shop::open(&[]).await;
    let first = shop.send("event big wait big event").await.text().await.expect("a whole answer");
    assert!(first.len() > 1_400_000 && first.ends_with("data: 2\n\n"), "{}", first.len());
    shop.host.ledger_becomes(&["delivered"]).await;
    let again = shop.send("event").await;
    assert_eq!(again.status(), 410);
    assert!(again.headers().contains_key("payment-response"), "it was paid, and says so");
    assert_eq!((shop.paid_cents().await, shop.runs()), (U256::from(1), 1));
}

#[tokio::test]
async fn a_stream_that_its_guest_breaks_off_is_owed_to_the_same_payment() {
    let shop = Shop::open(&[]).await;
    let mut broken = shop.send("event wait trap").await;
    assert_eq!(broken.status(), 200);
    read_until(&mut broken, "data: 1\n\n").await;
    assert!(broken.chunk().await.is_err(), "the client can tell that it is not whole");
    assert_eq!(shop.host.ledger(), ["owed"]);
    let whole = shop.send("event wait event").await.text().await.expect("a whole answer");
    assert_eq!(whole, "data: 1\n\ndata: 2\n\n");
    shop.host.ledger_becomes(&["delivered"]).await;
    assert_eq!((shop.paid_cents().await, shop.runs()), (U256::from(1), 2), "one charge");
}

#[tokio::test]
async fn who_hangs_up_on_a_stream_has_had_it() {
    let shop = Shop::open(&[]).await;
    let mut reply = shop.send("event sleep").await;
    read_until(&mut reply, "data: 1\n\n").await;
    drop(reply);
    shop.host.ledger_becomes(&["delivered"]).await;
    // Or else one payment would buy any number of answers that lack their last byte.
    let again = shop.send("event").await;
    assert_eq!(again.status(), 410);
    assert_eq!((shop.paid_cents().await, shop.runs()), (U256::from(1), 1));
}

#[tokio::test]
async fn who_hangs_up_before_the_first_byte_finds_the_answer_later() {
    let shop = Shop::open(&[]).await;
    let order = format!("{} event", ["wait"; 30].join(" "));
    let reply = shop.send(&order).await;
    assert_eq!(reply.status(), 200);
    drop(reply);
    // The guest goes on for nobody: who hangs up does not have it begin again.
    shop.host.ledger_becomes(&["settled"]).await;
    let served = shop.send(&order).await;
    assert_eq!(served.text().await.expect("a whole answer"), "data: 1\n\n");
    assert_eq!((shop.paid_cents().await, shop.runs()), (U256::from(1), 1));
}

#[tokio::test]
async fn a_stream_that_meets_a_limit_is_given_as_far_as_it_came() {
    let market = Market::open().await;
    let shop = market.shop(&["ticker"], "[limits]\nfirst_byte_ms = 1000\ntotal_ms = 1000\n").await;
    let ask = || reqwest::Client::new().post(shop.url("/ticker")).header("x-do", "event sleep");
    let challenge = ask().send().await.expect("a challenge");
    let payment = market.payer(0).pay(&challenge).header();
    let reply = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(reply.status(), 200, "{}", shop.log());
    reply.text().await.expect_err("it breaks off");
    let again = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(again.status(), 410, "the same payment is no subscription:\n{}", shop.log());
    assert_eq!(shop.log().matches("ticker ran").count(), 1);
}

#[tokio::test]
async fn who_is_gone_before_a_stream_begins_finds_it_later() {
    // Settling takes as long as a block does.
    let shop = Shop::open(&["--block-time", "2"]).await;
    shop.host.chain().next_block().await;
    let impatient = shop.ask("event wait event").timeout(Duration::from_millis(150));
    assert!(impatient.send().await.is_err(), "it hangs up before the block");
    let deadline = Instant::now() + Duration::from_secs(20);
    let served = loop {
        let reply = shop.send("event wait event").await;
        if reply.status() == 200 {
            break reply.text().await.expect("a whole answer");
        }
        assert!(matches!(reply.status().as_u16(), 409 | 503), "{}", reply.status());
        assert!(Instant::now() < deadline, "{}", shop.host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(served, "data: 1\n\ndata: 2\n\n");
    assert_eq!((shop.paid_cents().await, shop.runs()), (U256::from(1), 1), "the guest ran once, for nobody");
}

/// Asks until the only instance is free again.
async fn until_served(url: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = reqwest::get(url).await.expect("an answer");
        if reply.status() == 200 {
            return;
        }
        assert_eq!(reply.status(), 503);
        assert!(Instant::now() < deadline, "it stays busy");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_frees_the_instance_at_once() {
    let market = Market::open().await;
    let shop = market.shop(&["ticker"], "[plugin.ticker.limits]\ninstances = 1\n").await;
    let client = reqwest::Client::new();
    let free = client.get(shop.url("/ticker")).header("x-do", "event sleep");
    let challenge = client.post(shop.url("/ticker")).send().await.expect("a challenge");
    let payment = market.payer(0).pay(&challenge).header();
    let paid = client.post(shop.url("/ticker")).header("x-do", "event sleep").header("PAYMENT-SIGNATURE", payment);
    for request in [free, paid] {
        let mut reply = request.send().await.expect("an answer");
        assert_eq!(reply.status(), 200);
        read_until(&mut reply, "data: 1\n\n").await;
        let busy = reqwest::get(shop.url("/ticker")).await.expect("an answer");
        assert_eq!(busy.status(), 503, "the guest sleeps for an hour in the only instance");
        drop(reply);
        until_served(&shop.url("/ticker")).await;
    }
}

#[tokio::test]
async fn nobody_pays_first_for_a_place_that_is_taken() {
    let market = Market::open().await;
    let shop = market.shop(&["ticker"], "[plugin.ticker.limits]\ninstances = 1\n").await;
    let client = reqwest::Client::new();
    let challenge = client.post(shop.url("/ticker")).send().await.expect("a challenge");
    let payment = market.payer(0).pay(&challenge).header();
    let ask = || client.post(shop.url("/ticker")).header("PAYMENT-SIGNATURE", &payment);
    let mut other = client.get(shop.url("/ticker")).header("x-do", "event sleep").send().await.expect("an answer");
    read_until(&mut other, "data: 1\n\n").await;
    let busy = ask().send().await.expect("an answer");
    assert_eq!(busy.status(), 503);
    assert!(busy.headers().contains_key("retry-after") && !busy.headers().contains_key("payment-response"));
    assert_eq!((market.charges().await, shop.ledger().len()), (0, 0), "nothing moved, and nothing is owed");
    drop(other);
    until_served(&shop.url("/ticker")).await;
    let served = ask().send().await.expect("an answer");
    assert_eq!((served.status().as_u16(), market.charges().await), (200, 1), "the same payment buys it");
}

#[tokio::test]
async fn who_does_not_read_does_not_hold_an_instance() {
    let market = Market::open().await;
    let limits = "[plugin.flood.limits]\ninstances = 1\ntotal_ms = 1500\nresponse_body_kib = 1048576\ncpu_ms = 60000\n";
    let shop = market.shop(&["flood"], limits).await;
    let address = shop.url("/flood").replace("http://", "").replace("/flood", "");
    let mut idle = tokio::net::TcpStream::connect(&address).await.expect("a connection");
    idle.write_all(b"GET /flood HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("sent");
    idle.read_u8().await.expect("the answer begins");
    // It goes on holding the connection and takes no more of the answer.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = reqwest::get(shop.url("/flood")).await.expect("an answer");
        if reply.status() == 200 {
            break;
        }
        assert_eq!(reply.status(), 503);
        assert!(Instant::now() < deadline, "it stays busy");
    }
    drop(idle);
}

/// A request body of so many bytes, made while it is sent.
struct Much(u64);

impl Body for Much {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
        let size = self.0.min(PIECE.len() as u64);
        self.0 -= size;
        Poll::Ready((size > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..size as usize])))))
    }

    fn size_hint(&self) -> SizeHint {
        // Without a length, a client does not send the body of a GET.
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn a_hundred_mebibytes_pass_through_a_guest_in_little_memory() {
    const SIZE: u64 = 100 << 20;
    let market = Market::open().await;
    let limits = "[plugin.echo.limits]\nrequest_body_kib = 204800\nresponse_body_kib = 204800\ncpu_ms = 120000\n";
    let shop = market.shop(&["echo"], limits).await;
    let send = |size| {
        let request = Request::builder().method(Method::GET).uri(shop.url("/echo?stream"));
        open_body(request.body(Much(size)).expect("a request"))
    };
    // What a first request brings with it is not of the size of its body.
    assert_eq!(drain(send(1 << 20).await).await, 1 << 20);
    let before = shop.memory();
    assert_eq!(drain(send(SIZE).await).await, SIZE);
    let most = shop.most_memory();
    assert!(most < before + (32 << 20), "{before} bytes resident before, {most} at most");
}

/// The length of a body, read to its end.
async fn drain(mut body: hyper::body::Incoming) -> u64 {
    use http_body_util::BodyExt;
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame.expect("an open stream").data_ref().map_or(0, Bytes::len) as u64;
    }
    size
}

#[tokio::test]
async fn a_body_that_nobody_paid_for_is_not_taken_in() {
    const SENT: usize = 1 << 20;
    let market = Market::open().await;
    let shop = market.shop(&["echo"], "").await;
    let address = shop.url("").replace("http://", "");
    let before = shop.memory();
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
        let head = "POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 10000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        // As much as is taken from it: the rest waits in the kernel.
        let body = vec![b'x'; SENT];
        let _ = tokio::time::timeout(Duration::from_millis(20), stream.write_all(&body)).await;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 402");
        held.push(stream);
    }
    let most = shop.most_memory();
    assert!(most < before + (48 << 20), "{before} bytes resident before, {most} at most, for 200 MiB sent");
}

#[tokio::test]
async fn an_answer_that_says_how_long_it_is_is_taken_to_its_end() {
    let shop = Shop::open(&[]).await;
    let whole = "data: 1\n\ndata: 2\n\n";
    for _ in 0..2 {
        // The second time it is fetched again.
        let reply = shop.send("sized event wait event").await;
        assert_eq!(reply.status(), 200, "{}", shop.host.log());
        assert_eq!(reply.text().await.expect("the whole body"), whole);
        shop.host.ledger_becomes(&["delivered"]).await;
    }
    assert_eq!((shop.runs(), shop.paid_cents().await), (1, U256::from(1)));
    // And on a free route the length stays.
    let free = shop.host.client().get(shop.host.url("/ticker")).header("x-do", "sized event wait event").send().await;
    let free = free.expect("an answer");
    assert_eq!(free.headers()["content-length"], "18");
    assert_eq!(free.text().await.expect("the whole body"), whole);
}
