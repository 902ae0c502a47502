//! Makes requests of values that fit an input schema, and of values that do not.

use bytes::Bytes;
use coinslot_plugin::{EndpointInfo, Segment};
use http::{HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{form, values};
use crate::json_text;
use crate::schema::{CheckFailure, Effort, Input, InputRefusal, InputSchema};

/// The most values within an input that are made wrong.
const MAX_PLACES: usize = 100;
/// The most values of a body that becomes a form.
const MAX_FIELDS: usize = 10_000;
/// The schema of the body in the schema of an input.
const BODY: &str = "/properties/body";
/// The methods of requests that have bodies.
const TAKE_BODIES: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];
/// The characters of a parameter of a path that are encoded: all but unreserved characters (RFC 3986, section 2.3).
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The characters that are encoded of a parameter that takes the rest of a path.
const REST: &AsciiSet = &PARAMETER.remove(b'/');

/// A request for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleRequest {
    pub method: Method,
    /// Path and query, encoded.
    pub target: String,
    pub media_type: Option<HeaderValue>,
    pub body: Vec<u8>,
    /// The value that it was made of: `path`, `query` and `body`, as far as they are declared.
    pub input: Value,
    params: Vec<(String, String)>,
    /// The value of the body as JSON, if the body is a form for its files alone. A schema compares this: only one that
    /// names the media type is about a form, and a plugin that takes files checks them itself.
    value: Option<Vec<u8>>,
}

/// A request that an input asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedRequest {
    /// Path and query, encoded.
    pub target: String,
    pub media_type: Option<HeaderValue>,
    pub body: Bytes,
}

/// A request that the schema of its endpoint forbids.
#[derive(Clone, Debug)]
pub struct ForbiddenRequest {
    pub request: ExampleRequest,
    pub refusal: InputRefusal,
}

impl ExampleRequest {
    /// A request with the first candidate that fits the schema, or with made-up parameters if there is none.
    pub fn of(endpoint: &EndpointInfo, input: Option<&InputSchema>) -> Result<Self, String> {
        Self::within(endpoint, input, Effort::Full)
    }

    /// Like [`Self::of`], in some milliseconds for each candidate: for what is made of each endpoint at load.
    pub fn quick(endpoint: &EndpointInfo, input: Option<&InputSchema>) -> Result<Self, String> {
        Self::within(endpoint, input, Effort::Little)
    }

    fn within(endpoint: &EndpointInfo, input: Option<&InputSchema>, effort: Effort) -> Result<Self, String> {
        let Some(schema) = &endpoint.input_schema else { return Self::with(endpoint, &json!({})) };
        let mut last = None;
        for value in values::candidates(schema) {
            let request = Self::with(endpoint, &value)?;
            match input.map_or(Ok(()), |input| request.check(input, effort)) {
                Ok(()) => return Ok(request),
                Err(CheckFailure::Refused(refusal)) => last = Some(refusal),
                Err(CheckFailure::TooComplex) => {}
            }
        }
        let why = last.map(|refusal| format!(" (at `{}`: {})", refusal.pointer, refusal.reason)).unwrap_or_default();
        Err(format!("no input that fits its schema could be made{why}"))
    }

    /// Requests that the schema forbids: an input that fits, with one place made wrong. None if nothing is forbidden
    /// that a request can have.
    pub fn forbidden(endpoint: &EndpointInfo, input: &InputSchema) -> Option<ForbiddenRequest> {
        let schema = endpoint.input_schema.as_ref()?;
        let fits =
            |value: &Value| Self::with(endpoint, value).is_ok_and(|request| request.check(input, Effort::Full).is_ok());
        let value = values::full_candidates(schema).find(fits)?;
        let original = Self::with(endpoint, &value).ok()?;
        wrong_values(&value).find_map(|wrong| {
            let request = Self::with(endpoint, &wrong).ok().filter(|request| *request != original)?;
            match request.check(input, Effort::Full) {
                // Without a payment a probe gets its challenge, whatever it lacks.
                Err(CheckFailure::Refused(refusal)) if !request.is_probe() => {
                    Some(ForbiddenRequest { request, refusal })
                }
                Ok(()) | Err(CheckFailure::Refused(_) | CheckFailure::TooComplex) => None,
            }
        })
    }

