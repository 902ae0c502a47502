//! Inputs against schemas: what fits, where a mistake is found, and what hostile ones cost.

use std::time::{Duration, Instant};

use http::HeaderValue;
use serde_json::{Value, json};

use super::budget::{Budget, within};
use super::{CheckFailure, Effort, Input, InputRefusal, InputSchema, SchemaCompiler, SchemaError};

fn compile(schema: &Value) -> Result<(InputSchema, Vec<String>), SchemaError> {
    SchemaCompiler::run(|compiler| InputSchema::compile(compiler, schema)).expect("a thread")
}

fn compiled(schema: &Value) -> InputSchema {
    compile(schema).expect("a schema that can be enforced").0
}

/// Path parameters, query, media type and body.
#[derive(Clone, Copy, Default)]
struct Sent<'s> {
    params: &'s [(&'s str, &'s str)],
    query: Option<&'s str>,
    media_type: Option<&'s str>,
    body: &'s [u8],
}

fn check(schema: &InputSchema, sent: Sent<'_>, effort: Effort) -> Result<(), CheckFailure> {
    let params: Vec<_> = sent.params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let media_type = sent.media_type.map(|media_type| HeaderValue::from_str(media_type).expect("a value"));
    let input = Input { params: &params, query: sent.query, media_type: media_type.as_ref(), body: sent.body };
    schema.check(&input, effort)
}

#[track_caller]
fn fits(schema: &InputSchema, sent: Sent<'_>) {
    assert_eq!(check(schema, sent, Effort::Full), Ok(()));
}

