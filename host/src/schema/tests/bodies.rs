//! Bodies: when one is read, and the value that its media type makes of it.

use serde_json::json;

use super::*;

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
    ] {
        fits(&schema, sent);
    }
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

/// A plugin in C reads JSON, and found none in a form that the host had let through: the payer bought an answer to
/// nothing.
#[test]
fn a_form_fits_only_where_the_schema_says_that_it_is_one() {
    let form = "application/x-www-form-urlencoded";
    let multipart = "multipart/form-data; boundary=xx";
    let of = |fields: Value| {
        let n = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        let mut body = n;
        body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        of_body(body)
    };
    let typed = |media_type, body: &'static str| Sent { media_type: Some(media_type), ..self::body(body) };
    let part = "--xx\r\nContent-Disposition: form-data; name=n\r\n\r\n1\r\n--xx--";
    for declared in [form, "multipart/form-data"] {
        let schema = of(json!({ "contentMediaType": declared }));
        fits(&schema, typed(form, "n=1&f=x+y"));
        fits(&schema, typed(form, "n=1&other=%f"));
        fits(&schema, typed(multipart, part));
        refused(&schema, typed(form, "n=x"), "/body/n", "type");
        refused(&schema, typed(form, "n=%f"), "/body/n", "encoding");
        refused(&schema, typed(multipart, "{}"), "/body", "form");
    }
    let json = of(json!({}));
    refused(&json, typed(form, "n=1"), "/body", "json");
    refused(&json, typed(multipart, part), "/body", "json");
    fits(&json, typed(form, r#"{"n":1}"#));
    refused(&json, typed(form, ""), "/body", "required");
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

/// A schema of the query alone allows any body: an image, a form, JSON of two values of one name.
#[test]
fn a_body_that_no_keyword_of_the_schema_sees_is_not_read() {
    let query = json!({ "query": { "type": "object", "properties": { "n": { "type": "integer" } } } });
    for root in [
        json!({ "properties": query, "x-order": 1 }),
        json!({ "properties": query, "writeOnly": true, "$vocabulary": {}, "nullable": false, "format": "input" }),
        json!({ "properties": query, "additionalProperties": true, "contentMediaType": "image/png", "maximum": 4 }),
        json!({ "allOf": [{ "properties": query }] }),
        json!({ "$ref": "#/$defs/Input", "$defs": { "Input": { "properties": query } } }),
        json!({ "if": { "required": ["query"] }, "then": { "properties": query } }),
        json!(true),
    ] {
        let schema = compiled(&root);
        assert!(!schema.reads_body(), "{root}");
        let sent = Sent { query: Some("n=1"), ..body("{\"a\":1,\"a\":2") };
        assert_eq!(check(&schema, sent, Effort::Full), Ok(()), "{root}");
    }
}

#[test]
fn a_body_that_is_only_counted_may_be_anything() {
    for root in [
        json!({ "required": ["body"] }),
        json!({ "minProperties": 1 }),
        json!({ "allOf": [{ "required": ["body"] }], "properties": { "query": {} } }),
    ] {
        let schema = compiled(&root);
        assert!(schema.reads_body(), "{root}");
        fits(&schema, Sent { body: b"\x89PNG\xff", ..Sent::default() });
        assert!(check(&schema, Sent::default(), Effort::Full).is_err(), "{root}");
    }
    let none = compiled(&json!({ "properties": { "query": true }, "additionalProperties": false }));
    refused(&none, Sent { body: b"\x89PNG\xff", ..Sent::default() }, "/body", "additionalProperties");
    // Here the content counts.
    for root in [
        json!({ "additionalProperties": { "type": "object" } }),
        json!({ "patternProperties": { "^b": { "type": "object" } } }),
        json!({ "not": { "properties": { "body": { "type": "integer" } }, "required": ["body"] } }),
    ] {
        let schema = compiled(&root);
        fits(&schema, body("{}"));
        refused(&schema, body("{"), "/body", "json");
        assert!(check(&schema, body("1"), Effort::Full).is_err(), "{root}");
    }
}

/// A browser sends a form without a checked box as no bytes at all.
#[test]
fn an_empty_form_and_an_empty_text_are_bodies() {
    let typed = |media_type| Sent { media_type: Some(media_type), ..Sent::default() };
    let form = of_body(json!({ "contentMediaType": "application/x-www-form-urlencoded", 
                               "properties": { "box": { "type": "string" } } }));
    fits(&form, typed("application/x-www-form-urlencoded"));
    let needs_one = of_body(json!({ "contentMediaType": "application/x-www-form-urlencoded", 
                                    "required": ["box"] }));
    refused(&needs_one, typed("application/x-www-form-urlencoded"), "/body/box", "required");
    let text = of_body(json!({ "type": "string" }));
    fits(&text, typed("text/plain"));
    for nothing in [Sent::default(), typed("application/json")] {
        for schema in [&form, &text] {
            refused(schema, nothing, "/body", "required");
        }
    }
    refused(&form, typed("image/png"), "/body", "required");
}

/// The lossy text of a file of 300 bytes has fewer characters, or more bytes.
#[test]
fn the_length_of_a_file_is_the_number_of_its_bytes() {
    let bytes: Vec<u8> = (0..=255).chain([0xe2, 0x82, 0xac]).collect();
    let length = |n: usize| json!({ "type": "string", "minLength": n, "maxLength": n });
    let part = |head: &str, content: &[u8]| {
        let head = format!("--xx\r\nContent-Disposition: form-data; name=f{head}\r\n\r\n");
        [head.as_bytes(), content, b"\r\n--xx--"].concat()
    };
    let check_length = |n, body: &[u8]| {
        let form = of_body(json!({ "contentMediaType": "multipart/form-data",
                                   "properties": { "f": length(n) }, "required": ["f"] }));
        fits(&form, Sent { media_type: Some("multipart/form-data; boundary=xx"), body, ..Sent::default() });
    };
    for head in ["; filename=a.bin", "; filename=a.txt\r\nContent-Type: text/plain", "\r\nContent-Type: image/png"] {
        check_length(bytes.len(), &part(head, &bytes));
        check_length(3, &part(head, "\u{20ac}".as_bytes()));
        check_length(0, &part(head, b""));
    }
    // A field that is no file is text.
    check_length(1, &part("", "\u{20ac}".as_bytes()));
    check_length(1, &part("\r\nContent-Type: text/plain; charset=utf-8", "\u{20ac}".as_bytes()));

    let of_media = |media_type: &str, n| {
        let mut schema = length(n);
        schema["contentMediaType"] = media_type.into();
        of_body(schema)
    };
    let sent = Sent { body: &bytes, media_type: Some("text/plain"), ..Sent::default() };
    fits(&of_media("image/png", bytes.len()), sent);
    fits(&of_media("image/png", 3), Sent { body: "\u{20ac}".as_bytes(), ..sent });
    fits(&of_media("text/csv", 1), Sent { body: "\u{20ac}".as_bytes(), ..sent });
    fits(&of_media("text/csv", bytes.len()), sent);
    // The media type is found behind a reference, too.
    let png = json!({ "$ref": "#/$defs/Png" });
    let schema = compiled(&json!({ "properties": { "body": png }, "required": ["body"], "$defs": {
        "Png": { "type": "string", "contentMediaType": "image/png", "maxLength": 4 } } }));
    fits(&schema, Sent { body: b"\xff\xff\xff\xff", ..Sent::default() });
    refused(&schema, Sent { body: b"\xff\xff\xff\xff\xff", ..Sent::default() }, "/body", "maxLength");
}

/// What the Rust SDK writes for a `Form`, which takes a body without a media type.
#[test]
fn a_schema_can_say_that_a_body_is_a_form() {
    let form = "application/x-www-form-urlencoded";
    let schema = of_body(json!({ "type": "object", "contentMediaType": form, "required": ["n"],
                                 "properties": { "n": { "type": "integer" } } }));
    fits(&schema, body("n=1"));
    fits(&schema, Sent { media_type: Some(form), ..body("n=1") });
    fits(&schema, body(r#"{"n":1}"#));
    refused(&schema, body("n=x"), "/body/n", "type");
    refused(&schema, body("m=1"), "/body/n", "required");
}

/// RFC 8259, section 8.1, lets a parser ignore the mark; RFC 7493, section 2.1, forbids a surrogate without its pair.
#[test]
fn a_byte_order_mark_is_ignored_and_a_lone_surrogate_is_refused() {
    let schema = of_body(json!({ "type": "object", "properties": { "s": { "type": "string", "maxLength": 1 } } }));
    fits(&schema, body("\u{feff}{\"s\":\"x\"}"));
    fits(&schema, Sent { media_type: Some("application/x-www-form-urlencoded"), ..body("\u{feff}{\"s\":\"x\"}") });
    refused(&schema, body("\u{feff}{\"s\":1}"), "/body/s", "type");
    refused(&schema, body("\u{feff}\u{feff}{}"), "/body", "json");
    refused(&schema, body("\u{feff}"), "/body", "json");
    fits(&schema, body(r#"{"s":"\ud83d\ude00"}"#));
    for lone in [r#"{"s":"\ud83d"}"#, r#"{"s":"\ude00"}"#, r#"{"s":"\ud83d\ud83d"}"#, r#"{"\ud83d":1}"#] {
        refused(&schema, body(lone), "/body", "json");
    }
}

/// A plugin of the SDKs in JavaScript and Python checks by the author's own schema. The host left such a body alone, and a
/// body that nests deeply ended the guest.
#[test]
fn json_for_a_plugin_that_checks_it_itself_has_to_be_readable() {
    let of = |schema: Value| {
        let input = json!({ "type": "object", "properties": { "path": { "required": ["id"] }, "body": schema } });
        InputSchema::of_readable_json(&input).expect("a schema that can be followed")
    };
    let object = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let schema = of(object).expect("a check");
    let deep = format!("{}1{}", r#"{"in":"#.repeat(128), "}".repeat(128));
    let form = "application/x-www-form-urlencoded";
    for media_type in [None, Some("application/json"), Some("text/plain"), Some(form)] {
        let typed = |text| Sent { media_type, ..body(text) };
        for (text, keyword) in [
            (deep.as_str(), "json"),
            ("{\"n\":1", "json"),
            (r#"{"\ud800":1}"#, "json"),
            (r#"{"n":1,"n":2}"#, "duplicate_name"),
        ] {
            refused(&schema, typed(text), "/body", keyword);
        }
        // What fits the schema is for the plugin to say.
        for text in [&deep[6..deep.len() - 1], r#"{"n":"x"}"#, "[]", "", " "] {
            fits(&schema, typed(text));
        }
    }
    fits(&schema, Sent { media_type: Some(form), ..body("n=%ff") });
    fits(&schema, Sent { media_type: Some("multipart/form-data; boundary=x"), ..body("[[") });
    // A text may begin as JSON does.
    for text in [json!({ "type": "string" }), json!({ "type": "string", "contentMediaType": "text/plain" })] {
        assert!(of(text).is_none());
    }
    let none = json!({ "type": "object", "properties": { "path": { "required": ["id"] } } });
    assert!(InputSchema::of_readable_json(&none).expect("a schema").is_none());
}
