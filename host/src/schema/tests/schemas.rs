//! Schemas: what cannot be enforced, and where references lead.

use serde_json::{Value, json};

use super::*;
use crate::schema::error::SchemaFault;

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
        (body(json!({ "$dynamicRef": "#x" })), "`$dynamicRef` is `#x`, and the schema has nothing there: put what it"),
        (body(json!({ "$dynamicRef": "x" })), "`$dynamicRef` is `x`, which is outside of the schema"),
        (json!({ "$ref": "#" }), "refers to itself"),
        (body(json!({ "anyOf": [{ "type": "null" }, { "$ref": "#/properties/body" }] })), "refers to itself"),
        (json!({ "properties": { "body": { "$ref": "#/$defs/d0" } }, "$defs": doubling }), "multiply"),
        (body(json!({ "type": "strin" })), "`/properties/body/type`"),
        (body(json!({ "minimum": "1" })), "minimum"),
        (body(json!({ "patternProperties": { "^(?=a)": {} } })), "linear time"),
        (
            body(json!({ "not": { "pattern": "^(?=a)" } })),
            "at `/properties/body/not/pattern`: it cannot be matched in linear time (look-around, back-references), or \
             is too large; and beside `not` no pattern can be left out",
        ),
        (json!({ "properties": { "name": {} } }), "at `/properties/name`: `name` is no part of an input"),
        (json!({ "required": ["text"] }), "at `/required`: `text` is no part of an input"),
        (json!({ "allOf": [{ "required": ["te/xt"] }] }), "at `/allOf/0/required`: `te/xt` is no part of an input"),
        (
            json!({ "$ref": "#/$defs/Order", "$defs": { "Order": { "properties": { "i/d": {} } } } }),
            "at `/$defs/Order/properties/i~1d`: `i/d` is no part of an input",
        ),
        (json!({ "$schema": "http://example.com/mine" }), "example.com"),
    ];
    for (schema, says) in cases {
        let error = compile(&schema).expect_err(&schema.to_string()).to_string();
        assert!(error.contains(says), "{schema}: {error}");
    }
    let many: Vec<Value> = (0..600).map(|n| json!({ "pattern": format!("a{n}") })).collect();
    assert_eq!(compile(&body(json!({ "prefixItems": many }))).expect_err("many").fault, SchemaFault::TooManyPatterns);
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
    let texts: Vec<String> = unchecked.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["one pattern of input-schema is not enforced: at `/properties/query/properties/mail/pattern`: it cannot be \
          matched in linear time (look-around, back-references), or is too large: simplify it, or check it in the handler"]
    );
    fits(&schema, query("mail=y&word=%C3%A9"));
    refused(&schema, query("word=1"), "/query/word", "pattern");
}
