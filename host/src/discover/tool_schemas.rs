//! Makes the schemas of a tool: of its arguments, and of the answers that it promises.

use coinslot_plugin::{EndpointInfo, Segment};
use rmcp::model::JsonObject;
use serde_json::{Map, Value, json};

use super::schema_texts::plain_texts;
use crate::example::ExampleRequest;

/// The dialect of JSON Schema that MCP assumes where a schema names none.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The declared schema, whose properties are the parts of a request: `path`, `query` and `body`. What it leaves out and
/// a request needs is added.
pub(super) fn input_schema(info: &EndpointInfo) -> JsonObject {
    let declared = info.input_schema.as_ref().and_then(Value::as_object).cloned();
    let is_declared = declared.is_some();
    let mut schema = rooted(declared.unwrap_or_default());
    let mut added = Map::new();
    let params: Vec<&str> = info.path.segments().iter().filter_map(Segment::name).collect();
    if !params.is_empty() {
        let texts: Map<String, Value> =
            params.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
        added.insert("path".to_owned(), json!({ "type": "object", "properties": texts, "required": params }));
    }
    if !is_declared {
        let about = "the parameters of the query";
        added.insert("query".to_owned(), json!({ "type": "object", "description": about }));
    }
    if ExampleRequest::makes_up_body(info) {
        let about = "the body: a text is sent as plain text, and every other value as JSON";
        added.insert("body".to_owned(), json!({ "description": about }));
    }
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        for (name, value) in added {
            properties.entry(name).or_insert(value);
        }
        if let Some(body) = properties.get_mut("body").filter(|body| is_binary(body)) {
            *body = as_base64(body);
        }
    }
    if !params.is_empty() {
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(required) = required
            && !required.iter().any(|name| name == "path")
        {
            required.push("path".into());
        }
    }
    schema
}

/// The declared schema, if all that it describes are objects: MCP has no place for other structured answers.
///
/// The result of a call that is not paid for is structured, too, and clients check every structure by this schema. So that
/// of a paid tool allows the payment requirements.
pub(super) fn output_schema(info: &EndpointInfo, is_paid: bool) -> Option<JsonObject> {
    let declared = info.output_schema.as_ref()?;
    if declared.get("type").and_then(Value::as_str) != Some("object") {
        return None;
    }
    let mut answer = plain_texts(declared);
    leave_formats_out(&mut answer);
    let mut answer = rooted(answer.as_object()?.clone());
    if !is_paid {
        return Some(answer);
    }
    // One level below, references to the root would lead elsewhere.
    if answer.contains_key("$id") || refers_to_root(declared) {
        return None;
    }
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), "object".into());
    for definitions in ["$schema", "$defs", "definitions"] {
        if let Some(definitions_of) = answer.shift_remove(definitions) {
            schema.insert(definitions.to_owned(), definitions_of);
        }
    }
    let required = json!({ "title": "Payment requirements (x402)", "required": ["x402Version", "accepts"] });
    schema.insert("anyOf".to_owned(), json!([answer, required]));
    Some(schema)
}

/// Removes the formats of texts and numbers. Some clients check those that the host takes for notes, and throw away an
/// answer that is paid for; and they complain about each that they do not know, such as `uint`.
fn leave_formats_out(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            if keywords.get("format").is_some_and(Value::is_string) {
                keywords.shift_remove("format");
            }
            // What is below the others is data, and no schema.
            let is_data = |word: &str| ["const", "default", "enum", "example", "examples"].contains(&word);
            let inner = keywords.iter_mut().filter(|(word, _)| !is_data(word));
            inner.for_each(|(_, value)| leave_formats_out(value));
        }
        Value::Array(items) => items.iter_mut().for_each(leave_formats_out),
        _ => {}
    }
}

/// True if a schema refers to another part of itself than its definitions.
fn refers_to_root(schema: &Value) -> bool {
    match schema {
        Value::Object(keywords) => {
            let targets =
                ["$ref", "$dynamicRef", "$recursiveRef"].iter().filter_map(|word| keywords.get(*word)?.as_str());
            targets.into_iter().any(|target| !is_definition(target)) || keywords.values().any(refers_to_root)
        }
        Value::Array(items) => items.iter().any(refers_to_root),
        _ => false,
    }
}

fn is_definition(target: &str) -> bool {
    ["#/$defs/", "#/definitions/"].iter().any(|start| target.starts_with(start))
}

