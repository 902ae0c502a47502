//! Tests of one request: responses, faults and limits.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http::StatusCode;
use http_body::{Body, Frame};

use super::*;

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn a_guest_sees_the_request_without_headers_of_the_host_or_the_connection() {
    let plugin = load("echo").await;
    let request = Request::post("/echo?a=1&b=%20")
        .header("host", "shop.example:8402")
        .header("content-type", "text/plain")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "1")
        .header("te", "trailers")
        .header("cookie", "session=of-another-page")
        .header("x-host-only", "forged")
        .header("x-kept", "yes")
        .body(body("hello"))
        .unwrap();
    let said = json(&plugin, free(), request).await;
    assert_eq!(said["method"], "Method::Post");
    assert_eq!(said["scheme"], "Some(Scheme::Http)");
    assert_eq!(said["authority"], "shop.example:8402");
    assert_eq!(said["target"], "/echo?a=1&b=%20");
    assert_eq!(said["body"], "hello");
    assert_eq!(said["receipt"], serde_json::Value::Null);
    let mut headers: Vec<String> = said["headers"].as_array().unwrap().iter().map(ToString::to_string).collect();
    headers.sort();
    assert_eq!(headers, ["[\"content-type\",\"text/plain\"]", "[\"x-kept\",\"yes\"]"]);
}

#[tokio::test]
async fn a_plugin_sells_while_its_instances_are_in_use_but_change_hands() {
    let config = RuntimeConfig { instances: 4, wait: Duration::from_secs(2), ..config(artifacts()) };
    let runtime = Runtime::new(config).expect("a runtime");
    let plugin = runtime.load(&guest("echo"), &limits(|limits| limits.instances = 1).into()).await.expect("loaded");
    let begun = Instant::now();
    let goes_on = || begun.elapsed() < Duration::from_millis(1_500);
    let flood = async || {
        while goes_on() {
            call(&plugin, get("/")).await.expect("an answer");
        }
    };
    let mut taken = 0;
    let looks = async {
        while goes_on() {
            plugin.check_room().expect("paid work is the next to run");
            taken += usize::from(free_instances(&plugin) == 0);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(flood(), flood(), looks);
    assert!(taken > 0);
}

#[tokio::test]
async fn a_guest_sees_the_receipt_of_its_request() {
    let plugin = load("echo").await;
    let receipt = PaymentReceipt {
        payer: "0xabc".into(),
        amount: "0.01".into(),
        asset: "0xdef".into(),
        network: "eip155:84532".into(),
        payment_id: "p-1".into(),
    };
    let said = json(&plugin, Permit::grant(Some(receipt)), get("https://shop.example/echo")).await;
    assert_eq!(said["scheme"], "Some(Scheme::Https)");
    assert_eq!(
        said["receipt"],
        serde_json::json!({"payer": "0xabc", "amount": "0.01", "asset": "0xdef",
                           "network": "eip155:84532", "paymentId": "p-1"})
    );
}

#[tokio::test]
async fn every_request_gets_a_fresh_instance() {
    for name in ["echo", "echo3"] {
        let plugin = load(name).await;
        for _ in 0..20 {
            let (head, bytes, _) = call(&plugin, get("/")).await.unwrap();
            match name {
                "echo" => assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["calls"], 1),
                _ => assert_eq!(head.headers()["x-calls"], "1"),
            }
        }
    }
}

#[tokio::test]
async fn a_guest_reaches_no_file_socket_environment_or_host() {
    let plugin = load("probe").await;
    let said = json(&plugin, free(), get("/probe")).await;
    for way in ["files", "write", "tcp", "udp"] {
        assert_ne!(said[way], "reached", "{way}");
    }
    assert_eq!(said["web"], "ErrorCode::HttpRequestDenied");
    assert_eq!(said["environment"], 0);
}

#[tokio::test]
async fn trailers_of_a_request_are_filtered_like_its_headers() {
    let plugin = load("echo3").await;
    let mut trailers = HeaderMap::new();
    for name in ["x-host-only", "cookie", "te", "x-kept"] {
        trailers.insert(name, "sent after the body".parse().unwrap());
    }
    let sent = body("hello").with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync();
    let (_, bytes, trailers) =
        call(&plugin, Request::post("/echo3").header("host", "h").body(sent).unwrap()).await.unwrap();
    assert_eq!((&bytes[..], trailers["x-received"].to_str().unwrap()), (&b"hello"[..], "x-kept"));
}

/// A body of this many bytes that comes in pieces, and is pending at every third poll.
struct Pieces(u64, usize);

impl Body for Pieces {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.1 += 1;
        if self.1.is_multiple_of(3) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let size = self.0.min(50_000);
        self.0 -= size;
        Poll::Ready((size > 0).then(|| Ok(Frame::data(Bytes::from(vec![b'y'; size as usize])))))
    }
}

