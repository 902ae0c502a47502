#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::error::Error;

use coinslot_sdk::testing::{self, Price};
use coinslot_sdk::{
    Amount, Body, Bytes, Context as _, Deserialize, Extract, HeaderMap, HeaderValue, Headers, Html, Json, JsonSchema,
    Media, Method, Path, Payment, Query, Receipt, Refusal, Request, Response, Serialize, StatusCode, Stream, Text,
    check_config, config, endpoint,
};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Page {
    /// How many.
    limit: u8,
    #[serde(default)]
    tag: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Snippet {
    code: String,
    lines: Vec<Line>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Line {
    number: u32,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    count: usize,
    last: Option<Line>,
}

/// Lists what there is.
///
/// At length.
#[endpoint(get, "/list", price = "0.01", summary = "Lists", check = not_forty_two)]
async fn list(Query(page): Query<Page>) -> Text {
    Text(format!("{} {}", page.limit, page.tag.join(",")))
}

fn not_forty_two(page: &Page) -> Result<(), Refusal> {
    match page.limit {
        42 => Err(Refusal::new(422, "the_answer", "ask for another number")),
        _ => Ok(()),
    }
}

#[endpoint(post, "/find", quoted = "0.50", quote = by_line, summary = "Finds", description = "In detail.")]
async fn find(Json(snippet): Json<Snippet>) -> Result<Json<Found>, Refusal> {
    match snippet.code.as_str() {
        "" => Err(Refusal::not_found("no_code", "send some code")),
        _ => Ok(Json(Found { count: snippet.lines.len(), last: snippet.lines.into_iter().next_back() })),
    }
}

fn by_line(Json(snippet): &Json<Snippet>) -> Result<Amount, Refusal> {
    Ok(Amount::micros(1_000 * snippet.lines.len() as u64))
}

#[endpoint(get, "/items/{id}", free, summary = "One item")]
async fn item(Path(id): Path<u32>) -> Text {
    Text(format!("item {id}"))
}

#[endpoint(get, "/items/new", price = free, summary = "The new item")]
async fn new_item() -> Html {
    Html("<b>new</b>".to_owned())
}

#[endpoint(post, "/items/{id}", free, summary = "Changes an item")]
async fn change_item(Path(id): Path<String>) -> Text {
    Text(format!("changed {id}"))
}

#[endpoint(GET, "/files/{area}/{*rest}", price = "2 USDC", summary = "A file")]
async fn file(Path((area, rest)): Path<(String, String)>) -> Media<Bytes> {
    Media(HeaderValue::from_static("image/png"), Bytes::from(format!("{area}:{rest}")))
}

#[endpoint(put, "/raw", price = "0.01", summary = "Raw", mime_type = "application/x-raw")]
async fn raw(Headers(headers): Headers, body: Bytes) -> (StatusCode, Bytes) {
    let status = headers.get("x-status").map_or(201, |v| v.to_str().unwrap().parse().unwrap());
    (StatusCode::from_u16(status).unwrap(), body)
}

#[endpoint(patch, "/echo", price = "0.01", summary = "Echo")]
async fn echo(body: Body) -> Stream {
    Stream::new(body)
}

#[endpoint(delete, "/thing", price = "0.01", summary = "Delete")]
async fn delete() {}

#[endpoint(get, "/ticks", up_to = "0.05", summary = "Ticks")]
async fn ticks(Payment(receipt): Payment, Query(page): Query<Page>) -> Stream {
    let payer = receipt.map_or_else(String::new, |receipt| receipt.payer);
    Stream::writer(async move |mut sink| {
        sink.send(payer).await;
        for tick in 0..page.limit {
            sink.send(vec![b'0' + tick]).await;
        }
        coinslot_sdk::usage::charge(Amount::micros(page.limit.into()))?;
        match page.tag.is_empty() {
            true => Ok(()),
            false => Err(Box::<dyn Error + Send + Sync>::from("asked to fail")),
        }
    })
}

#[endpoint(get, "/custom", free, summary = "An author's own argument and a whole response")]
async fn custom(Shout(word): Shout) -> (HeaderMap, Response) {
    let headers =
        HeaderMap::from_iter([(coinslot_sdk::HeaderName::from_static("x-word"), HeaderValue::from_static("set"))]);
    (headers, Response::new(Body::from(word)))
}

struct Shout(String);

impl Extract for Shout {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        match request.query() {
            Some(word) => Ok(Self(word.to_uppercase())),
            None => Err(Refusal::bad_request("no_word", "write a word after the question mark")),
        }
    }
}

#[endpoint(get, "/broken-quote", quoted = "1", quote = not_money, summary = "A plugin at fault")]
async fn broken_quote() -> Text {
    Text::from("")
}

fn not_money() -> Result<&'static str, Refusal> {
    Ok("a lot")
}

