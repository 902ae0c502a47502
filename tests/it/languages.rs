//! Checks that plugins behave alike in every language: the same stories, with the same expectations, against one plugin
//! that is written in each.
//!
//! A language is a line of [`languages!`] and a plugin: `tests/fixtures/languages/NAME`, or for Rust
//! `tests/plugins/behaviours`. Each is built once, and one host serves it for all stories.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use alloy::primitives::U256;
use coinslot_tests::{DevHost, binary, decode, guest, raw, zig_folder};
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// Makes a test of each language.
macro_rules! languages {
    ($($test:ident: $plugin:expr;)+) => {$(
        #[tokio::test]
        async fn $test() {
            behaves($plugin).await;
        }
    )+};
}

languages! {
    a_plugin_in_typescript_behaves_as_those_in_other_languages: Source::Built("typescript/plugin.ts");
    a_plugin_in_python_behaves_as_those_in_other_languages: Source::Built("python/app.py");
    a_plugin_in_rust_behaves_as_those_in_other_languages: Source::Guest("behaviours");
    a_plugin_in_rust_on_wasi_0_3_behaves_as_those_in_other_languages: Source::Guest("wasi3");
    a_plugin_in_c_behaves_as_those_in_other_languages: Source::Built("c/plugin.c");
}

/// The plugin of a language.
enum Source {
    /// Sources that `coinslot build` makes a component of.
    Built(&'static str),
    /// A crate of `tests/plugins`.
    Guest(&'static str),
}

impl Source {
    /// The plugin's own name.
    fn plugin_name(&self) -> String {
        match self {
            Self::Guest(name) => format!("guest-{name}"),
            Self::Built(_) => "behaviours".to_owned(),
        }
    }

    /// The component, which is built in the folder if it is none yet.
    fn component(&self, dir: &Path) -> PathBuf {
        match self {
            Self::Guest(name) => guest(name),
            Self::Built(file) => {
                let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/languages").join(file);
                let component = dir.join("behaviours.wasm");
                let paths = [&source, &component].map(|path| path.to_str().expect("a path that is text"));
                let mut build = Command::new(binary());
                if file.ends_with(".c") {
                    let inherited = std::env::var_os("PATH").unwrap_or_default();
                    let programs = std::iter::once(zig_folder()).chain(std::env::split_paths(&inherited));
                    build.env("PATH", std::env::join_paths(programs).expect("a PATH"));
                }
                let built = build.current_dir(dir).args(["build", paths[0], "-o", paths[1]]).output().expect("a build");
                assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
                component
            }
        }
    }
}

/// The operator's part, for the plugin NAME. Interpreters start more slowly than the shortest limit allows.
const CONFIG: &str = r#"
[plugin.NAME]
keyvalue = true

[plugin.NAME.config]
greeting = "good morning"

[plugin.NAME.limits]
cpu_time = "2s"
request_body = "64KiB"

[plugin.NAME.health]
failures = 4
pause = "1h"
longest_pause = "1h"
"#;

/// Tells all stories of one host.
async fn behaves(source: Source) {
    let built = tempfile::tempdir().expect("a folder");
    let component = source.component(built.path());
    let builder = DevHost::builder().plugin("behaviours.wasm", &component);
    std::fs::write(builder.path("coinslot.toml"), CONFIG.replace("NAME", &source.plugin_name())).expect("a file");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    paths_lead_to_endpoints(&host).await;
    input_that_does_not_fit_is_refused_before_payment(&host).await;
    json_that_a_guest_cannot_bear_is_refused_before_it_runs(&host).await;
    many_items_are_compared_within_the_limits(&host).await;
    header_fields_may_have_any_byte(&host).await;
    what_nobody_reads_is_not_refused(&host).await;
    refusals_name_the_place_and_cost_nothing(&host).await;
    a_quote_is_the_price_of_its_request(&host).await;
    events_are_paid_first_and_sent(&host).await;
    limits_end_a_request_and_cost_nothing(&host).await;
    a_body_above_the_limit_is_413_without_a_price_too(&host).await;
    memory_and_stack_that_are_used_up_are_named_with_their_limit(&host).await;
    the_plugin_sees_who_paid(&host).await;
    instances_share_no_randomness(&host).await;
    the_operators_part_reaches_the_plugin(&host).await;
    code_that_fails_for_every_payer_takes_the_plugin_off_sale(&host).await;
}

fn request(host: &DevHost, method: Method, path: &str) -> RequestBuilder {
    host.client().request(method, host.url(path))
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// The status and the text of an answer.
async fn read(request: RequestBuilder) -> (u16, String) {
    let answer = send(request).await;
    (answer.status().as_u16(), answer.text().await.expect("a whole body"))
}

/// The answer of a request after its challenge has been paid.
async fn paid(host: &DevHost, request: RequestBuilder) -> Response {
    paid_by(host, 0, request).await
}

async fn paid_by(host: &DevHost, payer: usize, request: RequestBuilder) -> Response {
    let challenge = send(request.try_clone().expect("a request with a whole body")).await;
    assert_eq!(challenge.status(), 402, "{request:?}");
    let payment = host.payer(payer).pay(&challenge).header();
    send(request.header("PAYMENT-SIGNATURE", payment)).await
}

/// The fields of a refusal that programs read: status, `error`, `pointer` and `code`.
async fn refusal(answer: Response) -> Value {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    json!([status, body["error"], body["pointer"], body["code"]])
}

async fn earned(host: &DevHost) -> U256 {
    host.chain().balance(host.seller()).await
}

async fn paths_lead_to_endpoints(host: &DevHost) {
    for (method, path, status, text) in [
        (Method::GET, "/items/7", 200, "item 7"),
        (Method::GET, "/items/special", 200, "special"),
        (Method::GET, "/items/a%20b%2B+%C3%A9", 200, "item a b++\u{e9}"),
        (Method::GET, "/files/a/b%20c/d", 200, "file a/b c/d"),
        (Method::DELETE, "/items/special", 200, "removed special"),
        (Method::HEAD, "/items/7", 200, ""),
    ] {
        let (found, body) = read(request(host, method.clone(), path)).await;
        assert_eq!((found, body.trim_end()), (status, text), "{method} {path}");
    }
    for path in ["/items/", "/items/7/", "/items", "/files/", "/Items/7"] {
        let refused = refusal(send(request(host, Method::GET, path)).await).await;
        assert_eq!(refused, json!([404, "not_found", null, null]), "{path}");
    }
    let unknown = send(request(host, Method::PUT, "/items/7")).await;
    let allow: BTreeSet<_> =
        unknown.headers()["allow"].to_str().expect("text").split(", ").map(ToOwned::to_owned).collect();
    assert!(allow.contains("GET") && allow.contains("DELETE"), "{allow:?}");
    assert_eq!(refusal(unknown).await, json!([405, "method_not_allowed", null, null]));
    assert_eq!(send(request(host, Method::HEAD, "/greet/ada")).await.status(), 402, "HEAD of a paid endpoint");
}

async fn input_that_does_not_fit_is_refused_before_payment(host: &DevHost) {
    for (path, pointer, code) in [
        ("/greet/ada?times=10", "/query/times", "maximum"),
        ("/greet/ada?times=x", "/query/times", "type"),
        ("/greet/ada?times=%ff", "/query/times", "encoding"),
    ] {
        let refused = refusal(send(request(host, Method::GET, path)).await).await;
        assert_eq!(refused, json!([400, "invalid_query", pointer, code]), "{path}");
    }
    for (body, pointer, code) in [
        (r#"{"count": 0, "colour": "red"}"#, "/body/count", "minimum"),
        (r#"{"count": 1}"#, "/body/colour", "required"),
        (r#"{"count": 1, "colour": "green"}"#, "/body/colour", "enum"),
        (r#"{"count": "one", "colour": "red"}"#, "/body/count", "type"),
        (r#"{"count": 1"#, "/body", "json"),
    ] {
        let refused = refusal(send(request(host, Method::POST, "/orders").body(body)).await).await;
        assert_eq!(refused, json!([400, "invalid_body", pointer, code]), "{body}");
    }
    let ask = request(host, Method::GET, "/greet/ada%20l?times=2");
    assert_eq!(paid(host, ask).await.text().await.expect("text"), "Hello, ada l!Hello, ada l!");
}

/// JSON that nests deeply ended the instances of some languages, as did half of a surrogate pair: five such requests to a
/// free endpoint opened the circuit of the paid ones. Each language read other values where a name occurs twice.
async fn json_that_a_guest_cannot_bear_is_refused_before_it_runs(host: &DevHost) {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
    let order = |more: &str| format!(r#"{{"count":1,"colour":"red","words":[],{more}}}"#);
    let text = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    for (body, code) in [
        ("[".repeat(60_000).into_bytes(), "json"),
        (deep("[", "]").into_bytes(), "json"),
        (deep(r#"{"in":"#, "}").into_bytes(), "json"),
        (order(&format!(r#""in":{}"#, deep("[", "]"))).into_bytes(), "json"),
        (order(r#""\ud800":1"#).into_bytes(), "json"),
        (order(r#""in":"\udfff""#).into_bytes(), "json"),
        (order(r#""count":2"#).into_bytes(), "duplicate_name"),
        (order(r#""in":[{"a":1,"\u0061":1}]"#).into_bytes(), "duplicate_name"),
        (text(&order(r#""in":1"#)), "json"),
    ] {
        for path in ["/words", "/orders"] {
            for media_type in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
                let ask = request(host, Method::POST, path).header("content-type", media_type).body(body.clone());
                let refused = refusal(send(ask).await).await;
                let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
                assert_eq!(refused, json!([400, "invalid_body", "/body", code]), "{path} {media_type} {shown}");
            }
        }
    }
    assert!(!host.log().contains("trap"), "{}", host.log());
}

/// Items were compared each with all, which used up the CPU time.
async fn many_items_are_compared_within_the_limits(host: &DevHost) {
    let words: Vec<_> = (0..6_000).map(|i| format!("w{i}")).collect();
    let ask = |words: &[String]| request(host, Method::POST, "/words").json(&json!({ "words": words }));
    assert_eq!(read(ask(&words)).await, (200, "6000 words".to_owned()));
    let twice = [&words[..], &words[..1]].concat();
    assert_eq!(refusal(send(ask(&twice)).await).await, json!([400, "invalid_body", "/body/words", "uniqueItems"]));
}

/// A quote of some languages failed for a header field that is not UTF-8.
async fn header_fields_may_have_any_byte(host: &DevHost) {
    let media_type = HeaderValue::from_bytes(b"application/json; x=\xff\xe4\xb8\xad").expect("a value");
    let print = request(host, Method::POST, "/print").header("content-type", &media_type).body(r#"{"pages":7}"#);
    assert_eq!(paid(host, print).await.text().await.expect("text"), "printed 7", "{}", host.log());
}

/// A percent sign in a parameter that the endpoint does not have is ignored.
async fn what_nobody_reads_is_not_refused(host: &DevHost) {
    let answer = paid(host, request(host, Method::GET, "/greet/ada?discount=100%&x=%ff")).await;
    assert_eq!(answer.status(), 200, "{}", host.log());
    assert_eq!(answer.text().await.expect("text"), "Hello, ada!");
}

async fn refusals_name_the_place_and_cost_nothing(host: &DevHost) {
    let before = earned(host).await;
    let order = |count: u8, colour: &str| {
        request(host, Method::POST, "/orders").json(&json!({ "count": count, "colour": colour }))
    };
    let unlucky = refusal(send(order(13, "red")).await).await;
    assert_eq!(unlucky, json!([422, "unlucky", "/body/count", "luck"]), "before the payment");
    let sold_out = refusal(paid(host, order(51, "blue")).await).await;
    assert_eq!(sold_out, json!([409, "sold_out", "/body/count", "stock"]), "by the endpoint");
    let failed = paid(host, request(host, Method::GET, "/fail")).await;
    let failed_text = failed.text().await.expect("text");
    let document: Value = serde_json::from_str(&failed_text).expect("JSON");
    assert_eq!(document["error"], "plugin_failed", "{document}");
    assert!(!failed_text.contains("the reason is"), "the caller does not read the reason: {failed_text}");
    assert_eq!(earned(host).await, before, "nothing was charged");
    assert!(host.log().contains("/fail"), "the operator reads it: {}", host.log());
    let ordered: Value = paid(host, order(51, "red")).await.json().await.expect("JSON");
    assert_eq!(ordered, json!({ "ordered": 51 }));
    assert_eq!(earned(host).await, before + U256::from(10_000));
}

async fn a_quote_is_the_price_of_its_request(host: &DevHost) {
    let before = earned(host).await;
    let print = |pages: u8| request(host, Method::POST, "/print").json(&json!({ "pages": pages }));
    let challenge = send(print(7)).await;
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["accepts"][0]["amount"], "7000", "{required}");
    assert_eq!(paid(host, print(7)).await.text().await.expect("text"), "printed 7");
    assert_eq!(earned(host).await, before + U256::from(7_000));
    assert_eq!(read(print(0)).await, (200, "printed 0".to_owned()), "a quote of zero is free");
}

async fn events_are_paid_first_and_sent(host: &DevHost) {
    let challenge = send(request(host, Method::GET, "/ticks")).await;
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["accepts"][0]["extra"]["paymentFlow"], "upfront");
    let answer = paid(host, request(host, Method::GET, "/ticks")).await;
    let media_type = answer.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(media_type.starts_with("text/event-stream"), "{media_type}");
    let text = answer.text().await.expect("a whole stream");
    let events: Vec<_> = text.trim_end().split("\n\n").map(event).collect();
    let expected: Vec<_> = (0..3).map(|i| ("tick".to_owned(), json!({ "i": i }))).collect();
    assert_eq!(events, expected, "{text}");
    // The payment bought a pass, too.
    let again = send(request(host, Method::GET, "/ticks")).await;
    let proof = host.payer(0).sign_in(&again);
    let returned = send(request(host, Method::GET, "/ticks").header("SIGN-IN-WITH-X", proof)).await;
    assert_eq!(returned.status(), 200, "{}", host.log());
    assert_eq!(returned.headers()["ratelimit-policy"], "\"pass\";q=5;w=600");
}

/// The name of a server-sent event, and the JSON of its data.
fn event(text: &str) -> (String, Value) {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim_start().to_owned()
    };
    (field("event"), serde_json::from_str(&field("data")).expect("data that is JSON"))
}

async fn limits_end_a_request_and_cost_nothing(host: &DevHost) {
    let before = earned(host).await;
    let measure = |bytes: usize| request(host, Method::POST, "/measure").body(vec![b'-'; bytes]);
    let large = refusal(send(measure(100_000)).await).await;
    assert_eq!(large, json!([413, "body_too_large", null, null]));
    let endless = refusal(paid(host, request(host, Method::GET, "/spin")).await).await;
    assert_eq!(endless, json!([504, "plugin_timeout", null, null]));
    assert_eq!(earned(host).await, before, "nothing was charged");
    assert_eq!(paid(host, measure(60_000)).await.text().await.expect("text"), "60000 bytes");
}

/// A body of a free endpoint goes to the plugin as it comes: the plugin learns in the middle of it that it is too large.
async fn a_body_above_the_limit_is_413_without_a_price_too(host: &DevHost) {
    let weigh = |bytes: usize| request(host, Method::POST, "/weigh").body(vec![b'-'; bytes]);
    assert_eq!(refusal(send(weigh(100_000)).await).await, json!([413, "body_too_large", null, null]));
    let head = "POST /weigh HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let pieces = format!("186a0\r\n{}\r\n0\r\n\r\n", "-".repeat(100_000));
    let streamed = raw(&host.url("/"), format!("{head}{pieces}").as_bytes()).await;
    assert!(streamed.starts_with("HTTP/1.1 413") && streamed.contains("body_too_large"), "{streamed}");
    assert_eq!(read(weigh(60_000)).await, (200, "60000 bytes".to_owned()));
}

/// The plugin of each language is called so, but for a guest that has the name of its package.
fn names_plugin(log: &str) -> bool {
    log.contains("behaviours") || log.contains("guest-wasi3")
}

/// The log names plugin, endpoint and limit, whether the language ends with a trap or tells its plugin.
async fn memory_and_stack_that_are_used_up_are_named_with_their_limit(host: &DevHost) {
    let hoard = refusal(send(request(host, Method::GET, "/hoard")).await).await;
    assert_eq!(hoard, json!([500, "plugin_out_of_memory", null, null]));
    let lines = |part: &str| host.log().lines().filter(|line| line.contains(part)).collect::<Vec<_>>().join("\n");
    let log = lines("GET /hoard");
    assert!(names_plugin(&log) && log.contains("limits.memory = 128MiB"), "{log}");
    let nest = refusal(send(request(host, Method::GET, "/nest")).await).await;
    assert_eq!(nest, json!([500, "plugin_failed", null, null]));
    let log = lines("GET /nest");
    assert!(names_plugin(&log) && (log.contains("KiB of stack") || log.contains("recursion")), "{log}");
}

async fn the_plugin_sees_who_paid(host: &DevHost) {
    let answer = paid(host, request(host, Method::GET, "/receipt")).await;
    let seen: Value = answer.json().await.expect("JSON");
    assert_eq!(seen, json!({ "payer": host.payer(0).address().to_string(), "amount": "0.003" }));
    assert_eq!(read(request(host, Method::GET, "/free-receipt")).await, (200, "false".to_owned()));
}

async fn instances_share_no_randomness(host: &DevHost) {
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        seen.insert(read(request(host, Method::GET, "/random")).await);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

async fn the_operators_part_reaches_the_plugin(host: &DevHost) {
    assert_eq!(read(request(host, Method::GET, "/greeting")).await, (200, "good morning, none".to_owned()));
    for (name, count) in [("a", "1"), ("a", "2"), ("b", "1")] {
        let counted = read(request(host, Method::POST, &format!("/counters/{name}"))).await;
        assert_eq!(counted, (200, count.to_owned()), "{name}");
    }
}

/// An error that an SDK caught was an answer of status 500 like any other: the commonest bad build was sold on for ever.
async fn code_that_fails_for_every_payer_takes_the_plugin_off_sale(host: &DevHost) {
    let before = earned(host).await;
    for payer in 0..4 {
        let failed = paid_by(host, payer, request(host, Method::GET, "/fail")).await;
        assert_eq!(
            (failed.status().as_u16(), &failed.headers()["x-coinslot-charged"]),
            (500, &"no".parse().expect("ASCII"))
        );
        assert!(!failed.headers().contains_key("x-coinslot-failed"), "{:?}", failed.headers());
    }
    let refused = refusal(send(request(host, Method::GET, "/greet/ada")).await).await;
    assert_eq!(refused, json!([503, "plugin_unhealthy", null, null]), "{}", host.log());
    assert_eq!(earned(host).await, before, "nothing was charged");
}
