//! Checks the id and the trace of a request everywhere that they are written: answers, logs, books, webhooks, other
//! servers and a collector.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coinslot_tests::{CollectedSpan, Collector, FacilitatorMode, Receiver, ReceiverMode, ServeHost, TestChain, guest};
use http_body_util::Full;
use hyper::Response;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::grants::serve;

const LIMIT: Duration = Duration::from_secs(60);

/// A trace and a span of a client, sampled.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The table of a collector that is told of this share of requests.
fn exporting(collector: &Collector, sample: f64) -> String {
    format!("[telemetry]\notlp_endpoint = \"{}\"\nsample = {sample:?}\n", collector.url())
}

fn header<'r>(answer: &'r reqwest::Response, name: &str) -> &'r str {
    answer.headers().get(name).map(|value| value.to_str().expect("ASCII")).unwrap_or_default()
}

/// Pays for `/echo` with these header fields.
async fn buy(chain: &TestChain, host: &ServeHost, fields: &[(&str, &str)]) -> reqwest::Response {
    let client = reqwest::Client::new();
    let ask = || client.post(host.url("/echo")).body("mine");
    let challenge = ask().send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let with = |request: RequestBuilder, (name, value): &(&str, &str)| request.header(*name, *value);
    let request = fields.iter().fold(ask().header("PAYMENT-SIGNATURE", payment), with);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{}", host.log());
    answer
}

async fn until<T>(host: &ServeHost, what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_request_has_one_id_in_answer_log_ledger_webhook_api_and_trace() {
    let (chain, receiver, collector) = (TestChain::start().await, Receiver::start().await, Collector::start().await);
    let config = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[[webhook]]\nurl = \"{}\"\nsecret_file = \"key\"\n{}",
        receiver.url(),
        exporting(&collector, 1.0)
    );
    let host = chain.serve(&["echo"], &config).await;
    let answer = buy(&chain, &host, &[]).await;
    let id = header(&answer, "x-request-id").to_owned();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert!(header(&answer, "access-control-expose-headers").contains("X-Request-Id"));
    let log = host.log();
    let printed = log.lines().find(|line| line.contains("echo got")).expect("what the plugin printed");
    assert!(printed.ends_with(&format!("request_id={id}")), "{printed}");
    let span = collector.span(|span| span.attribute("coinslot.request_id") == id).await;
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (id.as_str(), ""));
    let told = until(&host, "the webhook", async || receiver.accepted().first().cloned()).await.json();
    assert_eq!(told["data"]["requestId"], id.as_str(), "{told}");
    let url = format!("{}/api/v1/payments", host.admin());
    let records: Value = reqwest::get(url).await.expect("an answer").json().await.expect("JSON");
    assert_eq!(records[0]["requestId"], id.as_str(), "{records}");
    let page = format!("{}/payments/{}", host.admin(), header(&answer, "x-coinslot-payment-id"));
    let page = reqwest::get(page).await.expect("a page").text().await.expect("text");
    assert!(page.contains(&id), "{page}");
}

#[tokio::test]
async fn every_answer_has_an_id_and_an_error_has_it_in_its_document() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "status"], "").await;
    let client = reqwest::Client::new();
    let mut ids = std::collections::BTreeSet::new();
    for request in [
        client.get(host.url("/nowhere")),
        client.delete(host.url("/echo")),
        client.post(host.url("/echo")),
        client.post(host.url("/echo")).header("PAYMENT-SIGNATURE", "no base64!"),
        client.get(host.url("/.well-known/coinslot/ready")),
        client.request(reqwest::Method::OPTIONS, host.url("/echo")),
    ] {
        // What a stranger calls its request is its own affair.
        let answer = request.header("x-request-id", "a-strangers").send().await.expect("an answer");
        let id = header(&answer, "x-request-id").to_owned();
        assert_eq!(id.len(), 32, "{answer:?}");
        if answer.status().is_client_error() && answer.status() != 402 {
            let document: Value = answer.json().await.expect("JSON");
            assert_eq!(document["request_id"], id.as_str(), "{document}");
        }
        ids.insert(id);
    }
    assert_eq!(ids.len(), 6, "each request has another one: {ids:?}");
}

