//! Reads what an origin publishes about its endpoints: `/openapi.json`, `/.well-known/x402` and `/catalog.json`.

use bytes::Bytes;
use coinslot_base::text::first_chars;
use coinslot_x402::Object;
use http::{HeaderValue, Method};
use serde_json::{Value, json};
use url::Url;

use super::client::{Answer, DoctorRequest, Unanswered};
use crate::example::candidates;

/// The most operations of a description that are read.
const MOST_OPERATIONS: usize = 1_000;
/// The longest chain of references that is followed.
const MOST_REFERENCES: usize = 8;
/// The methods of operations. HEAD, OPTIONS and TRACE sell nothing.
const METHODS: [Method; 5] = [Method::POST, Method::GET, Method::PUT, Method::PATCH, Method::DELETE];

/// A document, or the reason why there is none.
pub(super) type Document = Result<Value, NoDocument>;

/// The documents of an origin.
#[derive(Clone, Debug)]
pub struct Documents {
    pub openapi: Document,
    pub well_known: Document,
    pub catalog: Document,
}

/// The reason why a document is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDocument {
    #[error("there is none")]
    Missing,
    #[error("the server answers {0}")]
    Status(u16),
    #[error("it is no JSON: {0}")]
    NotJson(String),
    #[error("it has more than 8 MiB, or breaks off")]
    NotWhole,
    #[error("{0}")]
    Unanswered(#[from] Unanswered),
}

/// An operation of a description that may cost something.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedOperation {
    pub method: Method,
    /// The path template, with its braces.
    pub path: String,
    /// Address, body and media type of a request that fits.
    pub url: Url,
    pub media_type: Option<String>,
    pub body: Bytes,
    pub has_input_schema: bool,
    pub has_output_schema: bool,
    pub describes_402: bool,
    /// `x-payment-info`.
    pub payment_info: Option<Value>,
}

impl NoDocument {
    /// Reads a document out of an answer.
    pub(super) fn or_json(answer: Result<Answer, Unanswered>) -> Document {
        let answer = answer?;
        match answer.status {
            200 => {}
            404 | 410 => return Err(Self::Missing),
            status => return Err(Self::Status(status)),
        }
        if !answer.is_whole {
            return Err(Self::NotWhole);
        }
        serde_json::from_slice(&answer.body).map_err(|error| Self::NotJson(error.to_string()))
    }
}

impl DescribedOperation {
    /// The request of the operation.
    pub fn request(&self) -> DoctorRequest {
        let mut request = DoctorRequest::bare(self.method.clone(), self.url.clone());
        let media_type = self.media_type.as_ref().and_then(|media| HeaderValue::from_str(media).ok());
        if let Some(media_type) = media_type {
            request.headers.insert(http::header::CONTENT_TYPE, media_type);
            request.body = self.body.clone();
        }
        request
    }

    /// True if the template matches the path of a request.
    pub(super) fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        let mut template = self.path.split('/');
        loop {
            match (template.next(), segments.next()) {
                (None, None) => return true,
                (Some(part), Some(_)) if part.starts_with('{') && part.ends_with('}') => {
                    if part.contains('*') {
                        return true;
                    }
                }
                (Some(part), Some(segment)) if part == segment => {}
                _ => return false,
            }
        }
    }
}

/// The operations of a description, paid or not, in the order of the document.
pub fn operations(openapi: &Value, origin: &Url) -> Vec<DescribedOperation> {
    let paths = openapi.get("paths").and_then(Value::as_object);
    let mut found = Vec::new();
    for (path, item) in paths.into_iter().flatten() {
        for method in METHODS {
            let Some(operation) = item.get(method.as_str().to_ascii_lowercase()) else { continue };
            if found.len() == MOST_OPERATIONS {
                return found;
            }
            found.extend(operation_of(openapi, origin, path, item, &method, operation));
        }
    }
    found
}