#[tokio::test]
async fn large_bodies_stream_both_ways_and_trailers_arrive() {
    for name in ["echo", "echo3"] {
        let plugin = load(name).await;
        let request = Request::post("/?stream").header("host", "h").body(Pieces(8 << 20, 0).boxed_unsync()).unwrap();
        let (_, bytes, trailers) = call(&plugin, request).await.unwrap();
        assert_eq!(bytes.len(), 8 << 20, "{name}");
        assert!(bytes.iter().all(|&b| b == b'y'), "{name}");
        assert_eq!(trailers["x-end"], "reached", "{name}");
    }
}

#[tokio::test]
async fn a_handler_of_wasi_0_3_gets_receipt_and_clean_headers() {
    let plugin = load("echo3").await;
    let receipt = PaymentReceipt {
        payer: "0xabc".into(),
        amount: "1".into(),
        asset: String::new(),
        network: String::new(),
        payment_id: String::new(),
    };
    let request = Request::post("/echo3?x=1")
        .header("host", "h")
        .header("x-host-only", "secret")
        .header("x-kept", "yes")
        .body(body("hello"))
        .unwrap();
    let response = plugin.invoke(Permit::grant(Some(receipt)), request).await.unwrap();
    assert_eq!(response.headers()["x-payer"], "0xabc");
    assert_eq!(response.headers()["x-names"], "x-kept");
    assert_eq!(response.headers()["x-target"], "/echo3?x=1");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
}

#[tokio::test]
async fn a_small_response_has_a_known_length() {
    let plugin = load("echo").await;
    let response = plugin.invoke(free(), get("/echo")).await.unwrap();
    let size = response.body().size_hint().exact().expect("known");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len() as u64, size);
}