    /// The request that an input asks for, with nothing made up. `parts`: the input without its body, which is a text
    /// of JSON. Fails if a parameter of the path has no value.
    pub fn of_input(endpoint: &EndpointInfo, parts: &Value, body: Option<Bytes>) -> Result<AskedRequest, String> {
        for name in endpoint.path.segments().iter().filter_map(Segment::name) {
            let value = parts.pointer("/path").and_then(|path| path.get(name));
            if !matches!(value, Some(Value::String(_) | Value::Number(_) | Value::Bool(_))) {
                return Err(format!("`path` needs a value for `{name}`, a parameter of {}", endpoint.path));
            }
        }
        let target = Self::with(endpoint, parts)?.target;
        let (media_type, body) = body.map_or_else(|| Ok((None, Bytes::new())), |body| asked_body(endpoint, body))?;
        let media_type = media_type.and_then(|media| HeaderValue::from_str(&media).ok());
        Ok(AskedRequest { target, media_type, body })
    }

    /// The request of an input. A parameter of the path that it does not have is made up.
    fn with(endpoint: &EndpointInfo, input: &Value) -> Result<Self, String> {
        let (mut target, mut params) = (String::new(), Vec::new());
        for segment in endpoint.path.segments() {
            target.push('/');
            match segment {
                Segment::Literal(text) => target.push_str(text),
                Segment::Parameter(name) | Segment::Rest(name) => {
                    let value = input.pointer("/path").and_then(|path| path.get(name));
                    let value = value.map_or_else(|| "example".to_owned(), plain);
                    if value.is_empty() {
                        return Err(format!("the parameter `{name}` of its path has no text"));
                    }
                    let encoded = if matches!(segment, Segment::Rest(_)) { REST } else { PARAMETER };
                    target.extend(utf8_percent_encode(&value, encoded));
                    params.push((name.clone(), value));
                }
            }
        }
        let query = query(input.get("query").and_then(Value::as_object));
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        let (media_type, body) = match input.get("body") {
            Some(body) => body_of(endpoint, body),
            // Where nothing is said of the body, it may be a text or anything.
            None if Self::makes_up_body(endpoint) => body_of(endpoint, &json!("example")),
            None => (None, Vec::new()),
        };
        let media_type = media_type.and_then(|media| HeaderValue::from_str(&media).ok());
        let value = input.get("body").filter(|_| form::is_implied(endpoint, body_schema(endpoint)));
        let value = value.map(|value| value.to_string().into_bytes());
        let input = input.clone();
        Ok(Self { method: endpoint.method.clone(), target, media_type, body, input, params, value })
    }

    /// True if requests of this endpoint have a body of which its schema says nothing.
    pub fn makes_up_body(endpoint: &EndpointInfo) -> bool {
        TAKE_BODIES.contains(&endpoint.method) && body_schema(endpoint).is_none()
    }

    /// True if the body is sent as a form although its schema names no media type.
    pub(crate) fn is_form(endpoint: &EndpointInfo) -> bool {
        form::is_implied(endpoint, body_schema(endpoint))
    }

    /// The same request with its body as a form: the fields of its body, or a text and a file that are made up. None if
    /// the endpoint declares another body.
    pub fn as_form(&self, endpoint: &EndpointInfo) -> Option<Self> {
        if !Self::makes_up_body(endpoint) {
            return None;
        }
        let (media, body) = match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => form::multipart(&fields, None),
            Ok(_) | Err(_) => form::example(),
        };
        Some(Self { media_type: HeaderValue::from_str(&media?).ok(), body, ..self.clone() })
    }

    /// True if it has neither parameters of a path nor a query nor a body: it may only ask for the price.
    fn is_probe(&self) -> bool {
        self.params.is_empty() && self.body.is_empty() && !self.target.contains('?')
    }

    /// Checks it as the host does.
    fn check(&self, schema: &InputSchema, effort: Effort) -> Result<(), CheckFailure> {
        let query = self.target.split_once('?').map(|(_, query)| query);
        let json = HeaderValue::from_static("application/json");
        let (media_type, body) = match &self.value {
            Some(value) => (Some(&json), value),
            None => (self.media_type.as_ref(), &self.body),
        };
        schema.check(&Input { params: &self.params, query, media_type, body }, effort)
    }
}

