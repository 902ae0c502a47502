//! Requests that do not fit the declared schema are refused before anyone pays, in bounded time, and with the place of
//! the mistake.

use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, TestChain, altered, guest, run};
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
    assert_refused(get("/schemas/find?q=%zz").await, "invalid_query", "/query/q", "encoding").await;
    for path in [
        "/schemas/items/7",
        "/schemas/find?q=x&limit=100&tag=a&tag=b&unknown=1",
        // No schema looks at these.
        "/schemas/items/7?discount=50%&%zz=%ff",
        "/schemas/find?q=50%25&discount=50%",
    ] {
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

/// A body that no schema describes was parsed as JSON, and an empty form was taken for no body.
#[tokio::test]
async fn a_body_is_what_its_schema_and_its_media_type_say() {
    let host = host().await;
    let free = host.client().post(host.url("/schemas/find?q=x")).body(&b"\x89PNG\xff"[..]);
    assert_eq!(free.send().await.expect("an answer").status(), 200, "its schema describes the query alone");
    let form = || host.client().post(host.url("/schemas/form"));
    let urlencoded = |body: &'static str| form().header("content-type", "application/x-www-form-urlencoded").body(body);
    let file = |content: &[u8]| {
        let head = "--xx\r\nContent-Disposition: form-data; name=file; filename=a.bin\r\n\r\n";
        let body = [head.as_bytes(), content, b"\r\n--xx--"].concat();
        form().header("content-type", "multipart/form-data; boundary=xx").body(body)
    };
    let challenge = urlencoded("box=on").send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    let payment = host.payer(0).pay(&challenge).header();
    let pay = |request: reqwest::RequestBuilder| request.header("PAYMENT-SIGNATURE", &payment).send();
    let refused = [
        (form(), "/body", "required"),
        (urlencoded("box=off"), "/body/box", "const"),
        // Three characters of lossy text, and four bytes.
        (file(b"\xe2\x82\xac\xff"), "/body/file", "maxLength"),
    ];
    for (request, pointer, code) in refused {
        assert_refused(pay(request).await.expect("an answer"), "invalid_body", pointer, code).await;
    }
    assert_eq!(file(b"\xff\xfe\xfd").send().await.expect("an answer").status(), 402, "three bytes");
    assert_eq!(pay(urlencoded("")).await.expect("an answer").status(), 200, "an empty form has no checked box");
}

/// A plugin that served before hosts enforced schemas serves on. What is not enforced is named instead.
#[tokio::test]
async fn a_schema_that_cannot_be_enforced_is_named_and_its_plugin_serves() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let client = reqwest::Client::new();
    let dir = tempfile::tempdir().expect("a directory");
    let cases = [
        ("#/$defs/Item", "http://a.b/c", "/properties/body", "outside of the schema"),
        ("#/$defs/Item", "file:///a/bc", "/properties/body", "outside of the schema"),
        ("#/$defs/Item", "#/$defs/None", "/properties/body", "nothing there"),
        (
            r#""count":{"type":"integer""#,
            r#""count":{"type":"integre""#,
            "/$defs/Item/properties/count/type",
            "integre",
        ),
        (r#""pattern":"^[a-z]+$""#, r#""pattern":"^(?=a)b$""#, "/$defs/Item/properties/item/pattern", "linear time"),
    ];
    for (index, (text, by, pointer, says)) in cases.into_iter().enumerate() {
        let is_pattern = says == "linear time";
        let (logged, component) = (host.log().len(), altered("schemas", text, by));
        host.install("schemas.wasm", &component);
        host.wait_for_log("active file=schemas.wasm", index + 1).await;
        let log = host.log();
        let told = log[logged..].lines().find(|line| line.contains("is not enforced")).expect("a warning");
        for part in ["plugin=\"schemas\"", "endpoint=\"POST /schemas/order\"", pointer, says] {
            assert!(told.contains(part) || told.contains(&part.replace('"', "")), "{part}: {told}");
        }
        // The other schemas are enforced, and so is the rest of one without its pattern.
        let item = client.get(host.url("/schemas/items/seven")).send().await.expect("an answer");
        assert_refused(item, "invalid_path", "/path/id", "type").await;
        let order = client.post(host.url("/schemas/order")).json(&json!({ "item": "tea", "count": 10 }));
        let order = order.send().await.expect("an answer");
        assert_eq!(order.status(), if is_pattern { 400 } else { 402 }, "{by}");

        std::fs::write(dir.path().join("schemas.wasm"), &component).expect("a file");
        let shown = String::from_utf8(run(dir.path(), &["inspect", "schemas.wasm"]).stdout).expect("text");
        let mut after = shown.lines().skip_while(|line| !line.contains("/schemas/order"));
        let named = after.find(|line| line.contains("is not enforced")).unwrap_or_default();
        assert!(named.contains(pointer) && named.contains(says), "{shown}");
        let json = run(dir.path(), &["inspect", "--json", "schemas.wasm"]).stdout;
        let json: Value = serde_json::from_slice(&json).expect("JSON");
        let named = &json["plugin"]["endpoints"][0]["notEnforced"][0];
        assert_eq!((&named["schema"], &named["pointer"]), (&json!("input-schema"), &json!(pointer)), "{named}");
        assert_eq!(named["restIsEnforced"], is_pattern, "{named}");
    }
    let warnings = host.log().matches("is not enforced").count();
    host.write_configuration(&format!("{}\n[plugin.schemas]\nvalidate = \"off\"\n", host.configuration()));
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.get(host.url("/schemas/items/seven")).send().await.expect("an answer").status() != 402 {
        assert!(Instant::now() < deadline, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(host.log().matches("is not enforced").count(), warnings, "the operator has decided");
}