#[tokio::test]
async fn a_named_proxy_names_requests_and_what_is_no_id_is_replaced() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n").await;
    let ask = async |said: &str| {
        let request = reqwest::Client::new().get(host.url("/nowhere")).header("x-request-id", said);
        header(&request.send().await.expect("an answer"), "x-request-id").to_owned()
    };
    assert_eq!(ask("7b1c-proxy").await, "7b1c-proxy");
    for refused in ["two words", "\"quoted\"", &"x".repeat(65)] {
        let id = ask(refused).await;
        assert!(id.len() == 32 && id != refused, "{id}");
    }
    buy(&chain, &host, &[("x-request-id", "order-4711")]).await;
    assert!(host.log().lines().any(|line| line.ends_with("request_id=order-4711")), "{}", host.log());
}

/// The child of a span with this name.
async fn child(collector: &Collector, parent: &CollectedSpan, name: &str) -> CollectedSpan {
    let child = collector.span(|span| span.parent == parent.id && span.name == name).await;
    assert_eq!(child.trace, parent.trace);
    child
}

#[tokio::test]
async fn the_trace_of_a_paid_request_continues_that_of_a_named_proxy() {
    let (chain, collector) = (TestChain::start().await, Collector::start().await);
    let config = format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{}", exporting(&collector, 0.0));
    let host = chain.serve(&["echo"], &config).await;
    buy(&chain, &host, &[("traceparent", PARENT)]).await;
    let server = collector.span(|span| span.kind == 2).await;
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, "b7ad6b7169203331"));
    assert_eq!(server.name, "POST /echo");
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/echo"),
        ("url.path", "/echo"),
        ("http.response.status_code", "200"),
        ("coinslot.plugin", "echo"),
        ("coinslot.outcome", "paid"),
    ] {
        assert_eq!(server.attribute(name), value, "{name} of {server:?}");
    }
    for stage in ["verify", "claim", "run", "settle"] {
        child(&collector, &server, stage).await;
    }
    let payer = chain.payer(0).address().to_string().to_ascii_lowercase();
    let all = format!("{:?}", collector.spans()).to_ascii_lowercase();
    assert!(!all.contains(&payer) && !all.contains("mine"), "{all}");
}

/// The number of calls with these labels that a host has counted.
async fn calls(host: &ServeHost, labels: &[&str]) -> f64 {
    let text = reqwest::get(format!("{}/metrics", host.admin())).await.expect("an answer").text().await.expect("text");
    let counts = text.lines().filter(|line| line.starts_with("coinslot_facilitator_call_duration_seconds_count{"));
    let ours = counts.filter(|line| labels.iter().all(|label| line.contains(label)));
    ours.map(|line| line.rsplit(' ').next().expect("a number").parse::<f64>().expect("a number")).sum()
}

