#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use coinslot_sdk::testing::{self, TestAnswer};
use coinslot_sdk::{
    Amount, Context, Event, Failure, HeaderValue, Json, JsonSchema, Media, Path, Query, Redirect, Refusal, Result,
    Serialize, Sse, StatusCode, Text, Value, endpoint, json, model,
};

#[model]
struct Wanted {
    what: String,
}

#[endpoint(get, "/answers/option", price = "0.01", summary = "Perhaps")]
fn option(Query(wanted): Query<Wanted>) -> Option<Json<Wanted>> {
    (wanted.what == "it").then_some(Json(wanted))
}

#[endpoint(get, "/answers/string", free, summary = "A string")]
fn string() -> String {
    "string".to_owned()
}

#[endpoint(get, "/answers/str", free, summary = "A literal")]
async fn literal() -> &'static str {
    "literal"
}

#[endpoint(get, "/answers/cow", free, summary = "Either")]
fn cow() -> Cow<'static, str> {
    Cow::Borrowed("cow")
}

#[endpoint(get, "/answers/bytes", free, summary = "Bytes")]
fn bytes() -> ([(&'static str, String); 2], Vec<u8>) {
    ([("content-type", "image/x-one".to_owned()), ("x-pixels", 1.to_string())], vec![7])
}

#[endpoint(get, "/answers/status", free, summary = "A status")]
fn status() -> StatusCode {
    StatusCode::ACCEPTED
}

#[endpoint(get, "/answers/redirect/{how}", price = "0.01", summary = "Elsewhere")]
fn redirect(Path(how): Path<String>) -> Redirect {
    match how.as_str() {
        "to" => Redirect::to("/answers/string"),
        "temporary" => Redirect::temporary("/answers/string"),
        _ => Redirect::permanent("https://example.com/"),
    }
}

#[endpoint(get, "/answers/lead", price = "0.01", summary = "Leads to what it is told")]
fn lead(Query(Named { name }): Query<Named>) -> Redirect {
    Redirect::to(name)
}

#[model]
struct Named {
    name: String,
}

type Fields = [(&'static str, String); 1];

#[endpoint(get, "/answers/named", price = "0.01", summary = "Says its name in a field")]
fn named(Query(Named { name }): Query<Named>) -> (StatusCode, (Fields, Media<String>)) {
    let page = Media(HeaderValue::from_static("text/html"), name.clone());
    (StatusCode::CREATED, ([("x-name", name)], page))
}

#[endpoint(get, "/answers/perhaps/{name}", price = "0.01", summary = "Knows one name")]
fn perhaps(Path(name): Path<String>) -> (StatusCode, Media<Option<String>>) {
    (StatusCode::CREATED, Media(HeaderValue::from_static("text/html"), (name == "ada").then_some(name)))
}

#[endpoint(get, "/answers/passed-on/{status}", price = "0.01", summary = "Refuses with another server's status")]
fn passed_on(Path(status): Path<u16>) -> Result<Text> {
    Err(Refusal::new(status, "other_server", "the other server refused"))?
}

#[endpoint(get, "/answers/no-json", price = "0.01", summary = "Has no JSON")]
fn no_json() -> (StatusCode, Json<Pairs>) {
    (StatusCode::OK, Json(Pairs([((1, 2), 3)].into())))
}

/// JSON has only text as keys.
#[derive(Serialize, JsonSchema)]
struct Pairs(std::collections::BTreeMap<(u8, u8), u8>);

#[endpoint(get, "/answers/events", price = "0.01", summary = "Events")]
fn events() -> Sse {
    Sse::writer(async |mut events| {
        events.send(Event::data("one")).await;
        events.send(Event::json(&json!({ "n": 2 }))?.event("two")).await;
        Err("asked to fail".into())
    })
}

/// An author's own error.
#[derive(Debug)]
enum Trouble {
    Own,
    Refused(Refusal),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("trouble")
    }
}

impl StdError for Trouble {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Own => None,
            Self::Refused(refusal) => Some(refusal),
        }
    }
}

#[endpoint(get, "/failures/own/{which}", price = "0.01", summary = "An author's error")]
fn own(Path(which): Path<String>) -> Result<Text, Trouble> {
    Err(if which == "own" { Trouble::Own } else { Trouble::Refused(Refusal::new(409, "taken", "choose another")) })
}

#[endpoint(get, "/failures/any/{number}", price = "0.01", check = is_small, summary = "Any error")]
async fn any(Path(number): Path<String>) -> Result<Text> {
    let number: u32 = number.parse().context("the number")?;
    let limit = None::<u32>.filter(|_| number > 1).ok_or(Refusal::not_found("no_limit", "there is none"))?;
    Ok(Text(limit.to_string()))
}

fn is_small(number: &str) -> Result<()> {
    if number.len() > 9 {
        return Err(Refusal::bad_request("too_long", "nine digits are the most").into());
    }
    Ok(())
}

#[endpoint(get, "/failures/boxed", price = "0.01", summary = "A boxed error")]
fn boxed() -> Result<Text, Box<dyn StdError>> {
    Err(Refusal::new(410, "gone", "it was\r\nhere"))?
}

#[endpoint(get, "/failures/text", price = "0.01", summary = "A text as an error")]
fn text() -> Result<Text, String> {
    Err("a secret".to_owned())
}

struct Busy;

impl Failure for Busy {
    fn into_refusal(self) -> Refusal {
        Refusal::new(429, "busy", "come back later")
    }
}

#[endpoint(get, "/failures/custom", quoted = "0.01", quote = broken, summary = "Chooses its refusal")]
fn custom() -> Result<Text, Busy> {
    Err(Busy)
}

fn broken() -> Result<Amount> {
    let number: u64 = "x".parse().context("the price list")?;
    Ok(Amount::micros(number))
}

fn get(path: &str) -> TestAnswer {
    testing::get(path).send()
}

fn failure(path: &str) -> (u16, String) {
    let answer = get(path);
    let body = answer.json::<Value>();
    assert!(!answer.text().contains("secret"));
    (answer.status(), body["error"].as_str().unwrap().to_owned())
}

#[test]
fn text_bytes_and_a_status_are_answers() {
    for (path, text) in [("string", "string"), ("str", "literal"), ("cow", "cow")] {
        let answer = get(&format!("/answers/{path}"));
        assert_eq!((answer.text(), answer.header("content-type")), (text, Some("text/plain; charset=utf-8")));
    }
    let bytes = get("/answers/bytes");
    assert_eq!((bytes.bytes().as_ref(), bytes.header("content-type")), (&[7][..], Some("image/x-one")));
    assert_eq!(bytes.header("x-pixels"), Some("1"));
    let status = get("/answers/status");
    assert_eq!((status.status(), status.header("content-type"), status.bytes().len()), (202, None, 0));
}

#[test]
fn none_is_not_found_and_costs_nothing() {
    assert_eq!(get("/answers/option?what=it").text(), r#"{"what":"it"}"#);
    assert_eq!(failure("/answers/option?what=that"), (404, "not_found".to_owned()));
    let manifest = testing::manifest().unwrap();
    let option = manifest.endpoints.iter().find(|e| e.path == "/answers/option").unwrap();
    assert!(option.mime_type == "application/json" && option.output_schema.is_some());
}

#[test]
fn a_redirect_has_a_status_and_a_location() {
    for (how, status, location) in [
        ("to", 303, "/answers/string"),
        ("temporary", 307, "/answers/string"),
        ("permanent", 308, "https://example.com/"),
    ] {
        let answer = get(&format!("/answers/redirect/{how}"));
        assert_eq!((answer.status(), answer.header("location")), (status, Some(location)), "{how}");
    }
}

/// Text of a client ended up in a header field, and the plugin trapped; a client could have its circuit opened.
#[test]
fn text_that_no_header_field_can_have_is_a_failure_that_costs_nothing() {
    let named = get("/answers/named?name=ada");
    assert_eq!((named.status(), named.header("x-name"), named.text()), (201, Some("ada"), "ada"));
    for path in
        ["/answers/named?name=a%0Ab", "/answers/lead?name=a%0D%0Ab", "/answers/no-json", "/answers/passed-on/302"]
    {
        assert_eq!(failure(path), (500, "plugin_failed".to_owned()), "{path}");
    }
}

/// The status of the answer around it made it a success, for which the caller paid.
#[test]
fn a_refusal_within_an_answer_keeps_its_status_and_its_media_type() {
    assert_eq!((get("/answers/perhaps/ada").status(), get("/answers/perhaps/ada").text()), (201, "ada"));
    assert_eq!(failure("/answers/perhaps/bob"), (404, "not_found".to_owned()));
    assert_eq!(get("/answers/perhaps/bob").header("content-type"), Some("application/json"));
}

#[test]
fn events_are_sent_one_by_one_and_a_failure_cuts_them_short() {
    let answer = get("/answers/events");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.text(), "data: one\n\nevent: two\ndata: {\"n\":2}\n\n");
    assert!(answer.cut_short());
}

#[test]
fn any_error_is_a_failure_and_a_refusal_among_its_causes_is_that_refusal() {
    // The host counts the first as a failure of the plugin. The others are no fault of its code.
    for (path, mark) in [("/failures/text", Some("1")), ("/failures/custom", None), ("/answers/named?name=a%0Ab", None)]
    {
        assert_eq!(get(path).header("x-coinslot-failed"), mark, "{path}");
    }
    assert_eq!(failure("/failures/own/own"), (500, "plugin_failed".to_owned()));
    assert_eq!(failure("/failures/own/refused"), (409, "taken".to_owned()));
    assert_eq!(failure("/failures/any/x"), (500, "plugin_failed".to_owned()));
    assert_eq!(failure("/failures/any/7"), (404, "no_limit".to_owned()));
    assert_eq!(failure("/failures/text"), (500, "plugin_failed".to_owned()));
    assert_eq!(failure("/failures/custom"), (429, "busy".to_owned()));
    let boxed = get("/failures/boxed").json::<Value>();
    assert_eq!(boxed, json!({ "error": "gone", "message": "it was  here" }));
}

#[test]
fn check_and_quote_may_use_any_error_and_only_a_refusal_is_the_callers_fault() {
    assert_eq!(testing::get("/failures/any/1234567890").quote().unwrap_err().code(), "too_long");
    let broken = std::panic::catch_unwind(|| testing::get("/failures/custom").quote()).unwrap_err();
    let reason = broken.downcast_ref::<String>().unwrap();
    assert!(reason.contains("GET /failures/custom failed: the price list: invalid digit"), "{reason}");
}