/// Inputs that differ from this one in one place: without it, of another type, or out of bounds. A part of the request
/// that is missing as a whole comes last: the other mistakes say more.
fn wrong_values(value: &Value) -> impl Iterator<Item = Value> {
    let mut places = Vec::new();
    add_places(value, "", &mut places);
    places.sort_by_key(|place| usize::from(place.matches('/').count() < 2));
    places.truncate(MAX_PLACES);
    places.into_iter().flat_map(move |place| wrong_at(value, &place))
}

fn add_places(value: &Value, at: &str, places: &mut Vec<String>) {
    let below = |name: &str| format!("{at}/{}", crate::schema::escaped(name));
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (below(name), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, value)| (below(&i.to_string()), value)).collect(),
        _ => Vec::new(),
    };
    for (place, value) in inner {
        add_places(value, &place, places);
        places.push(place);
    }
}

fn wrong_at(value: &Value, place: &str) -> Vec<Value> {
    let (parent, name) = place.rsplit_once('/').unwrap_or_default();
    let name = crate::schema::unescaped(name);
    let mut without = value.clone();
    if let Some(Value::Object(fields)) = without.pointer_mut(parent) {
        fields.shift_remove(&name);
    }
    let others = [
        json!("no such value"),
        json!(-1_000_000_000_000_i64),
        json!(1_000_000_000_000_i64),
        json!(""),
        json!("e".repeat(10_000)),
        json!([]),
        json!({ "no-such-field": true }),
        Value::Null,
    ];
    let replaced = others.into_iter().filter_map(|other| {
        let mut changed = value.clone();
        *changed.pointer_mut(place)? = other;
        Some(changed)
    });
    std::iter::once(without).chain(replaced).filter(|changed| changed != value).collect()
}

fn query(fields: Option<&Map<String, Value>>) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields.into_iter().flatten() {
        let values = match value {
            Value::Array(items) => items.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            pairs.append_pair(name, &plain(value));
        }
    }
    pairs.finish()
}

/// The schema of the body of an endpoint.
fn body_schema(endpoint: &EndpointInfo) -> Option<&Value> {
    endpoint.input_schema.as_ref()?.pointer(BODY)
}

/// The media type and the bytes of a body: JSON, unless its schema names another media type or a file, or it is a text.
fn body_of(endpoint: &EndpointInfo, body: &Value) -> (Option<String>, Vec<u8>) {
    let schema = body_schema(endpoint);
    let media = schema.and_then(|schema| schema.get("contentMediaType")).and_then(Value::as_str);
    match (body, media) {
        (Value::Object(fields), Some(form::URLENCODED)) => (media.map(str::to_owned), query(Some(fields)).into_bytes()),
        (Value::Object(fields), Some(form::MULTIPART)) => form::multipart(fields, schema),
        (Value::Object(fields), _) if form::is_implied(endpoint, schema) => form::multipart(fields, schema),
        (Value::String(text), Some(media)) if media != "application/json" => {
            (Some(media.to_owned()), text.clone().into_bytes())
        }
        (Value::String(text), None) => (Some("text/plain; charset=utf-8".to_owned()), text.clone().into_bytes()),
        _ => (Some("application/json".to_owned()), body.to_string().into_bytes()),
    }
}

/// The media type and the bytes of a body, which is a text of JSON. It is built as a tree only if it becomes a form.
fn asked_body(endpoint: &EndpointInfo, body: Bytes) -> Result<(Option<String>, Bytes), String> {
    let wrong = |error: serde_json::Error| format!("`body` is no JSON: {error}");
    let schema = body_schema(endpoint);
    let media = schema.and_then(|schema| schema.get("contentMediaType")).and_then(Value::as_str);
    let takes_form =
        media == Some(form::URLENCODED) || media == Some(form::MULTIPART) || form::is_implied(endpoint, schema);
    let value = match body.first() {
        Some(b'"') => Value::String(serde_json::from_slice(&body).map_err(wrong)?),
        Some(b'{') if takes_form => {
            if json_text::size(&body).values > MAX_FIELDS {
                return Err(format!("`body` becomes a form, and has more than {MAX_FIELDS} values"));
            }
            serde_json::from_slice(&body).map_err(wrong)?
        }
        _ => return Ok((Some("application/json".to_owned()), body)),
    };
    let (media, bytes) = body_of(endpoint, &value);
    Ok((media, bytes.into()))
}

