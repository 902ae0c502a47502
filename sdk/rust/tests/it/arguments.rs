#![allow(clippy::unwrap_used, reason = "a test may panic")]

use coinslot_sdk::testing::{self, TestRequest};
use coinslot_sdk::{
    Body, Bytes, ClientAddress, Form, HeaderMap, Json, Method, Path, Query, Refusal, StatusCode, Text, TypedHeader,
    Value, endpoint, headers, json, model,
};

#[model]
struct Entry {
    title: String,
    #[serde(default)]
    tag: Vec<String>,
    stars: Option<u8>,
}

#[model]
struct Page {
    page: u8,
}

#[endpoint(post, "/entries", price = "0.01", summary = "Adds an entry")]
fn add(Form(entry): Form<Entry>) -> Text {
    Text(format!("{} {:?} {}", entry.title, entry.tag, entry.stars.unwrap_or(0)))
}

#[endpoint(post, "/perhaps/{id}", price = "0.01", summary = "All of it may be absent")]
fn perhaps(Path(id): Path<u8>, page: Option<Query<Page>>, body: Option<Json<Entry>>) -> Text {
    Text(format!("{id} {:?} {:?}", page.map(|page| page.0.page), body.map(|body| body.0.title)))
}

#[endpoint(post, "/perhaps-form", price = "0.01", summary = "A form that may be absent")]
fn perhaps_form(form: Option<Form<Entry>>) -> Option<Text> {
    form.map(|form| Text(form.0.title))
}

#[endpoint(put, "/perhaps-text", price = "0.01", summary = "Text that may be absent")]
fn perhaps_text(text: Option<String>) -> Text {
    Text(format!("{text:?}"))
}

#[endpoint(put, "/perhaps-bytes", price = "0.01", summary = "Bytes that may be absent")]
fn perhaps_bytes(bytes: Option<Bytes>) -> Text {
    Text(format!("{:?}", bytes.map(|bytes| bytes.len())))
}

#[endpoint(get, "/lenient/{id}", price = "0.01", summary = "Serves bad input, too")]
fn lenient(id: Result<Path<u8>, Refusal>, page: Result<Query<Page>, Refusal>) -> (StatusCode, Text) {
    let page = page.map_or_else(|refusal| refusal.code().to_owned(), |page| page.0.page.to_string());
    (StatusCode::OK, Text(format!("{} {page}", id.map_or(0, |id| id.0))))
}

#[endpoint(put, "/text", price = "0.01", summary = "Text as it is")]
fn text(method: Method, headers: HeaderMap, text: String) -> Text {
    Text(format!("{method} {:?} {text}", headers.get("x-word")))
}

#[endpoint(get, "/address", price = "0.01", summary = "The client's address")]
fn address(ClientAddress(address): ClientAddress) -> Option<String> {
    address.map(|address| address.to_string())
}

#[endpoint(get, "/typed", price = "0.01", quote_headers = "x-tier", summary = "Reads header fields")]
fn typed(range: Option<TypedHeader<headers::Range>>, TypedHeader(agent): TypedHeader<headers::UserAgent>) -> Text {
    Text(format!("{agent} {}", range.is_some()))
}

#[endpoint(patch, "/upload", price = "0.01", summary = "Counts bytes while they arrive")]
async fn upload(mut body: Body) -> coinslot_sdk::Result<Text> {
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        length += chunk?.len();
    }
    Ok(Text(length.to_string()))
}

#[track_caller]
fn refused(request: TestRequest, status: u16, code: &str, part: &str) {
    let refusal = request.quote().expect_err("refused");
    assert_eq!((refusal.status(), refusal.code()), (status, code), "{refusal}");
    assert!(refusal.message().contains(part), "{refusal}");
}

#[test]
fn a_form_is_read_as_a_query_is() {
    let form = [("title", "a & b"), ("tag", "\u{fc}"), ("tag", "y"), ("stars", "5")];
    assert_eq!(
        testing::post("/entries").form(&form).send().text(),
        r#"a & b ["\u{fc}", "y"] 5"#.replace("\\u{fc}", "\u{fc}")
    );
    let unnamed = testing::post("/entries").body("title=a+b%26");
    assert_eq!(unnamed.send().text(), "a b& [] 0");
    refused(testing::post("/entries").form(&[("stars", "5")]), 400, "invalid_body", "`title`: it is missing");
    refused(testing::post("/entries").form(&[("title", ""), ("stars", "x")]), 400, "invalid_body", "`stars`: \"x\"");
    refused(testing::post("/entries").json(&json!({})), 415, "unsupported_media_type", "x-www-form-urlencoded");
    refused(testing::post("/entries").body(&b"\xff"[..]), 400, "invalid_body", "UTF-8");
}

