//! Pays for the examples of `sdk/examples`, which do the same in each language: one story for all.
//!
//! The six examples of a language are one component here, because the host compiles it in a sixth of the time. Those in
//! TypeScript are also built one by one; a module of Python or Rust is the same in a component of its own.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, SDK_EXAMPLES, guest, run};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The folder of a language's examples.
fn examples(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/examples").join(language)
}

fn build(dir: &Path, source: &str, out: &str) {
    let built = run(dir, &["build", source, "-o", out]);
    assert!(built.status.success(), "{source}: {}", String::from_utf8_lossy(&built.stderr));
}

/// What the weather service was sent: paths, and the keys that came with them.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

async fn weather(request: Request<Incoming>, asked: Asked) -> Result<Response<Full<&'static [u8]>>, Infallible> {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let key = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (status, body) = match path.split_once("city=") {
        Some((_, "Oslo")) => (200, &br#"{ "celsius": -3.5 }"#[..]),
        Some((_, "Rome")) => (500, &b"out of order"[..]),
        _ => (404, &b"unknown"[..]),
    };
    asked.lock().expect("no panic before").push((path, key.to_owned()));
    Ok(Response::builder().status(status).body(Full::new(body)).expect("a response"))
}

/// A weather service on this machine. Returns its address.
async fn weather_service(asked: &Asked) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::clone(asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&asked);
            let service = service_fn(move |request| weather(request, Arc::clone(&asked)));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    origin
}

/// Starts a host with the component, and with the grants that the headers of the examples name.
async fn start(component: &Path, name: &str, asked: &Asked) -> DevHost {
    let origin = weather_service(asked).await;
    let builder = DevHost::builder().plugin("examples.wasm", component).arguments(&["--config", "coinslot.toml"]);
    let grants = format!(
        "[plugin.{name}]\nfile = \"examples.wasm\"\nkeyvalue = true\nhttp = [\"{origin}\"]\n[[plugin.{name}.secrets]]\norigin = \"{origin}\"\n\
         header = \"Authorization\"\nprefix = \"Bearer \"\nvalue_env = \"WEATHER_KEY\"\n\
         [plugin.{name}.config]\nsource = \"{origin}\"\n"
    );
    fs::write(builder.path("coinslot.toml"), grants).expect("a file");
    builder.environment("WEATHER_KEY", "hunter2").start().await
}

/// Sends a request without a payment, and then with one. Returns the answer's status, media type and bytes.
async fn buy(host: &DevHost, ask: impl Fn() -> reqwest::RequestBuilder) -> (u16, String, Vec<u8>) {
    let challenge = ask().send().await.expect("a challenge");
    assert_eq!(challenge.status(), 402, "{}", host.log());
    let payment = host.payer(0).pay(&challenge).header();
    let answer = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    let kind = answer.headers().get("content-type").map_or("", |kind| kind.to_str().expect("ASCII")).to_owned();
    (answer.status().as_u16(), kind, answer.bytes().await.expect("a body").to_vec())
}

/// As [`buy`], for an answer in JSON.
async fn buy_json(host: &DevHost, ask: impl Fn() -> reqwest::RequestBuilder) -> Value {
    let (status, kind, body) = buy(host, ask).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(status == 200 && kind.starts_with("application/json"), "{status} {kind} {text}\n{}", host.log());
    serde_json::from_str(&text).expect("JSON")
}

/// Asserts that a request without a payment is refused with this status.
async fn refused(request: reqwest::RequestBuilder, status: u16) {
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), status, "{}", answer.text().await.unwrap_or_default());
}

async fn texts_are_quoted_by_length(host: &DevHost) {
    let post = |text: &str| host.client().post(host.url("/redact")).json(&json!({ "text": text }));
    let before = host.chain().balance(host.seller()).await;
    let long = format!("Write to ada@example.com {}", "x".repeat(1_500));
    let (status, kind, body) = buy(host, || post(&long)).await;
    assert!(status == 200 && kind.starts_with("text/plain"), "{status} {kind}");
    assert_eq!(String::from_utf8_lossy(&body), format!("Write to [e-mail] {}\n", "x".repeat(1_500)));
    assert_eq!(
        host.chain().balance(host.seller()).await - before,
        U256::from(2_000),
        "two thousand characters at most"
    );
    refused(post(""), 400).await;
    refused(post(&"x".repeat(50_001)), 400).await;
}

async fn events_are_streamed(host: &DevHost) {
    let (_, kind, body) = buy(host, || host.client().get(host.url("/countdown?start=2"))).await;
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    let ticks = "event: tick\ndata: {\"seconds\":2}\n\nevent: tick\ndata: {\"seconds\":1}\n\n";
    assert_eq!(String::from_utf8_lossy(&body), format!("{ticks}event: end\ndata: lift-off\n\n"));
    refused(host.client().get(host.url("/countdown?start=61")), 400).await;
}

