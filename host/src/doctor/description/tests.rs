//! Tests what is read of descriptions, good and hostile.

use serde_json::json;

use super::*;

#[test]
fn a_request_is_made_of_a_description() {
    let openapi = json!({
        "openapi": "3.1.0",
        "paths": {
            "/items/{id}": {
                "parameters": [{ "$ref": "#/components/parameters/id" }],
                "post": {
                    "parameters": [
                        { "name": "q", "in": "query", "required": true, "schema": { "enum": ["a b"] } },
                        { "name": "optional", "in": "query", "schema": { "type": "string" } },
                    ],
                    "requestBody": {
                        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/item" } } },
                    },
                    "responses": { "402": {} },
                    "x-payment-info": { "price": { "mode": "fixed", "currency": "USD", "amount": "0.01" } },
                },
            },
            "//evil.example/x": { "get": {} },
            "/none": "odd",
        },
        "components": {
            "parameters": { "id": { "name": "id", "in": "path", "example": "a/b" } },
            "schemas": {
                "item": {
                    "type": "object",
                    "properties": { "n": { "type": "integer", "minimum": 3 } },
                    "required": ["n"],
                },
            },
        },
    });
    let origin = "https://a.example/".parse().expect("a URL");
    let description = OpenApiDescription::new(&openapi, &origin);
    assert_eq!(description.names(9), ["POST /items/{id}", "GET //evil.example/x"]);
    let (found, count) = description.paid(9);
    assert_eq!((found.len(), count), (1, 1), "{found:?}");
    let found = description.of_path("/items/7");
    assert_eq!(found.len(), 1, "{found:?}");
    let request = found[0].request();
    assert_eq!(request.url.as_str(), "https://a.example/items/a%2Fb?q=a+b");
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert!(body["n"].as_i64().is_some_and(|n| n >= 3), "{body}");
    assert!(found[0].describes_402 && found[0].has_input_schema && !found[0].has_output_schema);
    for (path, count) in [("/items", 0), ("/items/7/8", 0), ("//evil.example/x", 0)] {
        assert_eq!(description.of_path(path).len(), count, "{path}");
    }
}

#[test]
fn a_literal_path_is_found_before_a_template_that_matches_it() {
    let paid = json!({ "get": { "x-payment-info": { "price": "1" } } });
    let openapi = json!({ "paths": { "/a/{any}": paid, "/{x}/{y}": paid, "/a/free": { "get": {} } } });
    let origin = "http://a/".parse().expect("a URL");
    let found = OpenApiDescription::new(&openapi, &origin).of_path("/a/free");
    let paths: Vec<&str> = found.iter().map(|operation| operation.path.as_str()).collect();
    assert_eq!(paths, ["/a/free", "/a/{any}", "/{x}/{y}"]);
}

#[test]
fn a_reference_that_leads_to_itself_ends() {
    let openapi =
        json!({ "paths": { "/a": { "get": { "parameters": [{ "$ref": "#/x" }] } } }, "x": { "$ref": "#/x" } });
    let origin = "http://a/".parse().expect("a URL");
    assert_eq!(OpenApiDescription::new(&openapi, &origin).of_path("/a").len(), 1);
}

/// A path of many parameters multiplied a long example until the machine had no memory left.
#[test]
fn a_path_that_would_become_too_long_is_left_out() {
    let parameter = json!({ "name": "a", "in": "path", "example": "x".repeat(100_000) });
    let operation = json!({ "parameters": [parameter], "x-payment-info": { "price": {} } });
    let openapi = json!({ "paths": {
        format!("/{}", "{a}".repeat(60_000)): { "get": operation },
        format!("/{}", "{a}".repeat(1_000)): { "get": operation },
        "/one/{a}": { "get": operation },
    } });
    let origin = "http://a/".parse().expect("a URL");
    let (found, _) = OpenApiDescription::new(&openapi, &origin).paid(9);
    let paths: Vec<&str> = found.iter().map(|operation| operation.path.as_str()).collect();
    assert_eq!(paths, ["/one/{a}"]);
    assert!(found[0].url.as_str().len() <= 2_000);
}

/// Each of twenty thousand parameters had a copy of the whole description made.
#[test]
fn many_parameters_and_large_schemas_are_read_in_little_time() {
    let query =
        |name: String| json!({ "name": name, "in": "query", "required": true, "schema": { "$ref": "#/components/s" } });
    let parameters: Vec<Value> = (0..20_000).map(|number| query(format!("p{number}"))).collect();
    let texts: Object = (0..3_000).map(|n| (format!("k{n}"), json!({ "$ref": "#/components/long" }))).collect();
    let names: Vec<Value> = texts.keys().cloned().map(Value::from).collect();
    let operation = json!({
        "parameters": parameters, "x-payment-info": { "price": {} },
        "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/wide" } } } },
    });
    let openapi = json!({
        "paths": { "/a": { "get": operation } },
        "components": {
            "s": { "type": "object" }, "big": vec![[0; 3]; 100_000],
            "long": { "const": "x".repeat(1_000_000) },
            "wide": { "type": "object", "properties": texts, "required": names },
        },
    });
    let origin = "http://a/".parse().expect("a URL");
    let begun = Instant::now();
    let found = OpenApiDescription::new(&openapi, &origin).of_path("/a");
    assert!(begun.elapsed() < 2 * MOST_TIME, "{:?}", begun.elapsed());
    assert!(found.iter().all(|one| one.url.as_str().len() <= MOST_URL && one.body.len() <= MOST_BODY));
    assert!(found[0].url.as_str().contains("p99=") && !found[0].url.as_str().contains("p100="));
}
