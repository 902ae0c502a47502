//! Inputs against schemas: what fits, and where a mistake is found.

mod bodies;
mod bounds;
mod readings;
mod schemas;

use http::HeaderValue;
use serde_json::{Value, json};

use super::{CheckFailure, Effort, Input, InputRefusal, InputSchema, SchemaCompiler, SchemaError, Unenforced};

fn compile(schema: &Value) -> Result<(InputSchema, Vec<Unenforced>), SchemaError> {
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