/// A value as the text that a URL or a form has for it.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::free_endpoint;
    use crate::schema::SchemaCompiler;

    fn endpoint(method: Method, path: &str, schema: Value) -> (EndpointInfo, InputSchema) {
        let endpoint = EndpointInfo {
            mime_type: "application/json".to_owned(),
            input_schema: Some(schema.clone()),
            ..free_endpoint(method, path)
        };
        let input = SchemaCompiler::run(|compiler| InputSchema::compile(compiler, &schema).expect("a schema").0);
        (endpoint, input.expect("a thread"))
    }

    #[test]
    fn an_input_becomes_path_query_and_body() {
        let schema = json!({ "properties": {
            "path": { "properties": { "who": { "type": "string", "examples": ["Ada & co"] } }, "required": ["who"] },
            "query": { "properties": { "n": { "type": "integer", "minimum": 3 }, "tag": { "type": "array",
                       "items": { "type": "string" }, "minItems": 2 } }, "required": ["n", "tag"] },
            "body": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
        }, "required": ["body"] });
        let schema_with_all = {
            let mut schema = schema;
            schema["required"] = json!(["path", "query", "body"]);
            schema
        };
        let (endpoint, input) = endpoint(Method::POST, "/say/{who}/{*rest}", schema_with_all);
        let request = ExampleRequest::of(&endpoint, Some(&input)).expect("a request");
        assert_eq!(request.target, "/say/Ada%20%26%20co/example?n=3&tag=example&tag=example");
        assert_eq!(request.body, br#"{"text":"example"}"#);
        let forbidden = ExampleRequest::forbidden(&endpoint, &input).expect("something is forbidden");
        assert!(!forbidden.refusal.pointer.is_empty(), "{forbidden:?}");
    }

    /// The host answered 400 to the form, because it takes one only where the schema names it.
    #[test]
    fn a_body_with_a_file_is_a_form_where_it_is_taken() {
        let body = |media: Value| {
            let mut body = json!({ "type": "object", "required": ["image"], "properties": {
                "image": { "type": "string", "format": "binary" }, "taken": { "type": "string", "format": "date" } } });
            if !media.is_null() {
                body["contentMediaType"] = media;
            }
            json!({ "properties": { "body": body }, "required": ["body"] })
        };
        let sent = |media: Value, extensions: &[(&str, &str)]| {
            let (mut endpoint, input) = endpoint(Method::POST, "/a", body(media));
            endpoint.extensions = extensions.iter().map(|(key, by)| ((*key).to_owned(), (*by).to_owned())).collect();
            let request = ExampleRequest::of(&endpoint, Some(&input)).expect("a request");
            let media = request.media_type.expect("a media type").to_str().expect("ASCII").to_owned();
            media.split(';').next().unwrap_or_default().to_owned()
        };
        assert_eq!(sent(Value::Null, &[]), "application/json");
        assert_eq!(sent(Value::Null, &[("input-check", "plugin")]), form::MULTIPART);
        assert_eq!(sent(json!(form::MULTIPART), &[]), form::MULTIPART);
        assert_eq!(sent(json!(form::URLENCODED), &[("input-check", "plugin")]), form::URLENCODED);
    }

    #[test]
    fn a_schema_that_forbids_nothing_has_no_forbidden_request() {
        let (endpoint, input) = endpoint(Method::GET, "/a", json!({ "properties": { "query": {} } }));
        assert!(ExampleRequest::forbidden(&endpoint, &input).is_none());
    }

    #[test]
    fn an_input_that_cannot_be_made_is_told_with_the_reason() {
        let schema = json!({ "properties": { "query": { "properties": { "a": { "not": { "type": "string" } } },
            "required": ["a"] } }, "required": ["query"] });
        let (endpoint, input) = endpoint(Method::GET, "/a", schema);
        let reason = ExampleRequest::of(&endpoint, Some(&input)).expect_err("no text fits");
        assert!(reason.contains("/query/a"), "{reason}");
    }
}
