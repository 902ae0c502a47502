//! Requests that do not fit the declared schema are refused before anyone pays, in bounded time, and with the place of
//! the mistake.

use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, TestChain, altered, guest};
use serde_json::{Value, json};

async fn host() -> DevHost {
    DevHost::builder().plugin("schemas.wasm", &guest("schemas")).start().await
}

/// Asserts that a reply is the refusal with this code, place and rule.
async fn assert_refused(reply: reqwest::Response, error: &str, pointer: &str, code: &str) {
    let status = reply.status().as_u16();
    assert_eq!(reply.headers().get("payment-required"), None, "no challenge for what nobody would get");
    let charged = reply.headers().get("x-coinslot-charged").cloned().expect("the header");
    let refusal: Value = reply.json().await.expect("JSON");
    assert_eq!((status, &refusal["error"]), (400, &json!(error)), "{refusal}");
    assert_eq!((&refusal["pointer"], &refusal["code"]), (&json!(pointer), &json!(code)), "{refusal}");
    assert_eq!((&refusal["charged"], charged.to_str().expect("ASCII")), (&json!("no"), "no"));
    assert!(refusal["message"].as_str().is_some_and(|message| message.contains(pointer)), "{refusal}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_without_a_payment_and_with_one() {
    let host = host().await;
    let ask = |body: &str| host.client().post(host.url("/schemas/order")).body(body.to_owned());
    let good = r#"{"item":"tea","count":2}"#;
    let challenge = ask(good).send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    let payment = host.payer(0).pay(&challenge).header();
    let cases = [
        (r#"{"item":"tea","count":"2"}"#, "/body/count", "type"),
        (r#"{"item":"tea","count":10}"#, "/body/count", "maximum"),
        (r#"{"item":"Tea","count":2}"#, "/body/item", "pattern"),
        (r#"{"count":2}"#, "/body/item", "required"),
        (r#"{"item":"tea","count":2,"more":1}"#, "/body/more", "additionalProperties"),
        (r#"{"item":"tea","count":2,"count":3}"#, "/body", "duplicate_name"),
        ("tea", "/body", "json"),
    ];
    for (body, pointer, code) in cases {
        assert_refused(ask(body).send().await.expect("an answer"), "invalid_body", pointer, code).await;
        let paid = ask(body).header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
        assert_refused(paid, "invalid_body", pointer, code).await;
    }
    assert_eq!((host.ledger().len(), host.log().contains("schemas ran")), (0, false));
    // The payment is still worth what it was.
    let paid = ask(good).header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(paid.status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
}

#[tokio::test]
async fn path_and_query_are_checked_by_their_declared_types() {
    let host = host().await;
    let get = async |path: &str| host.client().get(host.url(path)).send().await.expect("an answer");
    assert_refused(get("/schemas/items/seven").await, "invalid_path", "/path/id", "type").await;
    assert_refused(get("/schemas/items/0").await, "invalid_path", "/path/id", "minimum").await;
    assert_refused(get("/schemas/find?limit=5").await, "invalid_query", "/query/q", "required").await;
    assert_refused(get("/schemas/find?q=x&limit=101").await, "invalid_query", "/query/limit", "maximum").await;
    assert_refused(get("/schemas/find?q=x&q=y").await, "invalid_query", "/query/q", "type").await;
    assert_refused(get("/schemas/find?q=%zz").await, "invalid_query", "/query", "encoding").await;
    for path in ["/schemas/items/7", "/schemas/find?q=x&limit=100&tag=a&tag=b&unknown=1"] {
        let challenge = get(path).await;
        assert_eq!(challenge.status(), 402, "{path}");
        let payment = host.payer(0).pay(&challenge).header();
        let paid = host.client().get(host.url(path)).header("PAYMENT-SIGNATURE", payment).send().await;
        assert_eq!(paid.expect("an answer").status(), 200, "{path}");
    }
}

/// Directories and agents look for prices before they know what to send.
#[tokio::test]
async fn a_probe_gets_its_challenge_and_is_checked_when_it_is_paid() {
    let host = host().await;
    for (method, path, error, pointer) in [
        (reqwest::Method::GET, "/schemas/find", "invalid_query", "/query/q"),
        (reqwest::Method::POST, "/schemas/order", "invalid_body", "/body"),
    ] {
        let ask = || host.client().request(method.clone(), host.url(path));
        let challenge = ask().send().await.expect("an answer");
        assert_eq!(challenge.status(), 402, "{path}");
        let payment = host.payer(0).pay(&challenge).header();
        let paid = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
        assert_refused(paid, error, pointer, "required").await;
    }
    let head = host.client().head(host.url("/schemas/items/seven")).send().await.expect("an answer");
    assert_eq!(head.status(), 402, "HEAD of a paid route runs and checks nothing");
    assert_eq!(host.ledger(), [""; 0]);
}

#[tokio::test]
async fn a_large_body_without_a_payment_is_not_read_and_is_checked_when_it_is_paid() {
    let host = host().await;
    let item = "x".repeat(300 << 10);
    let ask = || host.client().post(host.url("/schemas/order")).json(&json!({ "item": item, "count": 0 }));
    let challenge = ask().send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    let payment = host.payer(0).pay(&challenge).header();
    let paid = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(paid.status(), 400);
    assert_eq!(host.ledger(), [""; 0]);
}

#[tokio::test]
async fn a_free_endpoint_holds_to_its_schema_too() {
    let host = host().await;
    let ask = |query: &str| host.client().post(host.url(&format!("/schemas/find{query}"))).body("12345");
    assert_refused(ask("").send().await.expect("an answer"), "invalid_query", "/query/q", "required").await;
    let good: Value = ask("?q=x").send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(good["read"], 5, "the body reaches the plugin as it was sent");
    let tree = |body: &str| host.client().post(host.url("/schemas/free")).body(body.to_owned()).send();
    assert_eq!(tree(r#"{"a":1}"#).await.expect("an answer").json::<Value>().await.expect("JSON")["read"], 7);
    assert_eq!(tree(r#"{"c":1}"#).await.expect("an answer").status(), 400);
}

/// Alternatives that refer to their own schema double the work with each level of the body.
#[tokio::test]
async fn hostile_bodies_cost_a_bounded_time() {
    let host = host().await;
    let nested = format!("{}1{}", "{\"n\":".repeat(100), "}".repeat(100));
    let lists = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let wide = format!("[{}1]", "1,".repeat(120_000));
    let too_deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let same = format!("[{}]", vec![r#"{"a":1,"b":2}"#; 15_000].join(","));
    for body in [nested, lists, wide, too_deep, same] {
        for path in ["/schemas/tree", "/schemas/free"] {
            let begun = Instant::now();
            let reply = host.client().post(host.url(path)).body(body.clone()).send().await.expect("an answer");
            assert!(begun.elapsed() < Duration::from_secs(10), "{path} {:.20}: {:?}", body, begun.elapsed());
            assert!(matches!(reply.status().as_u16(), 200 | 400 | 402), "{path} {:.20}: {}", body, reply.status());
        }
    }
    let challenge = host.client().get(host.url("/schemas/find?q=x")).send().await.expect("an answer");
    assert_eq!(challenge.status(), 402, "the host serves on");
}

#[tokio::test]
async fn dev_tells_of_an_answer_that_does_not_fit_and_sends_it() {
    let host = host().await;
    for (count, fits) in [(2, true), (9, false)] {
        let ask = || host.client().post(host.url("/schemas/order")).json(&json!({ "item": "tea", "count": count }));
        let payment = host.payer(0).pay(&ask().send().await.expect("an answer")).header();
        let paid = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
        assert_eq!(paid.status(), 200);
        let told = host.log().lines().any(|line| {
            line.contains("does not fit the output schema")
                && line.contains("POST /schemas/order")
                && line.contains("/total")
        });
        assert_eq!(told, !fits, "{}", host.log());
    }
}

/// The schema of one endpoint leads out of itself, or nowhere.
#[tokio::test]
async fn a_schema_that_cannot_be_enforced_is_refused_at_load_by_the_name_of_its_endpoint() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    for (reference, says) in [
        ("http://a.b/c", "outside of the schema"),
        ("file:///a/bc", "outside of the schema"),
        ("#/$defs/None", "nothing there"),
    ] {
        let logged = host.log().len();
        host.install("schemas.wasm", &altered("schemas", "#/$defs/Item", reference));
        let deadline = Instant::now() + Duration::from_secs(60);
        let refused = loop {
            let log = host.log();
            if let Some(line) = log[logged..].lines().find(|line| line.contains("schemas.wasm")) {
                break line.to_owned();
            }
            assert!(Instant::now() < deadline, "{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(refused.contains("POST /schemas/order: input-schema") && refused.contains(says), "{refused}");
    }
    let client = reqwest::Client::new();
    assert_eq!(client.get(host.url("/schemas/find")).send().await.expect("an answer").status(), 404);
    // Whoever trusts the plugin to check for itself may say so.
    host.write_configuration(&format!("{}\n[plugin.schemas]\nvalidate = \"off\"\n", host.configuration()));
    host.wait_for_log("active file=schemas.wasm", 4).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.get(host.url("/schemas/items/seven")).send().await.expect("an answer").status() != 402 {
        assert!(Instant::now() < deadline, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