#[test]
fn what_is_absent_is_none_and_what_does_not_fit_is_refused() {
    assert_eq!(testing::post("/perhaps/7").send().text(), "7 None None");
    assert_eq!(testing::post("/perhaps/7?").send().text(), "7 None None");
    let whole = testing::post("/perhaps/7?page=2").json(&json!({ "title": "t" }));
    assert_eq!(whole.send().text(), r#"7 Some(2) Some("t")"#);
    refused(testing::post("/perhaps/7?page=x"), 400, "invalid_query", "`page`");
    refused(testing::post("/perhaps/7").body("{}"), 400, "invalid_body", "title");
    assert_eq!(testing::post("/perhaps-form").send().status(), 404);
    assert_eq!(testing::post("/perhaps-form").form(&[("title", "t")]).send().text(), "t");
    let put = |path: &str| testing::request(Method::PUT, path);
    assert_eq!(put("/perhaps-text").send().text(), "None");
    assert_eq!(put("/perhaps-text").body("t").send().text(), r#"Some("t")"#);
    assert_eq!(put("/perhaps-bytes").send().text(), "None");
    assert_eq!(put("/perhaps-bytes").body("t").send().text(), "Some(1)");
}

#[test]
fn a_byte_order_mark_before_json_is_ignored() {
    let marked = testing::post("/perhaps/7").body("\u{feff}{\"title\":\"t\"}");
    assert_eq!(marked.send().text(), r#"7 None Some("t")"#);
    refused(testing::post("/perhaps/7").body("\u{feff}\u{feff}{}"), 400, "invalid_body", "JSON");
}

#[test]
fn an_endpoint_may_serve_what_does_not_fit() {
    assert_eq!(testing::get("/lenient/7?page=2").send().text(), "7 2");
    assert_eq!(testing::get("/lenient/x?page=x").send().text(), "0 invalid_query");
    assert!(testing::get("/lenient/x").quote().is_ok());
}

#[test]
fn text_the_method_and_the_header_fields_are_arguments() {
    let put = testing::request(Method::PUT, "/text").header("x-word", "w").body("abc");
    assert_eq!(put.send().text(), r#"PUT Some("w") abc"#);
    refused(testing::request(Method::PUT, "/text").body(&b"\xff"[..]), 400, "invalid_body", "UTF-8");
    assert_eq!(testing::request(Method::PATCH, "/upload").body("abc").send().text(), "3");
}

#[test]
fn the_clients_address_is_what_a_named_proxy_says_last() {
    let said = |list: &str| testing::get("/address").header("x-forwarded-for", list).send();
    assert_eq!(said("203.0.113.7").text(), "203.0.113.7");
    assert_eq!(said("198.51.100.1, [2001:db8::1]:443").text(), "2001:db8::1");
    assert_eq!((said("unknown").status(), testing::get("/address").send().status()), (404, 404));
}

#[test]
fn a_typed_header_field_is_checked_before_payment() {
    let get = || testing::get("/typed").header("user-agent", "curl");
    assert_eq!(get().send().text(), "curl false");
    assert_eq!(get().header("range", "bytes=0-9").send().text(), "curl true");
    refused(testing::get("/typed"), 400, "invalid_header", "/header/user-agent is missing");
    refused(get().header("range", "x"), 400, "invalid_header", "`range`");
    let manifest = testing::manifest().unwrap();
    let typed = manifest.endpoints.iter().find(|e| e.path == "/typed").unwrap();
    assert_eq!(typed.quote_headers, "x-tier,range,user-agent");
}

#[test]
fn the_schema_says_what_may_be_absent() {
    let manifest = testing::manifest().unwrap();
    let input = |path: &str| {
        let endpoint = manifest.endpoints.iter().find(|e| e.path == path).unwrap();
        endpoint.input_schema.as_deref().map(|text| serde_json::from_str::<Value>(text).unwrap())
    };
    let perhaps = input("/perhaps/{id}").unwrap();
    assert_eq!(perhaps["required"], json!(["path"]));
    assert_eq!(perhaps["properties"]["body"]["required"], json!(["title"]));
    assert_eq!(perhaps["properties"]["query"]["required"], json!(["page"]));
    let form = input("/entries").unwrap();
    assert_eq!(form["required"], json!(["body"]));
    assert_eq!(form["properties"]["body"]["contentMediaType"], "application/x-www-form-urlencoded");
    assert_eq!(input("/perhaps-form").unwrap()["required"], json!([]));
    assert_eq!(input("/lenient/{id}"), None);
    assert_eq!(input("/text"), None);
}

/// The host names the place and the rule, and so do plugins in other languages.
#[test]
fn a_refusal_of_bad_input_names_the_place_and_the_rule() {
    let form = |text: &'static str| testing::post("/entries").body(text);
    let perhaps = |query: &str, body: &'static str| testing::post(&format!("/perhaps/7{query}")).body(body);
    for (request, pointer, rule) in [
        (testing::post("/perhaps/x"), "/path/id", "type"),
        (perhaps("?page=x", ""), "/query/page", "type"),
        (perhaps("?pages=1", ""), "/query/page", "required"),
        (perhaps("?page=%", ""), "/query/page", "encoding"),
        (perhaps("?page=1&page=2", ""), "/query/page", "type"),
        (perhaps("", "{"), "/body", "json"),
        (perhaps("", r#"{"title": "a"} {}"#), "/body", "json"),
        (perhaps("", "{}"), "/body/title", "required"),
        (perhaps("", r#"{"title": "a", "tag": ["b", 7]}"#), "/body/tag/1", "type"),
        (form("stars=5"), "/body/title", "required"),
        (form("title=a&stars=x"), "/body/stars", "type"),
        (form("title=a&tag=%ff"), "/body/tag", "encoding"),
    ] {
        let refusal = request.quote().expect_err("refused");
        assert_eq!((refusal.pointer(), refusal.rule()), (Some(pointer), Some(rule)), "{refusal}");
    }
    // A parameter that nobody reads is not looked at.
    assert!(testing::post("/perhaps/7?page=1&discount=100%").quote().is_ok());
}