#[track_caller]
fn refused(request: testing::TestRequest, status: u16, code: &str, part: &str) {
    let refusal = request.quote().expect_err("refused");
    assert_eq!((refusal.status(), refusal.code()), (status, code), "{refusal}");
    assert!(refusal.message().contains(part), "{refusal}");
}

#[test]
fn arguments_arrive_typed() {
    assert_eq!(testing::get("/list?limit=7&tag=a&tag=b%20c").send().text(), "7 a,b c");
    assert_eq!(testing::get("/items/12").send().text(), "item 12");
    assert_eq!(testing::get("/files/a%3Bb/c/d%20e").send().text(), "a;b:c/d e");
    let found = testing::post("/find").json(&json!({ "code": "x", "lines": [{ "number": 3 }] })).send();
    assert_eq!(found.json::<Value>(), json!({ "count": 1, "last": { "number": 3 } }));
    assert_eq!(testing::request(Method::PATCH, "/echo").body("as it is").send().text(), "as it is");
    assert_eq!(testing::get("/custom?word").send().text(), "WORD");
}

#[test]
fn a_literal_segment_wins_over_a_parameter() {
    assert_eq!(testing::get("/items/new").send().text(), "<b>new</b>");
    assert_eq!(testing::get("/items/7").send().text(), "item 7");
}

#[test]
fn a_literal_path_of_one_method_hides_no_template_of_another() {
    assert_eq!(testing::post("/items/new").send().text(), "changed new");
    assert_eq!(testing::post("/items/7").send().text(), "changed 7");
    assert_eq!(testing::post("/items/new").quote().unwrap(), Amount::ZERO);
}