#[tokio::test]
async fn each_facilitator_of_a_pool_has_its_own_calls_in_the_metrics_and_its_own_spans() {
    let (chain, collector) = (TestChain::start().await, Collector::start().await);
    let (first, second) = (chain.facilitator(0).await, chain.facilitator(1).await);
    let mut host = chain.serve_through(&guest("echo"), &[&first, &second]).await;
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    host.write_configuration(&format!("{}{admin}{}", host.configuration(), exporting(&collector, 1.0)));
    host.restart(&[]).await;
    first.next_verify(FacilitatorMode::DropBefore);
    buy(&chain, &host, &[]).await;
    let server = collector.span(|span| span.attribute("coinslot.outcome") == "paid").await;
    let verify = child(&collector, &server, "verify").await;
    let tried = |name: &'static str, parent: &CollectedSpan| {
        let parent = parent.id.clone();
        move |span: &CollectedSpan| span.parent == parent && span.attribute("coinslot.facilitator") == name
    };
    let failed = collector.span(tried("f0", &verify)).await;
    assert_eq!((failed.name.as_str(), failed.kind), ("facilitator.verify", 3));
    assert_eq!(
        (failed.attribute("coinslot.result"), failed.attribute("error.type")),
        ("unreachable".into(), "unreachable".into())
    );
    let answered = collector.span(tried("f1", &verify)).await;
    assert_eq!((answered.attribute("coinslot.result"), answered.attribute("error.type")), ("ok".into(), String::new()));
    let settle = child(&collector, &server, "settle").await;
    let settled = collector.span(|span| span.parent == settle.id).await;
    assert_eq!(
        (settled.name.as_str(), settled.attribute("coinslot.facilitator").as_str()),
        ("facilitator.settle", "f1")
    );

    let result = async |name: &str, operation: &str, result: &str| {
        let labels = [("facilitator", name), ("operation", operation), ("result", result)];
        let labels = labels.map(|(label, value)| format!("coinslot_{label}=\"{value}\""));
        calls(&host, &[&labels[0], &labels[1], &labels[2]]).await
    };
    assert_eq!(result("f0", "verify", "unreachable").await, 1.0);
    assert_eq!((result("f1", "verify", "ok").await, result("f1", "settle", "ok").await), (1.0, 1.0));
    assert!(result("f0", "supported", "ok").await >= 1.0, "it was asked at the start");
    second.next_verify(FacilitatorMode::Refuse);
    first.next_verify(FacilitatorMode::Hang);
    let challenge = reqwest::Client::new().post(host.url("/echo")).send().await.expect("a challenge");
    let payment = chain.payer(1).pay(&challenge).header();
    let refused = reqwest::Client::new().post(host.url("/echo")).header("PAYMENT-SIGNATURE", payment).send();
    assert_eq!(refused.await.expect("an answer").status(), 402);
    assert_eq!((result("f0", "verify", "timeout").await, result("f1", "verify", "refused").await), (1.0, 1.0));
}

#[tokio::test]
async fn the_flag_of_a_stranger_samples_nothing_and_its_trace_is_no_parent() {
    let (chain, collector) = (TestChain::start().await, Collector::start().await);
    let host = chain.serve(&["echo"], &exporting(&collector, 0.0)).await;
    for _ in 0..20 {
        let request = reqwest::Client::new().post(host.url("/echo")).header("traceparent", PARENT);
        assert_eq!(request.send().await.expect("a challenge").status(), 402);
    }
    let other = Collector::start().await;
    host.write_configuration(&host.configuration().replace(&exporting(&collector, 0.0), &exporting(&other, 1.0)));
    let mut host = host;
    host.restart(&[]).await;
    buy(&chain, &host, &[("traceparent", PARENT)]).await;
    let server = other.span(|span| span.kind == 2 && span.attribute("coinslot.outcome") == "paid").await;
    assert!(server.trace != TRACE && server.parent.is_empty() && server.links == [TRACE], "{server:?}");
    assert!(collector.spans().is_empty(), "{:?}", collector.spans());
}

/// Lets the guest `fetch` send one request, and returns the trace that the other server saw.
async fn fetched(host: &ServeHost, line: &str, seen: &Arc<Mutex<Vec<String>>>, parent: Option<&str>) -> String {
    let request = reqwest::Client::new().post(host.url("/fetch")).body(line.to_owned());
    let request = match parent {
        Some(parent) => request.header("traceparent", parent),
        None => request,
    };
    let answer = request.send().await.expect("an answer").text().await.expect("text");
    assert!(answer.contains("\"status\":200"), "{answer}");
    seen.lock().expect("unpoisoned").pop().expect("a request")
}