/// A schema of objects, as MCP has it: without the name of the dialect that it assumes, which some clients do not know.
fn rooted(mut schema: JsonObject) -> JsonObject {
    let names_dialect =
        schema.get("$schema").and_then(Value::as_str).is_some_and(|dialect| dialect.trim_end_matches('#') == DIALECT);
    if names_dialect {
        schema.shift_remove("$schema");
    }
    schema.entry("type").or_insert_with(|| "object".into());
    schema
}

pub(super) fn body_schema(info: &EndpointInfo) -> Option<&Value> {
    info.input_schema.as_ref()?.pointer("/properties/body")
}

/// True for the schema of a body that is bytes: a text cannot hold them.
pub(super) fn is_binary(schema: &Value) -> bool {
    let text = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
    let media = text("contentMediaType").unwrap_or_default();
    let is_bytes = ["image/", "audio/", "video/", "font/"].iter().any(|kind| media.starts_with(kind))
        || ["application/octet-stream", "application/pdf", "application/zip", "application/wasm"].contains(&media);
    text("type") == Some("string") && (text("format") == Some("binary") || is_bytes)
}

fn as_base64(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(keywords) = &mut schema {
        keywords.shift_remove("format");
        keywords.insert("contentEncoding".to_owned(), "base64".into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::endpoint::testing::free_endpoint;

    fn info(method: Method, path: &str, input: Option<Value>) -> EndpointInfo {
        EndpointInfo { input_schema: input, ..free_endpoint(method, path) }
    }

    #[test]
    fn an_input_is_what_is_declared_and_what_a_request_needs() {
        let bare = Value::from(input_schema(&info(Method::POST, "/a/{id}/{*rest}", None)));
        assert_eq!(bare["required"], json!(["path"]));
        assert_eq!(bare["properties"]["path"]["required"], json!(["id", "rest"]));
        assert!(bare["properties"]["query"].is_object() && bare["properties"]["body"].is_object());
        let declared = json!({ "$schema": DIALECT, "$defs": { "n": { "type": "integer" } }, "required": ["query"],
            "properties": { "query": { "properties": { "n": { "$ref": "#/$defs/n" } } } } });
        let kept = Value::from(input_schema(&info(Method::GET, "/a/{id}", Some(declared.clone()))));
        assert_eq!(
            (&kept["$defs"], &kept["properties"]["query"]),
            (&declared["$defs"], &declared["properties"]["query"])
        );
        assert_eq!((&kept["required"], &kept["type"]), (&json!(["query", "path"]), &json!("object")));
        assert!(kept.get("$schema").is_none() && kept["properties"].get("body").is_none());
        let image = json!({ "properties": { "body": { "type": "string", "contentMediaType": "image/png" } } });
        let taken = Value::from(input_schema(&info(Method::PUT, "/a", Some(image))));
        assert_eq!(taken["properties"]["body"]["contentEncoding"], "base64");
    }

    #[test]
    fn an_output_schema_is_one_of_objects() {
        let of = |schema: Value, is_paid: bool| {
            let info = EndpointInfo { output_schema: Some(schema), ..info(Method::GET, "/", None) };
            output_schema(&info, is_paid).map(Value::from)
        };
        let object = json!({ "type": "object", "properties": { "n": { "$ref": "#/$defs/n" } }, "$defs": { "n": {} } });
        assert_eq!(of(object.clone(), false), Some(object.clone()));
        for other in
            [json!({ "type": "array" }), json!({ "type": ["object", "null"] }), json!({}), json!({ "$ref": "#/x" })]
        {
            assert!(of(other.clone(), false).is_none(), "{other}");
        }
        let paid = of(object, true).expect("a schema");
        assert_eq!((&paid["type"], &paid["$defs"]), (&json!("object"), &json!({ "n": {} })));
        assert_eq!(paid["anyOf"][0]["properties"]["n"]["$ref"], "#/$defs/n");
        assert_eq!(paid["anyOf"][1]["required"], json!(["x402Version", "accepts"]));
        let counted = json!({ "type": "object", "properties": { "format": { "type": "integer", "format": "uint" } } });
        let plain = of(counted, false).expect("a schema");
        assert_eq!(plain["properties"], json!({ "format": { "type": "integer" } }));
        let tree = json!({ "type": "object", "properties": { "child": { "$ref": "#" } } });
        assert!(of(tree.clone(), true).is_none() && of(tree, false).is_some());
    }
}
