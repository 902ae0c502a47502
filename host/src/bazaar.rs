//! Writes the declaration of an endpoint for facilitators that list what is sold.
//!
//! Source: the extension `bazaar` of x402 version 2, and `outputSchema` of version 1, as @x402/extensions 2.27 writes and
//! reads them. A directory wants to read there what goes in and what comes out, so every form has at least a place for
//! both.

use coinslot_plugin::{EndpointInfo, Segment};
use coinslot_x402::Object;
use coinslot_x402::bazaar::Bazaar;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::example::ExampleRequest;
use crate::schema::{DescribedField, DescribedInput, PlacedSchema, describe_input, essence, without_annotations};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The most bytes of `outputSchema`, which stands in the body of each challenge for each network of version 1.
const MAX_OUTPUT_SCHEMA: usize = 8 << 10;

/// The characters of literals that `routeTemplate` encodes: it may have unreserved characters (RFC 3986, section 2.3),
/// and colons.
const ROUTE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The parts of an extension that a form has.
#[derive(Clone, Copy)]
struct Parts {
    examples: bool,
    output: bool,
    annotations: bool,
    schema: bool,
}

/// The forms of an extension, each without one more thing: examples, what comes out, descriptions, what goes in.
const FORMS: [Parts; 5] = [
    Parts { examples: true, output: true, annotations: true, schema: true },
    Parts { examples: false, output: true, annotations: true, schema: true },
    Parts { examples: false, output: false, annotations: true, schema: true },
    Parts { examples: false, output: false, annotations: false, schema: true },
    Parts { examples: false, output: false, annotations: false, schema: false },
];

/// Declares an endpoint, with a request for it if there is one.
pub(crate) fn declare(endpoint: &EndpointInfo, example: Option<&ExampleRequest>) -> Bazaar {
    let forms = FORMS.iter().map(|parts| extension(endpoint, example, *parts)).collect();
    Bazaar::new(forms, output_schema(endpoint))
}

/// The extension of version 2.
fn extension(endpoint: &EndpointInfo, example: Option<&ExampleRequest>, parts: Parts) -> Value {
    let declared = |schema: &Option<Value>, wanted: bool| {
        let schema = schema.as_ref().filter(|_| wanted && parts.schema)?;
        Some(if parts.annotations { schema.clone() } else { without_annotations(schema) })
    };
    let input = declared(&endpoint.input_schema, true).and_then(|schema| describe_input(&schema, "#/$defs/input"));
    let output = declared(&endpoint.output_schema, parts.output);
    let output = output.and_then(|schema| PlacedSchema::new(&schema, "#/$defs/output"));
    let mut definitions = Map::new();
    if let Some(whole) = input.as_ref().and_then(|input| input.definitions.clone()) {
        definitions.insert("input".to_owned(), whole);
    }
    let output = output.map_or_else(
        || json!({}),
        |placed| {
            if placed.refers {
                definitions.insert("output".to_owned(), placed.schema.clone());
            }
            placed.schema
        },
    );
    let mut schema = json!({ "$schema": DIALECT, "type": "object", "properties": {
        "input": input_properties(endpoint, input.as_ref(), example.filter(|_| parts.examples)),
        "output": { "type": "object", "properties": { "type": { "type": "string" }, "example": output } },
    }, "required": ["input"] });
    if !definitions.is_empty() {
        schema["$defs"] = definitions.into();
    }
    let mut extension = json!({ "info": info(endpoint, example.filter(|_| parts.examples), parts.output) });
    if endpoint.path.has_parameters() {
        extension["routeTemplate"] = route_template(endpoint).into();
    }
    extension["schema"] = schema;
    extension
}

/// A request and its answer.
fn info(endpoint: &EndpointInfo, example: Option<&ExampleRequest>, with_output: bool) -> Value {
    let mut input = json!({ "type": "http", "method": endpoint.method.as_str() });
    if let Some(query) = example.and_then(|example| example.input.get("query")) {
        input["queryParams"] = query.clone();
    }
    if has_body(endpoint) {
        input["bodyType"] = body_type(endpoint, example).into();
        if let Some(body) = example.and_then(|example| example.input.get("body")) {
            input["body"] = body.clone();
        }
    }
    let mut info = json!({ "input": input });
    if with_output {
        let answer = endpoint.output_schema.as_ref().and_then(|schema| schema.get("examples")?.get(0).cloned());
        info["output"] = json!({ "type": output_type(&endpoint.mime_type) });
        if let Some(answer) = answer.filter(|_| example.is_some()) {
            info["output"]["example"] = answer;
        }
    }
    info
}