#[tokio::test]
async fn outgoing_requests_of_plugins_continue_the_trace_unless_the_plugin_has_one() {
    let (chain, collector) = (TestChain::start().await, Collector::start().await);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let of_server = Arc::clone(&seen);
    let server = serve(move |request| {
        let said = request.headers().get("traceparent").map(|value| value.to_str().expect("ASCII").to_owned());
        of_server.lock().expect("unpoisoned").push(said.unwrap_or_default());
        async { Response::new(Full::<Bytes>::from("served")) }
    })
    .await;
    let grant = format!("[plugin.fetch]\nhttp = [{{ origin = \"{server}\", private = true }}]\n");
    let mut host = chain.serve(&["fetch"], &format!("{grant}{}", exporting(&collector, 1.0))).await;
    let line = format!("GET {server}/rates?key=hidden");

    let said = fetched(&host, &line, &seen, None).await;
    let parts: Vec<&str> = said.split('-').collect();
    let client = collector.span(|span| span.id == parts[2]).await;
    assert_eq!((client.trace.as_str(), client.kind, parts[3]), (parts[1], 3, "01"));
    assert_eq!((client.name.as_str(), client.attribute("http.response.status_code").as_str()), ("GET", "200"));
    let run = collector.span(|span| span.id == client.parent).await;
    assert_eq!(run.name, "run");
    assert!(!format!("{:?}", collector.spans()).contains("hidden"));

    let own = "00-11111111111111111111111111111111-2222222222222222-01";
    assert_eq!(fetched(&host, &format!("{line} traceparent:{own}"), &seen, None).await, own);

    // Without an export the trace of the client goes on, and a stranger's flag does not.
    host.write_configuration(&host.configuration().replace(&exporting(&collector, 1.0), ""));
    host.restart(&[]).await;
    assert_eq!(fetched(&host, &line, &seen, Some(PARENT)).await, PARENT.replace("-01", "-00"));
    assert_eq!(fetched(&host, &line, &seen, None).await, "");
}

#[tokio::test]
async fn a_collector_that_is_down_or_hangs_keeps_no_request_waiting_and_no_end() {
    let (chain, collector) = (TestChain::start().await, Collector::start().await);
    let config = format!("[admin]\nlisten = \"127.0.0.1:0\"\n{}", exporting(&collector, 1.0));
    let mut host = chain.serve(&["echo"], &config).await;
    collector.set(ReceiverMode::Hang);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let url = host.url("/echo");
        clients.spawn(async move {
            let (client, mut slowest) = (reqwest::Client::new(), Duration::ZERO);
            for _ in 0..600 {
                let begun = Instant::now();
                assert_eq!(client.post(&url).send().await.expect("a challenge").status(), 402);
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        });
    }
    let slowest = clients.join_all().await.into_iter().max().unwrap_or_default();
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
    assert!(collector.tried() > 0, "it was asked");
    let scraped =
        reqwest::get(format!("{}/metrics", host.admin())).await.expect("an answer").text().await.expect("text");
    let dropped =
        scraped.lines().find(|line| line.starts_with("coinslot_telemetry_spans_total") && line.contains("dropped"));
    let dropped: f64 =
        dropped.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a count of dropped spans");
    assert!(dropped > 0.0, "{scraped}");
    let begun = Instant::now();
    host.signal("TERM");
    host.wait_for_exit().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    collector.set(ReceiverMode::Refuse(503));
    host.restart(&[]).await;
    buy(&chain, &host, &[]).await;
    host.wait_for_log("failed with status code: 503", 1).await;
    collector.set(ReceiverMode::Accept);
    buy(&chain, &host, &[]).await;
    host.wait_for_log("the collector takes spans again", 1).await;
}

#[tokio::test]
async fn the_last_spans_and_the_metrics_are_exported_before_the_host_ends() {
    let (chain, collector) = (TestChain::start().await, Collector::start().await);
    let mut host = chain.serve(&["echo"], &exporting(&collector, 1.0)).await;
    host.restart(&[("OTEL_SERVICE_NAME", "till"), ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=1")]).await;
    buy(&chain, &host, &[]).await;
    host.signal("TERM");
    host.wait_for_exit().await;
    assert!(
        collector.spans().iter().any(|span| span.attribute("coinslot.outcome") == "paid"),
        "{:?}",
        collector.spans()
    );
    let duration = ("http.server.request.duration".to_owned(), "till".to_owned());
    assert!(collector.metrics().contains(&duration), "{:?}", collector.metrics());
}
