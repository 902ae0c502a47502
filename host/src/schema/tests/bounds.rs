//! The bounds of checks: what hostile inputs cost.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::schema::budget::{Budget, cpu_time, within};

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

/// Alternatives of which the first ones are refused by a keyword that is cheap to look at: to see that the input does not
/// fit took a thousand steps. To say where took as much of the processor as a check may have at all.
#[test]
fn the_place_of_a_mistake_is_not_looked_for_at_any_price() {
    let list = |more: Value| {
        let mut list = json!({ "type": "array", "items": { "$ref": "#/$defs/a" } });
        list.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        list
    };
    let schema = compiled(&json!({
        "properties": { "body": { "$ref": "#/$defs/a" } },
        "$defs": { "a": { "anyOf": [list(json!({ "maxItems": 1, "minItems": 2 })), list(json!({})), { "type": "number" }] } },
    }));
    let nested = |depth: usize| format!("{}\"x\"{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [20, 60, 120] {
        let (begun, sent) = (cpu_time(), nested(depth));
        let result = check(&schema, body(&sent), Effort::Full);
        let took = cpu_time() - begun;
        assert!(matches!(result, Err(CheckFailure::Refused(_))), "{result:?}");
        assert!(took < Duration::from_millis(150), "{depth}: {took:?}");
    }
    let shallow = nested(3);
    refused(&schema, body(&shallow), "/body/0/0/0", "anyOf");
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
    let budget = Budget { steps: 1, stack: 1 << 20, cpu: Duration::from_secs(1), copies: u64::MAX };
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
        let mut schema = schema;
        schema["contentMediaType"] = "application/x-www-form-urlencoded".into();
        assert!(check(&of_body(schema), form, Effort::Full).is_err());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_form_of_too_many_fields_is_too_complex_and_no_broken_form() {
    let schema = of_body(json!({ "contentMediaType": "application/x-www-form-urlencoded" }));
    let form = Sent { media_type: Some("application/x-www-form-urlencoded"), ..Sent::default() };
    let pairs = "a&".repeat(60_000);
    assert_eq!(check(&schema, Sent { body: pairs.as_bytes(), ..form }, Effort::Full), Err(CheckFailure::TooComplex));
}

/// The library resolved a relative `$id` by its base, and so applied another subschema than the one that was counted: a
/// body of some hundred bytes kept a thread for ever.
#[test]
fn no_identifier_leads_to_a_subschema_that_is_not_counted() {
    let evil = json!({ "anyOf": [
        { "required": ["q"], "properties": { "a": { "$ref": "http://b/c#/x-foo" } } },
        { "required": ["q", "r"], "properties": { "a": { "$ref": "http://b/c#/x-foo" } } },
    ] });
    let resource = |id: &str, foo: &Value| json!({ "$id": id, "$defs": { "c": { "$id": "c", "x-foo": foo } } });
    let of = |a: &str, b: &str| {
        let body =
            json!({ "$id": "http://b/", "$ref": "c#/x-foo", "$defs": { "c": resource(b, &evil)["$defs"]["c"] } });
        compile(&json!({ "properties": { "body": body }, "$defs": { "a": resource(a, &json!({})) } }))
    };
    let error = of("http://a/", "http://b/").expect_err("two schemas of one name");
    assert!(error.to_string().contains("two subschemas have the `$id` `c`"), "{error}");

    // One of them alone is counted, wherever it is.
    let tree = |target: &str| {
        let node = |more: &str| json!({ "required": ["q", more], "properties": { "a": { "$ref": target } } });
        compiled(&json!({ "properties": { "body": { "$ref": target } },
            "$defs": { "c": { "$id": "http://b/c", "x-foo": { "anyOf": [node("r"), node("s")] } } } }))
    };
    for target in ["http://b/c#/x-foo", "#/$defs/c/x-foo"] {
        let sent = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
        let begun = Instant::now();
        assert!(check(&tree(target), body(&sent), Effort::Full).is_err());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

/// An array of 250,000 numbers for a schema with alternatives took hundreds of megabytes of errors.
#[test]
fn errors_of_a_large_input_are_not_kept() {
    let list = |items: Value| json!({ "type": "array", "items": items });
    let integers = list(json!({ "type": "integer" }));
    let schema = of_body(json!({ "anyOf": [{ "type": "string" }, integers.clone(), list(integers)] }));
    let many = |count: usize| format!("[{}1.5]", "1.5,".repeat(count));
    refused(&schema, body(&many(200_000)), "", "");
    refused(&schema, body(&many(1_000)), "/body/1000", "type");
    // Many alternatives, each of which would hold the whole value.
    let strings: Vec<Value> = (0..500).map(|length| json!({ "type": "string", "minLength": length })).collect();
    refused(&of_body(json!({ "anyOf": strings })), body(&many(5_000)), "", "");
}

#[test]
fn schemas_that_ask_what_others_looked_at_are_bounded() {
    let pair = |next: usize| json!({ "allOf": [{ "$ref": format!("#/$defs/d{next}") }, { "$ref": format!("#/$defs/d{next}") }] });
    let mut defs: serde_json::Map<String, Value> = (0..10).map(|n| (format!("d{n}"), pair(n + 1))).collect();
    defs.insert("d10".to_owned(), json!({ "type": "object" }));
    let asks = json!({ "$ref": "#/$defs/d0", "unevaluatedProperties": false });
    let fields: serde_json::Map<String, Value> = (0..100).map(|n| (format!("f{n}"), asks.clone())).collect();
    let schema = json!({ "properties": { "body": { "properties": fields } }, "$defs": defs });
    let error = compile(&schema).expect_err("too much work");
    assert!(error.to_string().contains("look at more than 4000 subschemas"), "{error}");
}
