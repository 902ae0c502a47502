//! Texts of paths and queries, and the values that they are read as.

use serde_json::json;

use super::*;

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
        "off=100%&q=%ff&%zz",
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
        ("tag=%zz", "/query/tag", "encoding"),
        ("code=%ff", "/query/code", "encoding"),
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

/// Each of these schemas names its parts somewhere else than in `properties` of its root.
#[test]
fn types_are_found_wherever_a_root_names_its_parts() {
    let parts = json!({ "properties": {
        "path": { "properties": { "id": { "type": "integer" } } },
        "query": { "properties": { "exact": { "type": "boolean" } } },
        "body": { "contentMediaType": "application/x-www-form-urlencoded", "properties": { "n": { "type": "number" } } },
    } });
    for root in [
        json!({ "$ref": "#/$defs/Input", "$defs": { "Input": parts } }),
        json!({ "allOf": [{ "$ref": "#/$defs/Input" }], "$defs": { "Input": parts } }),
        json!({ "allOf": [{ "allOf": [parts] }, { "type": "object" }] }),
        json!({ "anyOf": [parts, { "required": ["none"] }] }),
        json!({ "if": { "required": ["path"] }, "then": parts }),
        json!({ "dependentSchemas": { "path": parts } }),
        json!({ "$schema": "http://json-schema.org/draft-07/schema#", "dependencies": { "path": parts } }),
        json!({ "$schema": "https://json-schema.org/draft/2019-09/schema", "$ref": "https://a.example/parts#again",
            "$defs": { "Parts": { "$id": "https://a.example/parts", "allOf": [parts],
                "$defs": { "Again": { "$anchor": "again", "$recursiveRef": "#" } } } } }),
        json!({ "$dynamicRef": "#input", "$defs": { "Input": { "$dynamicAnchor": "input", "$ref": "#parts" },
                "Parts": { "$anchor": "parts", "allOf": [parts] } } }),
    ] {
        let schema = compiled(&root);
        assert!(schema.reads_body(), "{root}");
        for (id, query, body, is_fit) in [
            ("7", "exact=true", "n=1.5", true),
            ("x", "exact=true", "n=1", false),
            ("7", "exact=1", "n=1", false),
            ("7", "exact=true", "n=x", false),
        ] {
            let media_type = Some("application/x-www-form-urlencoded");
            let sent = Sent { params: &[("id", id)], query: Some(query), media_type, body: body.as_bytes() };
            assert_eq!(check(&schema, sent, Effort::Full).is_ok(), is_fit, "{root}: {id} {query} {body}");
        }
    }
}

/// `12` is a text and a number. Which of them is meant is what the whole schema says, not one branch of it.
#[test]
fn a_text_of_several_types_is_read_as_one_that_fits() {
    let word = json!({ "type": "string", "pattern": "^[a-z]+$" });
    let schema = of_query(json!({
        "any": { "type": ["integer", "string"], "minLength": 2 },
        "code": { "anyOf": [{ "type": "integer", "minimum": 100 }, { "type": "string", "pattern": "^[0-9]{2}$" }] },
        "page": { "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "all" }] },
        "both": { "allOf": [{ "type": ["string", "integer"] }, { "type": "integer" }] },
        "flag": { "anyOf": [{ "type": "boolean" }, { "const": "maybe" }] },
        "ids": { "type": "array", "items": { "anyOf": [{ "type": "integer" }, word] } },
        "one": { "anyOf": [{ "type": "integer" }, { "type": "array", "items": word }] },
    }));
    for text in [
        "any=12&code=12&code2=1",
        "any=ab&code=100",
        "page=all&both=12",
        "page=2&flag=true",
        "flag=maybe&ids=a&ids=12&ids=b",
        "ids=12&one=5",
        "one=a",
        "one=a&one=b",
        "any=12&code=100&page=2&both=1&flag=false&ids=1&one=b",
    ] {
        fits(&schema, query(text));
    }
    // A text of two characters fits `any`, and the number 1 has no length.
    fits(&schema, query("any=1"));
    for (text, pointer, keyword) in [
        ("code=7", "/query/code", "anyOf"),
        ("page=none", "/query/page", "anyOf"),
        ("both=x", "/query/both", "type"),
        ("ids=a&ids=B", "/query/ids/1", "anyOf"),
        ("any=x", "/query/any", "minLength"),
    ] {
        refused(&schema, query(text), pointer, keyword);
    }
}

/// The alternatives stand above the field, so the error is found at the query as a whole.
#[test]
fn a_text_is_read_by_the_alternative_that_the_rest_of_the_query_chooses() {
    let kind = |kind: &str, value: &str| {
        let fields = json!({ "kind": { "const": kind }, "v": { "type": value } });
        json!({ "properties": fields, "required": ["kind", "v"] })
    };
    let schema = compiled(&json!({ "properties": {
        "query": { "oneOf": [kind("text", "string"), kind("number", "integer"), kind("flag", "boolean")] } } }));
    for text in ["kind=text&v=12", "kind=number&v=12", "kind=text&v=true", "kind=flag&v=true"] {
        fits(&schema, query(text));
    }
    for text in ["kind=number&v=x", "kind=flag&v=12", "kind=none&v=12"] {
        assert!(check(&schema, query(text), Effort::Full).is_err(), "{text}");
    }
}

/// The body is left out while the readings of the query are compared, and counts before and after.
#[test]
fn a_text_is_read_again_beside_a_body() {
    let schema = compiled(&json!({ "required": ["body"], "properties": {
        "query": { "properties": { "v": { "anyOf": [{ "type": "integer" }, { "const": "all" }] } } },
        "body": { "type": "array", "items": { "type": "string" } } } }));
    fits(&schema, Sent { query: Some("v=12"), ..body(r#"["a"]"#) });
    refused(&schema, Sent { query: Some("v=12"), ..body(r#"["a", 1]"#) }, "/body/1", "type");
    refused(&schema, Sent { query: Some("v=x"), ..body(r#"["a"]"#) }, "/query/v", "anyOf");
    refused(&schema, query("v=12"), "/body", "required");
}

#[test]
fn what_cannot_be_decoded_is_refused_only_where_the_schema_looks_at_it() {
    let path = compiled(&json!({ "properties": { "path": { "properties": { "id": { "type": "integer" } } } } }));
    fits(&path, Sent { params: &[("id", "7")], ..query("discount=50%&name=%ff&%zz") });
    let named = of_query(json!({ "q": { "type": "string" } }));
    fits(&named, query("q=50%25&utm=100%"));
    let broken = refused(&named, query("utm=1&q=50%"), "/query/q", "encoding");
    assert!(broken.reason.contains("%25"), "{}", broken.reason);
    let all = compiled(&json!({ "properties": { "query": { "additionalProperties": { "type": "string" } } } }));
    refused(&all, query("a/b=%"), "/query/a~1b", "encoding");
    // Whether there is a query is seen all the same.
    let none = compiled(&json!({ "properties": { "path": {} }, "additionalProperties": false }));
    refused(&none, query("%"), "/query", "additionalProperties");
}