#[tokio::test]
async fn many_requests_of_one_task_are_all_answered() {
    // More than tokio lets one task do before it must yield.
    let plugin = load("echo").await;
    for _ in 0..500 {
        call(&plugin, get("/")).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_body_above_the_limit_ends_early() {
    let plugin = load_with("echo", limits(|l| l.request_body = 1 << 20)).await;
    let request = Request::post("/").header("host", "h").body(Pieces(2 << 20, 0).boxed_unsync()).unwrap();
    let said = json(&plugin, free(), request).await;
    assert_ne!(said["bodyEnd"], "whole");
    assert!(said["body"].as_str().unwrap().len() <= 1 << 20);
    let request = Request::post("/").header("host", "h").body(Pieces(1 << 20, 0).boxed_unsync()).unwrap();
    assert_eq!(json(&plugin, free(), request).await["bodyEnd"], "whole");
}

#[tokio::test]
async fn a_metered_amount_comes_with_its_response() {
    let plugin = load("echo").await;
    for (word, accepted) in
        [("0.005", true), ("12%20USDC", false), ("-1", false), ("1e3", false), ("", false), (".5", false)]
    {
        let response = plugin.invoke(free().metered(), get(&format!("/?charge={word}"))).await.unwrap();
        let charged = response.extensions().get::<MeteredAmount>().expect("always there").clone();
        response.into_body().collect().await.unwrap();
        assert_eq!(charged.amount(), accepted.then(|| word.to_owned()), "{word}");
    }
}

/// The contract promises an error where no request is metered: a charge that nobody collects would look like one.
#[tokio::test]
async fn a_charge_for_a_request_that_is_not_metered_is_refused() {
    let plugin = load("echo").await;
    for permit in [free(), paid_by("0xa")] {
        let response = plugin.invoke(permit, get("/?charge=0.005")).await.unwrap();
        let charged = response.extensions().get::<MeteredAmount>().expect("always there").clone();
        let said = response.into_body().collect().await.unwrap().to_bytes();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        assert!(said["charged"].as_str().unwrap().contains("`up-to`"), "{said}");
        assert_eq!(charged.amount(), None);
    }
}

#[tokio::test]
async fn a_trap_is_a_fault_at_any_time() {
    let plugin = load_with("trap", limits(|l| l.breaker.failures = 0)).await;
    for when in ["", "?when=head", "?when=end", "?when=late"] {
        let fault = call(&plugin, get(&format!("/trap{when}"))).await.unwrap_err();
        assert!(matches!(&fault, Fault::Trap(text) if text.contains("unreachable")), "{when}: {fault:?}");
    }
    let fault = call(&plugin, get("/?when=exit")).await.unwrap_err();
    assert!(matches!(fault, Fault::Trap(_)), "{fault:?}");
    let fault = call(&plugin, get("/?when=unfinished")).await.unwrap_err();
    assert!(matches!(fault, Fault::NoResponse(_)), "{fault:?}");
    let plugin = load("echo3").await;
    let fault = call(&plugin, get("/?trap")).await.unwrap_err();
    assert!(matches!(fault, Fault::Trap(_)), "{fault:?}");
}

#[tokio::test]
async fn an_unfinished_response_is_a_fault() {
    let plugin = load("unruly").await;
    let fault = call(&plugin, get("/?unfinished")).await.expect_err("half an answer");
    assert!(matches!(&fault, Fault::NoResponse(text) if text.contains("cut off")), "{fault:?}");
}

#[tokio::test]
async fn a_trap_after_the_last_byte_of_a_small_response_is_a_fault_before_its_head() {
    let plugin = load("trap").await;
    assert!(plugin.invoke(free(), get("/?when=end")).await.is_err());
}

#[tokio::test]
async fn a_missing_or_informational_response_is_a_fault() {
    let silent = load("silent").await;
    for uri in ["/", "/?error"] {
        let fault = call(&silent, get(uri)).await.unwrap_err();
        assert!(matches!(fault, Fault::NoResponse(_)), "{fault:?}");
    }
    let status = load("status").await;
    for informational in ["100", "103"] {
        let fault = call(&status, get(&format!("/?{informational}"))).await.unwrap_err();
        assert!(matches!(fault, Fault::NoResponse(_)), "{fault:?}");
    }
    assert_eq!(call(&status, get("/?418")).await.unwrap().0.status(), StatusCode::IM_A_TEAPOT);
}

#[tokio::test]
async fn cpu_time_is_limited_before_and_after_the_head() {
    let plugin = load_with("spin", limits(|l| l.cpu = Duration::from_millis(100))).await;
    for how in ["", "?how=head", "?how=waits"] {
        let started = Instant::now();
        assert_eq!(call(&plugin, get(&format!("/{how}"))).await.unwrap_err(), Fault::Cpu, "{how}");
        assert!(started.elapsed() < Duration::from_secs(20), "{how}");
    }
    let plugin = load_with("echo3", limits(|l| l.cpu = Duration::from_millis(100))).await;
    assert_eq!(call(&plugin, get("/?spin")).await.unwrap_err(), Fault::Cpu);
}

#[tokio::test]
async fn waiting_is_limited_until_the_head_and_in_total() {
    let plugin = load_with("spin", limits(|l| l.first_byte = Duration::from_millis(50))).await;
    assert_eq!(plugin.invoke(free(), get("/?how=sleep")).await.unwrap_err(), Fault::Deadline);
    let plugin = load_with("echo3", limits(|l| l.total = Duration::from_millis(300))).await;
    let response = plugin.invoke(free(), get("/?sleep")).await.expect("its head");
    assert_eq!(response.into_body().collect().await.unwrap_err(), Fault::TotalTime);
}

#[tokio::test]
async fn memory_is_limited_and_the_fault_says_so() {
    let plugin = load_with("grow", limits(|l| l.memory = 48 << 20)).await;
    assert_eq!(call(&plugin, get("/")).await.unwrap_err(), Fault::Memory);
    assert_eq!(call(&plugin, get("/?modest")).await.unwrap().1, "\"enough\"");
    let plugin = load_with("grow", limits(|l| l.memory = 1 << 20)).await;
    assert_eq!(call(&plugin, get("/")).await.unwrap_err(), Fault::Memory);
}

#[tokio::test]
async fn memory_that_the_host_keeps_for_a_guest_is_limited() {
    let unruly = load_with("unruly", limits(|l| l.memory = 4 << 20)).await;
    assert_eq!(call(&unruly, get("/?hoard-bodies")).await.unwrap_err(), Fault::HostMemory);
    // Its handles may be used up before the next tick.
    let fault = call(&unruly, get("/?fields")).await.unwrap_err();
    assert!(matches!(fault, Fault::HostMemory | Fault::Trap(_)), "{fault:?}");
    assert_eq!(call(&unruly, get("/?hoard-texts")).await.unwrap().1, "\"false false\"");
    let fetch3 = load("fetch3").await;
    assert_eq!(call(&fetch3, get("/?hoard")).await.unwrap_err(), Fault::HostMemory);
    let fault = call(&fetch3, get("/?texts")).await.unwrap_err();
    assert!(matches!(&fault, Fault::NoResponse(text) if text.contains("false false")), "{fault:?}");
}

#[tokio::test]
async fn recursion_handles_and_header_fields_are_limited() {
    let plugin = load("unruly").await;
    for (how, expected) in [
        ("recurse", "512 KiB of stack, which no setting changes"),
        ("overflow", "call each other again and again, and so used up the stack"),
        ("leak", ""),
        ("headers", ""),
    ] {
        let fault = call(&plugin, get(&format!("/?{how}"))).await.unwrap_err();
        assert!(matches!(&fault, Fault::Trap(text) if text.contains(expected)), "{how}: {fault:?}");
    }
    assert_eq!(call(&plugin, get("/")).await.unwrap().1, "\"quiet\"");
}

#[tokio::test]
async fn a_guest_whose_response_is_not_read_is_stopped_without_counting_as_a_failure() {
    let plugin = load_alone("flood", limits(|l| l.total = Duration::from_millis(100))).await;
    let mut body = plugin.invoke(free(), get("/")).await.unwrap().into_body();
    body.frame().await.expect("more to come").expect("a frame");
    let returned = async {
        while free_instances(&plugin) < Limits::default().instances {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), returned)
        .await
        .expect("the instance is free though the body is held");
    let fault = loop {
        match body.frame().await.expect("it does not end well") {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, Fault::Unread);
    assert_eq!(plugin.unpaid_circuit(), Circuit::Closed);
}

#[tokio::test]
async fn an_endless_response_is_cut_off_and_its_guest_stopped() {
    let plugin = load_alone("flood", limits(|l| l.response_body = 1 << 20)).await;
    let mut body = plugin.invoke(free(), get("/")).await.unwrap().into_body();
    let mut size = 0;
    let fault = loop {
        match body.frame().await.expect("it is endless") {
            Ok(frame) => size += frame.data_ref().map_or(0, Bytes::len),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, Fault::ResponseTooLarge);
    assert!(size <= 1 << 20 && size > (1 << 20) - (128 << 10), "{size}");
    assert_eq!(free_instances(&plugin), Limits::default().instances);
}

#[tokio::test]
async fn dropping_the_future_or_the_body_stops_the_guest() {
    let plugin = load_alone("spin", limits(|l| l.instances = 1)).await;
    let asleep = plugin.invoke(free(), get("/?how=sleep"));
    assert!(tokio::time::timeout(Duration::from_millis(50), asleep).await.is_err());
    assert_eq!(free_instances(&plugin), 1);
    let flood = load_alone("flood", limits(|l| l.instances = 1)).await;
    let response = flood.invoke(free(), get("/")).await.unwrap();
    assert_eq!(free_instances(&flood), 0);
    drop(response);
    assert_eq!(free_instances(&flood), 1);
}

#[tokio::test]
async fn a_full_plugin_is_busy_after_a_short_wait_and_recovers() {
    let plugin = load_alone("flood", limits(|l| l.instances = 2)).await;
    let running = (plugin.invoke(free(), get("/")).await.unwrap(), plugin.invoke(free(), get("/")).await.unwrap());
    assert_eq!(plugin.invoke(free(), get("/")).await.unwrap_err(), Fault::Busy);
    let (waiting, ()) = tokio::join!(plugin.invoke(free(), get("/")), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(running);
    });
    waiting.expect("a permit came free while it waited");
}

#[tokio::test]
async fn a_spinning_guest_does_not_stop_its_neighbours() {
    let (spin, echo) = (load("spin").await, load("echo").await);
    // Both share one thread: `echo` can only answer while `spin` computes.
    let fault = tokio::select! {
        fault = spin.invoke(free(), get("/")) => fault.map(drop),
        () = async { for _ in 0..5 { call(&echo, get("/")).await.unwrap(); } } => Ok(()),
    };
    assert_eq!(fault, Ok(()));
}

#[tokio::test]
async fn printed_lines_reach_the_log_and_are_bounded() {
    use std::io::Write;
    use std::sync::Mutex;

    // `tracing` caches for the whole process whether an event has a subscriber, and other tests run without one: this
    // test runs in a process of its own.
    const ALONE: &str = "COINSLOT_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::invoke::printed_lines_reach_the_log_and_are_bounded"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
        assert!(String::from_utf8_lossy(&alone.stdout).contains("1 passed"));
        return;
    }

    #[derive(Clone)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let (trap, probe) = (load("trap").await, load("probe").await);
    let sink = Sink(Arc::default());
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    {
        let _guard = tracing::subscriber::set_default(subscriber);
        call(&trap, get("/")).await.unwrap_err();
        call(&probe, get("/")).await.unwrap();
    }
    let text = String::from_utf8(std::mem::take(&mut *sink.0.lock().unwrap())).unwrap();
    let trap = text.lines().find(|line| line.contains("about to trap")).expect("even without a newline");
    assert!(trap.contains("plugin=\"trap\""), "{trap}");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("xxx")).collect();
    assert_eq!(lines.len(), 64);
    assert_eq!(text.lines().filter(|line| line.contains("the rest is dropped")).count(), 1);
}

#[tokio::test]
async fn a_request_body_that_does_not_come_does_not_count_as_a_failure() {
    let short = |limits: &mut Limits| {
        (limits.first_byte, limits.total) = (Duration::from_millis(200), Duration::from_millis(200));
    };
    for name in ["echo", "echo3"] {
        let plugin = load_with(name, limits(short)).await;
        for _ in 0..6 {
            let request = Request::post("/").body(http_body_util::combinators::UnsyncBoxBody::new(Never)).unwrap();
            // A guest of WASI 0.3 sends its head first, and fails within its body.
            let fault = match plugin.invoke(free(), request).await {
                Err(fault) => fault,
                Ok(response) => response.into_body().collect().await.unwrap_err(),
            };
            assert_eq!(fault, Fault::SlowRequest, "{name}");
        }
        assert_eq!(plugin.unpaid_circuit(), Circuit::Closed, "{name}");
        call(&plugin, get("/")).await.unwrap();
    }
}

/// A body that never comes.
struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_slow_upload_does_not_hold_the_trial_of_a_circuit() {
    let pause = Duration::from_millis(10);
    let breaker = BreakerSettings { pause, longest: pause, ..opens_after(1) };
    let plugin = load_with("echo", limits(|l| l.breaker = breaker)).await;
    plugin.loaded.circuits.admit(None).unwrap().failed("echo", &Fault::Cpu);
    assert_ne!(plugin.unpaid_circuit(), Circuit::Closed);
    tokio::time::sleep(2 * pause).await;
    let slow = Request::post("/").body(Never.boxed_unsync()).unwrap();
    let slow = tokio::spawn({
        let plugin = plugin.clone();
        async move { plugin.invoke(free(), slow).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let another = plugin.loaded.circuits.admit(None);
    assert!(matches!(another, Err(Fault::CircuitOpen { .. })), "the upload is the trial");
    let served = async {
        while call(&plugin, get("/")).await.is_err() {
            tokio::time::sleep(pause).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), served).await.expect("another request is the trial");
    assert!(!slow.is_finished());
    slow.abort();
    assert_eq!(plugin.unpaid_circuit(), Circuit::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_writes_without_end_lets_other_tasks_run() {
    let plugin = load("flood").await;
    let mut body = plugin.invoke(free(), get("http://shop.example/flood")).await.expect("an answer").into_body();
    let mut in_turn = Vec::new();
    for _ in 0..4 {
        let mut bytes = 0;
        std::future::poll_fn(|cx| {
            // Read all frames that are there at once, as a server does whose client reads as fast.
            while let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) {
                bytes += frame.expect("no end").expect("no fault").into_data().expect("data").len();
                assert!(bytes <= 1 << 20, "{bytes} bytes in one turn");
            }
            Poll::Ready(())
        })
        .await;
        in_turn.push(bytes);
    }
    assert!(in_turn.iter().all(|bytes| *bytes <= 36 << 10), "{in_turn:?} bytes in one turn");
    assert!(in_turn.iter().sum::<usize>() >= 32 << 10, "{in_turn:?}: it continues after its turn");
}