#[test]
fn a_path_with_other_methods_answers_405_and_lists_all_of_them() {
    for (method, path, allow) in
        [("DELETE", "/items/new", "GET, POST"), ("DELETE", "/items/7", "GET, POST"), ("GET", "/find", "POST")]
    {
        let request = || testing::request(method.parse().unwrap(), path);
        let answer = request().send();
        assert_eq!((answer.status(), answer.header("allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(answer.json::<Value>()["error"], "method_not_allowed");
        assert_eq!(request().quote().unwrap_err().status(), 405);
    }
}

#[test]
fn a_route_that_is_not_declared_is_not_found() {
    for path in ["/", "/items", "/items/", "/items/7/", "/files/a", "/files/a/", "/List?limit=1"] {
        let answer = testing::get(path).send();
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.json::<Value>()["error"], "not_found");
    }
}

#[test]
fn a_path_is_spelled_as_the_host_spells_it_or_refused_as_the_host_refuses_it() {
    assert_eq!(testing::get("/%69tems/%37").send().text(), "item 7");
    for path in ["//items/7", "/files/a%2Fb/c", "/items/./7", "/items/%zz", "items/7"] {
        refused(testing::get(path), 400, "bad_path", "the path");
        let answer = testing::get(path).send();
        assert_eq!((answer.status(), answer.json::<Value>()["error"].as_str()), (400, Some("bad_path")), "{path}");
    }
}

#[test]
fn the_head_of_a_free_endpoint_is_that_of_get_and_the_head_of_a_paid_one_runs_nothing() {
    let head = testing::request(Method::HEAD, "/items/new").send();
    assert_eq!((head.status(), head.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(head.bytes().is_empty());
    assert_eq!(testing::request(Method::HEAD, "/list?limit=1").send().status(), 402);
    assert_eq!(testing::request(Method::HEAD, "/find").send().status(), 405);
}

#[test]
fn answers_carry_their_media_type() {
    for (request, mime_type) in [
        (testing::get("/list?limit=1"), Some("text/plain; charset=utf-8")),
        (testing::get("/items/new"), Some("text/html; charset=utf-8")),
        (testing::get("/files/a/b"), Some("image/png")),
        (testing::request(Method::PUT, "/raw").body("x"), Some("application/x-raw")),
        (testing::request(Method::PUT, "/raw").header("x-status", "500").body("x"), None),
        (testing::request(Method::DELETE, "/thing"), None),
        (testing::get("/list"), Some("application/json")),
    ] {
        let described = format!("{request:?}");
        assert_eq!(request.send().header("content-type"), mime_type, "{described}");
    }
    assert_eq!(testing::request(Method::PUT, "/raw").send().status(), 201);
    assert_eq!(testing::request(Method::DELETE, "/thing").send().status(), 204);
    assert_eq!(testing::get("/custom?a").send().header("x-word"), Some("set"));
}

#[test]
fn bad_input_is_refused_before_anybody_pays() {
    refused(
        testing::get("/list?limit=300"),
        400,
        "invalid_query",
        "`limit`: \"300\" is not a whole number from 0 to 255",
    );
    refused(testing::get("/list?tag=a"), 400, "invalid_query", "`limit`: it is missing");
    refused(testing::get("/items/x"), 400, "invalid_path", "/items/{id}");
    refused(testing::post("/find").body("{"), 400, "invalid_body", "not JSON");
    refused(testing::post("/find").body("{}"), 400, "invalid_body", "missing field `code`");
    refused(testing::post("/find"), 400, "invalid_body", "empty");
    refused(testing::get("/list?limit=42"), 422, "the_answer", "another number");
    refused(testing::get("/custom"), 400, "no_word", "question mark");
    refused(testing::get("/nowhere"), 404, "not_found", "/nowhere");
}

#[test]
fn the_same_bad_input_is_refused_when_it_reaches_the_endpoint() {
    let answer = testing::get("/list?limit=x").paid(Receipt::sample()).send();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json::<Value>()["error"], "invalid_query");
    let refusal = testing::post("/find").json(&json!({ "code": "", "lines": [] })).send();
    assert_eq!(refusal.status(), 404);
    assert_eq!(refusal.json::<Value>(), json!({ "error": "no_code", "message": "send some code" }));
}

#[test]
fn a_quote_is_the_declared_price_or_what_the_author_asks() {
    assert_eq!(testing::get("/list?limit=1").quote().unwrap().as_str(), "0.01");
    assert_eq!(testing::get("/files/a/b").quote().unwrap().as_str(), "2 USDC");
    assert_eq!(testing::get("/ticks?limit=1").quote().unwrap().as_str(), "0.05");
    assert_eq!(testing::get("/items/1").quote().unwrap(), Amount::ZERO);
    let snippet = json!({ "code": "x", "lines": [{ "number": 1 }, { "number": 2 }] });
    assert_eq!(testing::post("/find").json(&snippet).quote().unwrap().as_str(), "0.002");
}

#[test]
#[should_panic(expected = "which is not an amount")]
fn a_quote_that_is_not_an_amount_is_the_plugins_fault() {
    let _ = testing::get("/broken-quote").quote();
}

#[test]
fn a_stream_is_sent_in_pieces_and_its_failure_shows() {
    let answer = testing::get("/ticks?limit=3").paid(Receipt::sample()).send();
    assert_eq!(answer.text(), format!("{}012", Receipt::sample().payer));
    assert_eq!(answer.charged(), Some("0.000003"));
    assert!(!answer.cut_short());
    let failed = testing::get("/ticks?limit=2&tag=fail").send();
    assert_eq!(failed.text(), "01");
    assert!(failed.cut_short());
}

#[check_config]
fn knows_its_limit() -> coinslot_sdk::Result<()> {
    if let Some(limit) = config::get("limit") {
        limit.parse::<u32>().context("`limit`")?;
    }
    Ok(())
}

#[check_config]
fn knows_its_currency() -> Result<(), String> {
    match config::get("currency").as_deref() {
        None | Some("USD" | "EUR") => Ok(()),
        Some(other) => Err(format!("`currency` is {other:?}: write \"USD\" or \"EUR\"")),
    }
}

#[test]
fn a_plugin_refuses_to_be_loaded_with_a_configuration_that_it_cannot_use() {
    testing::configure("currency", "EUR");
    assert!(testing::manifest().is_ok());
    testing::configure("currency", "GBP");
    let refused = testing::manifest().unwrap_err().to_string();
    assert_eq!(refused, r#"its configuration is not usable: `currency` is "GBP": write "USD" or "EUR""#);
}

#[test]
fn the_operator_reads_why_a_configuration_is_refused() {
    testing::configure("limit", "many");
    let refused = testing::manifest().unwrap_err().to_string();
    assert_eq!(refused, "its configuration is not usable: `limit`: invalid digit found in string");
}

#[test]
fn the_manifest_says_what_the_attributes_say_in_a_fixed_order() {
    let manifest = testing::manifest().unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("coinslot-sdk", env!("CARGO_PKG_VERSION")));
    let mut routes: Vec<_> = manifest.endpoints.iter().map(|e| (e.path, e.method)).collect();
    assert!(routes.len() > 12);
    routes.sort();
    assert_eq!(routes, manifest.endpoints.iter().map(|e| (e.path, e.method)).collect::<Vec<_>>());
    assert_eq!(manifest, testing::manifest().unwrap());

    let of = |path: &str| manifest.endpoints.iter().find(|e| e.path == path).unwrap();
    assert_eq!(of("/list").description, "Lists what there is.\n\nAt length.");
    assert_eq!(of("/find").description, "In detail.");
    assert_eq!(of("/find").price, Price::Quoted("0.50"));
    assert_eq!(of("/ticks").price, Price::UpTo("0.05"));
    assert_eq!(of("/items/new").price, Price::Free);
    assert_eq!(of("/files/{area}/{*rest}").method, "GET");
    assert_eq!(of("/raw").mime_type, "application/x-raw");
    assert_eq!(of("/find").mime_type, "application/json");
}

#[test]
fn schemas_come_from_the_types() {
    let manifest = testing::manifest().unwrap();
    let of = |path: &str| manifest.endpoints.iter().find(|e| e.path == path).unwrap();
    let json = |text: &Option<String>| serde_json::from_str::<Value>(text.as_deref().unwrap()).unwrap();

    let list = json(&of("/list").input_schema);
    assert_eq!(list["required"], json!(["query"]));
    assert_eq!(list["properties"]["query"]["required"], json!(["limit"]));
    assert_eq!(list["properties"]["query"]["properties"]["limit"]["description"], "How many.");
    assert_eq!(of("/list").output_schema, None);

    // References point into the definitions of the whole schema.
    let find = json(&of("/find").input_schema);
    assert_eq!(find["properties"]["body"]["properties"]["lines"]["items"], json!({ "$ref": "#/$defs/Line" }));
    assert_eq!(find["$defs"]["Line"]["type"], "object");
    let found = json(&of("/find").output_schema);
    assert_eq!(found["properties"]["count"]["type"], "integer");
    assert_eq!(found["$defs"]["Line"]["required"], json!(["number"]));

    let item = json(&of("/items/{id}").input_schema);
    assert_eq!(item["properties"]["path"]["properties"]["id"]["format"], "uint32");
    let file = json(&of("/files/{area}/{*rest}").input_schema);
    assert_eq!(file["properties"]["path"]["required"], json!(["area", "rest"]));
    assert_eq!(of("/items/new").input_schema, None);
}
