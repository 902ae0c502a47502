//! The bounds of checks: what hostile inputs cost.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::schema::budget::{Budget, within};

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
    let budget = Budget { steps: 1, stack: 1 << 20, cpu: Duration::from_secs(1) };
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

/// Seven bytes of a body took five hundred of memory each, and no bound counted them.
#[test]
fn a_body_of_many_small_objects_is_refused_before_it_takes_more_memory_than_is_allowed() {
    let schema = of_body(json!({ "type": "array" }));
    let many = |count: usize| format!("[{}0]", "{\"\":0},".repeat(count));
    assert_eq!(check(&schema, body(&many(450_000)), Effort::Full), Err(CheckFailure::TooComplex));
    fits(&schema, body(&many(100_000)));
    fits(&schema, body(&format!("[{}0]", "0,".repeat(500_000))));
}

/// Each of thousands of texts may be read in two ways, and none of them fits.
#[test]
fn texts_of_several_types_cost_a_bounded_time() {
    let either = json!({ "anyOf": [{ "type": "integer", "minimum": 5 }, { "const": "all" }] });
    let list = json!({ "type": "object", "properties": { "n": { "type": "array", "items": either } } });
    let fields = json!({ "type": "object", "additionalProperties": either });
    let (same, different) = ("n=1&".repeat(40_000), (0..40_000).map(|n| format!("f{n}=1&")).collect::<String>());
    for (schema, text) in [(list, same), (fields, different)] {
        let begun = Instant::now();
        let form = Sent { media_type: Some("application/x-www-form-urlencoded"), ..body(&text) };
        assert!(check(&of_body(schema), form, Effort::Full).is_err());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_form_of_too_many_fields_is_too_complex_and_no_broken_form() {
    let schema = of_body(json!({ "type": "object" }));
    let form = Sent { media_type: Some("application/x-www-form-urlencoded"), ..Sent::default() };
    let pairs = "a&".repeat(60_000);
    assert_eq!(check(&schema, Sent { body: pairs.as_bytes(), ..form }, Effort::Full), Err(CheckFailure::TooComplex));
}