/// The schema of `info.input`.
fn input_properties(
    endpoint: &EndpointInfo,
    input: Option<&DescribedInput>,
    example: Option<&ExampleRequest>,
) -> Value {
    let method = endpoint.method.as_str();
    let mut fields = json!({ "type": { "const": "http" }, "method": { "enum": [method] } });
    let mut required = vec!["type", "method"];
    let query = input.map(|input| &input.query[..]).unwrap_or_default();
    if !query.is_empty() || !has_body(endpoint) {
        fields["queryParams"] = object_of(query);
    }
    if has_body(endpoint) {
        fields["bodyType"] = json!({ "enum": ["json", "form-data", "text"] });
        fields["body"] =
            input.and_then(|input| input.body.as_ref()).map_or_else(|| json!({}), |body| body.schema.clone());
        required.push("bodyType");
    }
    if endpoint.path.has_parameters() {
        fields["pathParams"] = json!({ "type": "object" });
    }
    // What the example shows is what a request needs.
    let shown = |part: &str| example.is_some_and(|example| example.input.get(part).is_some());
    required.extend(["body"].into_iter().filter(|part| has_body(endpoint) && shown(part)));
    json!({ "type": "object", "properties": fields, "required": required })
}

/// The schema of an object with these fields.
fn object_of(fields: &[DescribedField]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.clone(), field.schema.clone())).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.is_required).map(|field| &*field.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// `outputSchema` of version 1. None: it would be too large.
fn output_schema(endpoint: &EndpointInfo) -> Option<Object> {
    let described = endpoint.input_schema.as_ref().and_then(|schema| describe_input(schema, "#"));
    let described = described.unwrap_or_default();
    let mut input = json!({ "type": "http", "method": endpoint.method.as_str(), "discoverable": true });
    if !described.query.is_empty() {
        input["queryParams"] = fields_of(&described.query);
    }
    if has_body(endpoint) {
        let body = described.body.as_ref().map(|body| &body.schema);
        input["bodyType"] = body_type(endpoint, None).into();
        input["bodyFields"] = body.and_then(|body| body.get("properties").cloned()).unwrap_or_else(|| json!({}));
    }
    let output = endpoint.output_schema.clone().unwrap_or_else(|| json!({ "type": output_type(&endpoint.mime_type) }));
    let schema = Object::from_iter([("input".to_owned(), input), ("output".to_owned(), output)]);
    (serde_json::to_vec(&schema).is_ok_and(|json| json.len() <= MAX_OUTPUT_SCHEMA)).then_some(schema)
}

/// Fields by name, each with its schema and whether it is required.
fn fields_of(fields: &[DescribedField]) -> Value {
    let field = |field: &DescribedField| {
        let mut schema = field.schema.as_object().cloned().unwrap_or_default();
        schema.insert("required".to_owned(), field.is_required.into());
        (field.name.clone(), Value::from(schema))
    };
    fields.iter().map(field).collect::<Map<_, _>>().into()
}

/// True if requests have a body, by their method.
fn has_body(endpoint: &EndpointInfo) -> bool {
    matches!(endpoint.method.as_str(), "POST" | "PUT" | "PATCH")
}

/// The kind of the body, in the three words that the extension has.
fn body_type(endpoint: &EndpointInfo, example: Option<&ExampleRequest>) -> &'static str {
    let sent = example.and_then(|example| Some(example.media_type.as_ref()?.to_str().ok()?.to_owned()));
    let named = || endpoint.input_schema.as_ref()?.pointer("/properties/body/contentMediaType")?.as_str();
    let media = sent.or_else(|| named().map(str::to_owned)).map(|media| essence(&media));
    match media.as_deref() {
        Some("multipart/form-data" | "application/x-www-form-urlencoded") => "form-data",
        None => "json",
        Some(media) if media == "application/json" || media.ends_with("+json") => "json",
        Some(_) => "text",
    }
}

fn output_type(mime_type: &str) -> &'static str {
    match essence(mime_type) {
        media if media == "application/json" || media.ends_with("+json") => "json",
        media if media.starts_with("text/") => "text",
        _ => "binary",
    }
}

