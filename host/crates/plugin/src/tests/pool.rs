//! Tests of instances that answer one request after another.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use http_body::{Body, Frame};

use super::*;

fn reused(total: u32) -> Limits {
    Limits { reuse: Some(Reuse { total, concurrent: 1 }), ..Limits::default() }
}

/// The number of requests that the instance has had, and the payer whom it saw.
async fn said(plugin: &Plugin, name: &str, permit: Permit) -> (String, String) {
    let response = plugin.invoke(permit, get("/")).await.expect("an answer");
    let headers = response.headers().clone();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    if name == "echo3" {
        let text = |name: &str| headers[name].to_str().expect("ASCII").to_owned();
        return (text("x-calls"), text("x-payer"));
    }
    let said: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    (said["calls"].to_string(), said["receipt"]["payer"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_instance_answers_a_number_of_requests_and_each_sees_its_own_payment() {
    for name in ["echo", "echo3"] {
        let plugin = load_with(name, reused(3)).await;
        let mut seen = Vec::new();
        for payer in ["0xa", "0xb", "", "0xc"] {
            let permit = if payer.is_empty() { free() } else { paid_by(payer) };
            seen.push(said(&plugin, name, permit).await);
        }
        let expected = [("1", "0xa"), ("2", "0xb"), ("3", ""), ("1", "0xc")];
        assert_eq!(seen, expected.map(|(calls, payer)| (calls.to_owned(), payer.to_owned())), "{name}");
    }
}

#[tokio::test]
async fn requests_at_once_never_share_an_instance() {
    for name in ["echo", "echo3"] {
        let plugin = load_with(name, reused(100)).await;
        let mut asked = tokio::task::JoinSet::new();
        for index in 0..8 {
            let plugin = plugin.clone();
            asked.spawn(async move {
                for round in 0..25 {
                    let payer = format!("0x{index}{round}");
                    assert_eq!(said(&plugin, name, paid_by(&payer)).await.1, payer, "{name}");
                }
            });
        }
        while let Some(done) = asked.join_next().await {
            done.expect("each request saw its own payment");
        }
    }
}

#[tokio::test]
async fn an_instance_whose_request_failed_or_was_dropped_is_not_reused() {
    let plugin = load_with("echo3", reused(100)).await;
    assert_eq!(said(&plugin, "echo3", free()).await.0, "1");
    call(&plugin, get("/?trap")).await.expect_err("a trap");
    assert_eq!(said(&plugin, "echo3", free()).await.0, "1", "after a trap");
    // The body is dropped while the guest writes it.
    let response = plugin.invoke(free(), get("/?sleep")).await.expect("a head");
    drop(response);
    assert_eq!(said(&plugin, "echo3", free()).await.0, "1", "after a body that was dropped");
    assert_eq!(said(&plugin, "echo3", free()).await.0, "2");
}

#[tokio::test]
async fn a_guest_that_returns_without_a_whole_response_fails_at_once_and_is_not_reused() {
    let plugin = load_with("unruly", Limits { instances: 1, ..reused(100) }).await;
    let ask = async |path| {
        let asked = tokio::time::timeout(Duration::from_secs(5), call(&plugin, get(path))).await;
        asked.expect("it does not hang")
    };
    for _ in 0..2 {
        let fault = ask("/?forget").await.expect_err("no answer");
        assert!(matches!(fault, Fault::NoResponse(_)), "{fault:?}");
        let fault = ask("/?unfinished").await.expect_err("half an answer");
        assert!(matches!(fault, Fault::NoResponse(_)), "{fault:?}");
    }
    assert_eq!(call(&plugin, get("/")).await.expect("an answer").1, "\"quiet\"");
}

#[tokio::test]
async fn every_request_has_limits_of_its_own() {
    let limits = Limits { cpu: Duration::from_millis(200), log: 100, ..reused(1000) };
    // A runtime of its own: other tests take permits of idle instances.
    let runtime = Runtime::new(config(artifacts())).expect("a runtime");
    let plugin = runtime.load(&guest("echo"), &limits.into()).await.expect("loaded");
    // Together these requests compute for longer, and print more, than one request may.
    let uri = format!("/?{}", "x".repeat(60));
    let start = std::time::Instant::now();
    let mut calls = 0;
    while start.elapsed() < Duration::from_millis(1200) {
        let request = Request::post(&uri).body(body(vec![b'x'; 100 << 10])).expect("a request");
        let (_, bytes, _) = call(&plugin, request).await.expect("an answer");
        calls += 1;
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).expect("JSON")["calls"], calls);
    }
}

#[tokio::test]
async fn idle_instances_of_all_plugins_together_are_bounded() {
    let mut config = super::config(artifacts());
    config.instances = 8;
    let runtime = Runtime::new(config).expect("a runtime");
    let mut plugins = Vec::new();
    for name in ["echo", "echo3"] {
        plugins.push(runtime.load(&guest(name), &reused(100).into()).await.expect("loaded"));
    }
    // All instances run at once, and three may be idle afterwards: a quarter of the permits, and one.
    let open = Arc::new(AtomicBool::new(false));
    let mut asked = tokio::task::JoinSet::new();
    for plugin in [&plugins[0], &plugins[1]] {
        for _ in 0..4 {
            let (plugin, open) = (plugin.clone(), Arc::clone(&open));
            let request = Request::post("/").body(Gate(open).boxed_unsync()).expect("a request");
            // Paid work may use all instances.
            asked.spawn(async move { plugin.invoke(paid_by("0xa"), request).await?.collect().await.map(drop) });
        }
    }
    while runtime.resources.instances.free() > 0 {
        tokio::task::yield_now().await;
    }
    open.store(true, Relaxed);
    while let Some(done) = asked.join_next().await {
        done.expect("no panic").expect("an answer");
    }
    assert_eq!(runtime.resources.idle_instances.available_permits(), 0);
    plugins.clear();
    assert_eq!(runtime.resources.idle_instances.available_permits(), 3, "dropping a plugin drops its idle instances");
}

/// A body that ends when it is opened.
struct Gate(Arc<AtomicBool>);

impl Body for Gate {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if self.0.load(Relaxed) {
            return Poll::Ready(None);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