#[track_caller]
fn refused(schema: &InputSchema, sent: Sent<'_>, pointer: &str, keyword: &str) -> InputRefusal {
    match check(schema, sent, Effort::Full) {
        Err(CheckFailure::Refused(refusal)) => {
            assert_eq!((refusal.pointer.as_str(), refusal.keyword.as_str()), (pointer, keyword), "{}", refusal.reason);
            refusal
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn query(text: &str) -> Sent<'_> {
    Sent { query: Some(text), ..Sent::default() }
}

fn body(text: &str) -> Sent<'_> {
    Sent { body: text.as_bytes(), ..Sent::default() }
}

fn of_query(properties: Value) -> InputSchema {
    compiled(&json!({ "type": "object", "properties": { "query": { "type": "object", "properties": properties } } }))
}

fn of_body(schema: Value) -> InputSchema {
    compiled(&json!({ "type": "object", "properties": { "body": schema }, "required": ["body"] }))
}

#[test]
fn texts_have_the_types_that_are_declared() {
    let schema = of_query(json!({
        "limit": { "type": ["integer", "null"], "minimum": 0, "maximum": 255 },
        "weight": { "type": "number" },
        "exact": { "type": "boolean" },
        "tag": { "type": "array", "items": { "type": "integer" } },
        "code": { "type": "string", "pattern": "^[0-9]+$" },
        "page": { "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "all" }] },
        "level": { "enum": [1, 2] },
    }));
    for text in [
        "",
        "limit=7&weight=-0.5&exact=true&tag=1&tag=2&code=007&page=all&level=2",
        "weight=1e3&tag=5&page=2&limit=007",
        "unknown=1&q=%C3%A9+x",
    ] {
        fits(&schema, query(text));
    }
    for (text, pointer, keyword) in [
        ("limit=256", "/query/limit", "maximum"),
        ("limit=", "/query/limit", "type"),
        ("limit=1.5", "/query/limit", "type"),
        ("limit=1&limit=2", "/query/limit", "type"),
        ("weight=NaN", "/query/weight", "type"),
        ("weight=inf", "/query/weight", "type"),
        ("exact=yes", "/query/exact", "type"),
        ("tag=1&tag=x", "/query/tag/1", "type"),
        ("code=1&code=2", "/query/code", "type"),
        ("code=x", "/query/code", "pattern"),
        ("page=0", "/query/page", "anyOf"),
        ("level=3", "/query/level", "enum"),
        ("q=%zz", "/query", "encoding"),
        ("q=%ff", "/query", "encoding"),
    ] {
        refused(&schema, query(text), pointer, keyword);
    }
}

#[test]
fn types_are_found_behind_references() {
    let schema = compiled(&json!({
        "type": "object",
        "properties": {
            "path": { "$ref": "#/$defs/Item" },
            "query": { "allOf": [{ "$ref": "#/$defs/Page" }], "additionalProperties": { "type": "boolean" } },
        },
        "required": ["path"],
        "$defs": {
            "Item": { "type": "object", "properties": { "id": { "$ref": "#/$defs/Id" } }, "required": ["id"] },
            "Id": { "type": "integer", "minimum": 1 },
            "Page": { "properties": { "page": { "$ref": "#/$defs/Id" } } },
        },
    }));
    let sent = |id, query| Sent { params: id, query: Some(query), ..Sent::default() };
    refused(&schema, sent(&[("id", "x")], ""), "/path/id", "type");
    refused(&schema, sent(&[("id", "0")], ""), "/path/id", "minimum");
    refused(&schema, sent(&[("id", "4")], "other=maybe"), "/query/other", "type");
}

#[test]
fn a_missing_or_unexpected_field_is_pointed_at() {
    let schema = compiled(&json!({
        "type": "object",
        "properties": {
            "query": { "type": "object", "required": ["na/me"], "properties": { "na/me": { "type": "string" } } },
            "body": {
                "type": "object",
                "properties": { "a": { "type": "object", "additionalProperties": false } },
            },
        },
    }));
    let missing = refused(&schema, Sent::default(), "/query/na~1me", "required");
    assert_eq!(missing.reason, "it is missing");
    let sent = Sent { query: Some("na%2Fme=x"), body: br#"{"a":{"b":1}}"#, ..Sent::default() };
    refused(&schema, sent, "/body/a/b", "additionalProperties");
    let schema =
        compiled(&json!({ "required": ["body"], "additionalProperties": false, "properties": { "body": {} } }));
    refused(&schema, Sent::default(), "/body", "required");
    refused(&schema, Sent { query: Some("x=1"), ..body("1") }, "/query", "additionalProperties");
    fits(&schema, Sent { query: Some(""), ..body("1") });
}

#[test]
fn of_alternatives_the_one_that_fits_furthest_is_explained() {
    let schema = of_body(json!({ "oneOf": [
        { "type": "object", "properties": { "kind": { "const": "dot" }, "at": { "type": "integer" } }, "required": ["kind"] },
        { "type": "object", "properties": { "kind": { "const": "line" }, "to": { "type": "array",
          "items": { "type": "integer" } } }, "required": ["kind", "to"] },
    ] }));
    fits(&schema, body(r#"{"kind":"dot","at":1}"#));
    refused(&schema, body(r#"{"kind":"line","to":[1,2,"x"]}"#), "/body/to/2", "type");
    let neither = refused(&schema, body("7"), "/body", "oneOf");
    assert!(neither.reason.starts_with("7 fits none of the alternatives: it is not of type"), "{}", neither.reason);
}

#[test]
fn a_reason_is_short_whatever_the_client_sends() {
    let schema = of_body(json!({ "type": "object", "additionalProperties": { "type": "integer" } }));
    let name = "n".repeat(5_000);
    let text = json!({ name: "x".repeat(100_000) }).to_string();
    let Err(CheckFailure::Refused(refusal)) = check(&schema, body(&text), Effort::Full) else { panic!("it fits") };
    assert!(refusal.pointer.len() < 400 && refusal.reason.len() < 500, "{refusal:?}");
}

#[test]
fn a_body_is_read_by_its_media_type_and_its_schema() {
    let schema = of_body(json!({
        "type": "object",
        "properties": { "n": { "type": "integer" }, "f": { "type": "string" } },
        "required": ["n"],
    }));
    let typed = |media_type, body: &'static str| Sent { media_type: Some(media_type), ..self::body(body) };
    let form = "application/x-www-form-urlencoded";
    let multipart = "multipart/form-data; boundary=xx";
    for sent in [
        body(r#"{"n":1}"#),
        typed("application/json; charset=utf-8", r#"{"n":1}"#),
        typed("application/vnd.x+json", r#"{"n":1}"#),
        typed("text/plain;charset=UTF-8", r#"{"n":1}"#),
        typed(form, r#" {"n":1}"#),
        typed(form, "n=1&f=x+y"),
        typed(multipart, "--xx\r\nContent-Disposition: form-data; name=n\r\n\r\n1\r\n--xx--"),
    ] {
        fits(&schema, sent);
    }
    refused(&schema, typed(form, "n=x"), "/body/n", "type");
    refused(&schema, typed(form, "n=%f"), "/body", "form");
    refused(&schema, typed(multipart, "{}"), "/body", "form");
    refused(&schema, typed("image/png", "\u{89}PNG"), "/body", "json");
    refused(&schema, body("{"), "/body", "json");
    refused(&schema, body(r#"{"n":1,"n":2}"#), "/body", "duplicate_name");
    refused(&schema, Sent { body: b"\xff\xfe", ..Sent::default() }, "/body", "json");

    let text = of_body(json!({ "type": "string", "maxLength": 3 }));
    fits(&text, body(r#""abc""#));
    fits(&text, typed("text/plain", "abc"));
    refused(&text, typed("text/plain", "abcd"), "/body", "maxLength");
    refused(&text, body("abc"), "/body", "json");
    let raw = of_body(json!({ "type": "string", "contentMediaType": "image/png" }));
    for media_type in ["image/png", "application/json", form, multipart] {
        fits(&raw, Sent { media_type: Some(media_type), body: b"\x89PNG\xff", ..Sent::default() });
    }
}

#[test]
fn a_schema_that_does_not_look_at_the_body_does_not_have_it_read() {
    assert!(!of_query(json!({})).reads_body());
    assert!(!compiled(&json!({ "type": "object" })).reads_body());
    for schema in [
        json!({ "properties": { "body": true } }),
        json!({ "required": ["body"] }),
        json!({ "allOf": [{ "required": ["body"] }] }),
        json!({ "additionalProperties": false }),
    ] {
        assert!(compiled(&schema).reads_body(), "{schema}");
    }
}

#[test]
fn schemas_that_cannot_be_enforced_are_refused_with_their_place() {
    let body = |schema: Value| json!({ "properties": { "body": schema } });
    let doubling: serde_json::Map<String, Value> = (0..30)
        .map(|n| (format!("d{n}"), json!({ "allOf": vec![json!({ "$ref": format!("#/$defs/d{}", n + 1) }); 2] })))
        .chain([("d30".to_owned(), json!({ "type": "integer" }))])
        .collect();
    let cases = [
        (body(json!({ "$ref": "http://127.0.0.1/x.json" })), "`/properties/body`: `$ref` is `http://127.0.0.1/x.json`"),
        (body(json!({ "$ref": "file:///etc/passwd" })), "outside of the schema"),
        (body(json!({ "$ref": "other.json#/$defs/x" })), "outside of the schema"),
        (body(json!({ "items": { "$ref": "#/$defs/x" } })), "`/properties/body/items`: `$ref` is `#/$defs/x`, and"),
        (json!({ "$ref": "#" }), "refers to itself"),
        (body(json!({ "anyOf": [{ "type": "null" }, { "$ref": "#/properties/body" }] })), "refers to itself"),
        (json!({ "properties": { "body": { "$ref": "#/$defs/d0" } }, "$defs": doubling }), "multiply"),
        (body(json!({ "type": "strin" })), "`/properties/body/type`"),
        (body(json!({ "minimum": "1" })), "minimum"),
        (body(json!({ "patternProperties": { "^(?=a)": {} } })), "linear time"),
        (json!({ "properties": { "name": {} } }), "`name` in `properties` is no part of an input"),
        (json!({ "required": ["text"] }), "`text` in `required` is no part of an input"),
        (json!({ "$schema": "http://example.com/mine" }), "example.com"),
    ];
    for (schema, says) in cases {
        let error = compile(&schema).expect_err(&schema.to_string()).to_string();
        assert!(error.contains(says), "{schema}: {error}");
    }
    let many: Vec<Value> = (0..600).map(|n| json!({ "pattern": format!("a{n}") })).collect();
    assert_eq!(compile(&body(json!({ "prefixItems": many }))).expect_err("many"), SchemaError::TooManyPatterns);
}

#[test]
fn references_inside_of_the_schema_lead_where_the_standard_says() {
    let schema = compiled(&json!({
        "properties": { "body": { "anyOf": [{ "$ref": "Node" }, { "$ref": "#leaf" }] } },
        "$defs": {
            "n": { "$id": "Node", "type": "object", "properties": { "next": { "$ref": "#" }, "v": { "$ref": "#/$defs/v" } },
                   "additionalProperties": false, "$defs": { "v": { "type": "integer" } } },
            "l": { "$anchor": "leaf", "type": "string" },
        },
    }));
    fits(&schema, body(r#"{"next":{"next":{"v":3}}}"#));
    fits(&schema, body("\"leaf\""));
    refused(&schema, body(r#"{"next":{"next":{"v":"x"}}}"#), "/body/next/next/v", "type");
}

#[test]
fn a_pattern_that_needs_backtracking_is_left_out_and_named() {
    let schema = json!({ "properties": { "query": { "properties": {
        "mail": { "type": "string", "pattern": "^(?!\\.)x" }, "word": { "pattern": "^\\p{L}{1,5}$" } } } } });
    let (schema, unchecked) = compile(&schema).expect("the rest is enforced");
    assert_eq!(unchecked, ["/properties/query/properties/mail/pattern"]);
    fits(&schema, query("mail=y&word=%C3%A9"));
    refused(&schema, query("word=1"), "/query/word", "pattern");
}

/// A binary tree whose nodes may be of either kind: each level of the input is tried twice as often as the one above.
fn doubling_with_the_input() -> InputSchema {
    let node = |kind: &str| {
        json!({ "properties": { "n": { "$ref": "#/$defs/t" }, "k": { "const": kind } },
                                    "required": ["k"], "minProperties": 1, "maxProperties": 2 })
    };
    compiled(&json!({ "properties": { "body": { "$ref": "#/$defs/t" } },
                      "$defs": { "t": { "not": { "anyOf": [{ "not": node("a") }, { "not": node("b") }] } } } }))
}

#[test]
fn hostile_inputs_cost_a_bounded_time() {
    let nested = |depth: usize| format!("{}{{}}{}", "{\"n\":".repeat(depth), "}".repeat(depth));
    let many = format!("[{}0]", "0,".repeat(400_000));
    let unique = of_body(json!({ "uniqueItems": true, "items": { "uniqueItems": true } }));
    let members: Vec<Value> = (0..2_000).map(|n| json!(format!("member number {n}"))).collect();
    let listed = of_body(json!({ "items": { "enum": members } }));
    let slow = of_body(json!({ "type": "string", "pattern": "^(a|a|aa)*([ab]{1,200}c|[ab]{1,200}d)$" }));
    let names: serde_json::Map<String, Value> = (0..500).map(|n| (format!("f{n}"), json!({}))).collect();
    let unevaluated = of_body(json!({ "allOf": [{ "properties": names }], "unevaluatedProperties": false }));
    let wide: serde_json::Map<String, Value> = (0..50_000).map(|n| (format!("f{n}"), json!(1))).collect();
    let text = format!("\"{}\"", "a".repeat(1 << 20));
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    let tree = doubling_with_the_input();
    for (schema, sent) in [
        (&tree, nested(100)),
        (&unique, many.clone()),
        (&unique, deep),
        (&listed, many),
        (&slow, text),
        (&unevaluated, Value::Object(wide).to_string()),
    ] {
        let begun = Instant::now();
        let result = check(schema, body(&sent), Effort::Full);
        let took = begun.elapsed();
        // A debug build takes ten times as long as the steps stand for.
        assert!(took < Duration::from_secs(10), "{took:?}: {result:?}");
    }
}

#[test]
fn a_check_with_little_effort_gives_up_early() {
    let schema = of_body(json!({ "items": { "type": "integer" } }));
    let items = format!("[{}0]", "0,".repeat(30_000));
    assert_eq!(check(&schema, body(&items), Effort::Little), Err(CheckFailure::TooComplex));
    assert_eq!(check(&schema, body(&items), Effort::Full), Ok(()));
}

#[test]
fn a_panic_that_is_none_of_the_budget_goes_on() {
    let budget = Budget { steps: 1, stack: 1 << 20, time: Duration::from_secs(1) };
    assert_eq!(within(budget, || 7), Ok(7));
    let outcome = std::panic::catch_unwind(|| within(budget, || std::panic::resume_unwind(Box::new("other"))));
    assert!(outcome.is_err_and(|panic| panic.is::<&str>()));
    let mut compiler = SchemaCompiler::default();
    let schema = json!({ "properties": { "query": { "properties": { "a": { "type": "integer" } } } } });
    let (schema, _) = InputSchema::compile(&mut compiler, &schema).expect("a schema");
    assert_eq!(check(&schema, query("a=1"), Effort::Little), Ok(()));
}

#[test]
fn a_schema_cannot_count_for_itself() {
    let schema = of_body(json!({ "items": { "coinslot:cost": [0, 0, 0, 0], "type": "integer" } }));
    let items = format!("[{}0]", "0,".repeat(30_000));
    assert_eq!(check(&schema, body(&items), Effort::Little), Err(CheckFailure::TooComplex));
}