/// The path template in the notation of the extension: `/items/:id`.
fn route_template(endpoint: &EndpointInfo) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Parameter(name) | Segment::Rest(name) => format!("/:{name}"),
        Segment::Literal(text) => format!("/{}", utf8_percent_encode(text, ROUTE)),
    };
    endpoint.path.segments().iter().map(segment).collect()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::endpoint::testing::free_endpoint;

    fn endpoint(method: Method, path: &str, input: Value, output: Value) -> EndpointInfo {
        let schema = |schema: Value| (!schema.is_null()).then_some(schema);
        EndpointInfo {
            mime_type: "application/json".to_owned(),
            input_schema: schema(input),
            output_schema: schema(output),
            ..free_endpoint(method, path)
        }
    }

    /// The forms of an endpoint, of which each has to fit its own schema, as facilitators check.
    fn forms(endpoint: &EndpointInfo) -> Vec<Value> {
        let example = ExampleRequest::quick(endpoint, None).expect("a request");
        let forms: Vec<Value> = FORMS.iter().map(|parts| extension(endpoint, Some(&example), *parts)).collect();
        let mut lengths: Vec<usize> = forms.iter().map(|form| form.to_string().len()).collect();
        for form in &forms {
            let mut info = form["info"].clone();
            if endpoint.path.has_parameters() {
                info["input"]["pathParams"] = json!({ "who": "Ada" });
            }
            let validator = jsonschema::draft202012::new(&form["schema"]).expect("a schema");
            let faults: Vec<String> = validator.iter_errors(&info).map(|error| error.to_string()).collect();
            assert!(faults.is_empty(), "{faults:?}\n{form:#}");
            let properties = &form["schema"]["properties"];
            let input = &properties["input"]["properties"];
            assert!(input["body"].is_object() || input["queryParams"].is_object(), "{form:#}");
            assert!(properties["output"]["properties"]["example"].is_object(), "{form:#}");
        }
        lengths.dedup();
        assert!(lengths.is_sorted_by(|one, other| one >= other), "{lengths:?}");
        forms
    }

    #[test]
    fn a_query_and_a_path_are_declared_with_an_example() {
        let input = json!({ "properties": {
            "path": { "properties": { "who": { "type": "string" } } },
            "query": { "properties": { "n": { "$ref": "#/$defs/Count" } }, "required": ["n"] },
        }, "required": ["query"], "$defs": { "Count": { "type": "integer", "minimum": 3, "description": "How many." } } });
        let output = json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/A" } },
            "$defs": { "A": { "type": "string" } }, "examples": [{ "a": "x" }] });
        let all = forms(&endpoint(Method::GET, "/say/{who}/by$/{*rest}", input, output));
        assert_eq!(all[0]["routeTemplate"], "/say/:who/by%24/:rest");
        assert_eq!(all[0]["info"]["input"]["queryParams"], json!({ "n": 3 }));
        assert_eq!(all[0]["info"]["output"], json!({ "type": "json", "example": { "a": "x" } }));
        assert_eq!(all[1]["info"]["output"], json!({ "type": "json" }));
        assert_eq!(all[1]["info"]["input"].get("queryParams"), None);
        assert!(all[2].to_string().contains("How many.") && !all[3].to_string().contains("How many."));
        assert!(all[3].to_string().contains("minimum") && !all[4].to_string().contains("minimum"));
    }

    #[test]
    fn a_body_is_declared_by_its_kind() {
        for (body, kind) in [
            (json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] }), "json"),
            (json!({ "type": "object", "contentMediaType": "multipart/form-data" }), "form-data"),
            (json!({ "type": "string", "contentMediaType": "text/csv" }), "text"),
        ] {
            let input = json!({ "properties": { "body": body }, "required": ["body"] });
            let endpoint = endpoint(Method::POST, "/a", input, Value::Null);
            let all = forms(&endpoint);
            assert_eq!(all[0]["info"]["input"]["bodyType"], kind);
            let legacy = output_schema(&endpoint).expect("it is short");
            assert_eq!(legacy["input"]["bodyType"], kind);
        }
        forms(&endpoint(Method::POST, "/b", Value::Null, Value::Null));
        forms(&endpoint(Method::DELETE, "/c", Value::Null, Value::Null));
    }

    #[test]
    fn a_large_schema_is_left_out_of_the_bodies_of_challenges() {
        let output = json!({ "description": "x".repeat(9_000) });
        assert_eq!(output_schema(&endpoint(Method::GET, "/a", Value::Null, output)), None);
    }
}