async fn links_are_kept_and_followed_for_nothing(host: &DevHost) {
    let post = |url: &str| host.client().post(host.url("/links")).json(&json!({ "url": url }));
    let made = buy_json(host, || post("https://example.com/a")).await;
    let other = buy_json(host, || post("https://example.com/b")).await;
    assert_ne!(made["path"], other["path"]);
    let path = made["path"].as_str().expect("a path").to_owned();
    let direct = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let followed = direct.get(host.url(&path)).send().await.expect("an answer");
    assert_eq!(followed.status(), 303, "{}", host.log());
    assert_eq!(followed.headers()["location"], "https://example.com/a");
    let visits = buy_json(host, || host.client().get(host.url(&format!("{path}/visits")))).await;
    assert_eq!(visits, json!({ "visits": 1 }));
    refused(direct.get(host.url("/links/none")), 404).await;
    refused(post("javascript:alert(1)"), 400).await;
}

async fn a_key_that_the_plugin_never_sees_goes_along(host: &DevHost, asked: &Asked) {
    let ask = |city: &'static str| host.client().get(host.url(&format!("/weather/{city}")));
    assert_eq!(buy_json(host, || ask("Oslo")).await, json!({ "city": "Oslo", "celsius": -3.5 }));
    let sent = asked.lock().expect("no panic before").clone();
    assert_eq!(sent, [("/now?city=Oslo".to_owned(), "Bearer hunter2".to_owned())]);
    let before = host.chain().balance(host.seller()).await;
    for (city, statuses) in [("Atlantis", 404..=404), ("Rome", 500..=502)] {
        let (status, _, body) = buy(host, || ask(city)).await;
        assert!(statuses.contains(&status), "{city}: {status} {}", String::from_utf8_lossy(&body));
    }
    assert_eq!(host.chain().balance(host.seller()).await, before, "a failure costs nothing");
}

async fn bytes_are_answered(host: &DevHost) {
    let (status, kind, file) = buy(host, || host.client().get(host.url("/tone?hertz=1000&milliseconds=100"))).await;
    assert_eq!((status, kind.as_str(), file.len()), (200, "audio/wav", 44 + 2 * 800));
    assert_eq!((&file[..4], &file[8..16], &file[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
    let sample = |i: usize| i16::from_le_bytes([file[44 + 2 * i], file[45 + 2 * i]]);
    // Eight samples are one wave: its start, its top, its middle and its bottom.
    assert!(sample(0) == 0 && sample(2) > 11_900 && sample(4).abs() < 10 && sample(6) < -11_900, "{:?}", &file[44..60]);
}

async fn uploads_are_read_to_their_end(host: &DevHost) {
    let post = |bytes: Vec<u8>| host.client().post(host.url("/crc32")).body(bytes);
    assert_eq!(buy_json(host, || post(b"123456789".to_vec())).await, json!({ "bytes": 9, "crc32": "cbf43926" }));
    let zeros = buy_json(host, || post(vec![0; 1_000_000])).await;
    assert_eq!(zeros, json!({ "bytes": 1_000_000, "crc32": "1279cb9e" }));
}

/// Tells the whole story to one component.
async fn are_paid(component: &Path, name: &str) {
    let asked = Asked::default();
    let host = start(component, name, &asked).await;
    texts_are_quoted_by_length(&host).await;
    events_are_streamed(&host).await;
    links_are_kept_and_followed_for_nothing(&host).await;
    a_key_that_the_plugin_never_sees_goes_along(&host, &asked).await;
    bytes_are_answered(&host).await;
    uploads_are_read_to_their_end(&host).await;
}

#[tokio::test]
async fn examples_in_typescript_are_built_and_paid() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in SDK_EXAMPLES {
        let file = format!("{name}.ts");
        fs::copy(examples("ts").join(&file), dir.path().join(&file)).expect("an example");
        build(dir.path(), &file, &format!("{name}.wasm"));
    }
    are_paid(&guest("examples-ts"), "examples-ts").await;
}

#[tokio::test]
async fn examples_in_python_are_built_and_paid() {
    are_paid(&guest("examples-python"), "examples-python").await;
}

#[tokio::test]
async fn examples_in_rust_are_built_and_paid() {
    are_paid(&guest("examples"), "guest-examples").await;
}

#[tokio::test]
async fn examples_in_rust_are_paid_on_wasi_0_3() {
    are_paid(&guest("wasi3-examples"), "guest-wasi3-examples").await;
}

/// An example that no story names would be built and never paid.
#[test]
fn every_language_has_the_same_examples() {
    for (language, extension) in [("ts", "ts"), ("python", "py"), ("rust", "rs")] {
        let entries = fs::read_dir(examples(language)).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut names: Vec<String> = entries
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, SDK_EXAMPLES, "{language}");
    }
}