fn operation_of(
    openapi: &Value,
    origin: &Url,
    path: &str,
    item: &Value,
    method: &Method,
    operation: &Value,
) -> Option<DescribedOperation> {
    let lists = [item.get("parameters"), operation.get("parameters")];
    let parameters: Vec<&Value> =
        lists.into_iter().flatten().filter_map(Value::as_array).flatten().map(|it| resolved(openapi, it)).collect();
    let mut target = path.to_owned();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for parameter in &parameters {
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let example = example_of(openapi, parameter);
        match parameter.get("in").and_then(Value::as_str) {
            Some("path") => {
                let value =
                    example.as_ref().map(plain).filter(|text| !text.is_empty()).unwrap_or_else(|| "example".to_owned());
                let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                target = target.replace(&format!("{{{name}}}"), &encoded.replace('+', "%20"));
            }
            Some("query") if parameter.get("required") == Some(&Value::Bool(true)) => {
                query.append_pair(name, &example.as_ref().map(plain).unwrap_or_default());
            }
            _ => {}
        }
    }
    let mut url = origin.join(&target).ok().filter(|url| url.origin() == origin.origin())?;
    let query = query.finish();
    url.set_query((!query.is_empty()).then_some(&query));
    let content = operation
        .get("requestBody")
        .map(|body| resolved(openapi, body))
        .and_then(|body| body.get("content")?.as_object());
    let (media_type, body) = content.and_then(|content| body_of(openapi, content)).unzip();
    let responses = operation.get("responses").and_then(Value::as_object);
    let output = responses.into_iter().flatten().filter(|(status, _)| status.starts_with('2'));
    let has_output_schema = output.into_iter().any(|(_, response)| {
        let content = resolved(openapi, response).get("content").and_then(Value::as_object);
        content.is_some_and(|content| content.values().any(|media| media.get("schema").is_some()))
    });
    Some(DescribedOperation {
        method: method.clone(),
        path: first_chars(path, 2_000).to_owned(),
        url,
        media_type,
        body: body.unwrap_or_default(),
        has_input_schema: !parameters.is_empty() || content.is_some(),
        has_output_schema,
        describes_402: responses.is_some_and(|responses| responses.contains_key("402")),
        payment_info: operation.get("x-payment-info").filter(|info| info.is_object()).cloned(),
    })
}

/// A body that fits: the example of JSON, or one of another type that is a text.
fn body_of(openapi: &Value, content: &Object) -> Option<(String, Bytes)> {
    let is_json = |media: &str| media.contains("json");
    let (media, described) = content.iter().find(|(media, _)| is_json(media)).or_else(|| content.iter().next())?;
    let example = example_of(openapi, described);
    let body = match (is_json(media), example) {
        (true, Some(example)) => example.to_string().into(),
        (true, None) => Bytes::from_static(b"{}"),
        (false, Some(Value::String(text))) => text.into(),
        (false, Some(Value::Object(fields))) if media == "application/x-www-form-urlencoded" => {
            let pairs = fields.iter().map(|(name, value)| (name.as_str(), plain(value)));
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into()
        }
        (false, Some(_) | None) => Bytes::from_static(b"example"),
    };
    Some((media.clone(), body))
}

/// The example of a parameter or a media type: the one that is written, or one that is made of its schema.
fn example_of(openapi: &Value, described: &Value) -> Option<Value> {
    let examples = described.get("examples").and_then(Value::as_object);
    let first = examples.and_then(|examples| resolved(openapi, examples.values().next()?).get("value"));
    if let Some(example) = described.get("example").or(first) {
        return Some(example.clone());
    }
    let schema = resolved(openapi, described.get("schema")?);
    let named =
        schema.get("example").or_else(|| schema.get("default")).or_else(|| schema.get("examples")?.as_array()?.first());
    if let Some(example) = named {
        return Some(example.clone());
    }
    // References lead from the root of the document.
    let whole = json!({
        "type": "object", "properties": { "value": schema }, "required": ["value"],
        "components": openapi.get("components").cloned().unwrap_or_default(),
    });
    candidates(&whole).next()?.get("value").cloned()
}

/// Follows references within a document.
pub(super) fn resolved<'d>(openapi: &'d Value, mut value: &'d Value) -> &'d Value {
    for _ in 0..MOST_REFERENCES {
        let target = value.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
        match target.and_then(|path| openapi.pointer(path)) {
            Some(target) => value = target,
            None => return value,
        }
    }
    value
}

/// A value as it stands in a URL.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
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
        let found = operations(&openapi, &origin);
        assert_eq!(found.len(), 1, "{found:?}");
        let request = found[0].request();
        assert_eq!(request.url.as_str(), "https://a.example/items/a%2Fb?q=a+b");
        assert_eq!(request.headers["content-type"], "application/json");
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert!(body["n"].as_i64().is_some_and(|n| n >= 3), "{body}");
        assert!(found[0].describes_402 && found[0].has_input_schema && !found[0].has_output_schema);
        assert!(found[0].matches("/items/7") && !found[0].matches("/items") && !found[0].matches("/items/7/8"));
    }

    #[test]
    fn a_reference_that_leads_to_itself_ends() {
        let openapi =
            json!({ "paths": { "/a": { "get": { "parameters": [{ "$ref": "#/x" }] } } }, "x": { "$ref": "#/x" } });
        assert_eq!(operations(&openapi, &"http://a/".parse().expect("a URL")).len(), 1);
    }
}
