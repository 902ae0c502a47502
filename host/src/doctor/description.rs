//! Reads the operations of a description in OpenAPI, and makes a request for each.
//!
//! The description may be hostile: only operations that are needed are read, each within bounds, and all within a time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coinslot_base::text::first_chars;
use coinslot_x402::Object;
use http::{HeaderValue, Method};
use serde_json::Value;
use url::Url;

use super::client::DoctorRequest;
use crate::example::value_within;

#[cfg(test)]
mod tests;

/// The most operations of one path that are read.
const MOST_OF_PATH: usize = 20;
/// The most parameters, and the most good answers, of one operation.
const MOST_PARAMETERS: usize = 100;
/// The most characters of an example in a URL, and the most bytes of a URL and of a body that are made of examples.
const MOST_EXAMPLE: usize = 1_000;
const MOST_URL: usize = 8_000;
const MOST_BODY: usize = 256 << 10;
/// The most characters of a name, of a media type and of a reference.
const MOST_NAME: usize = 200;
/// The time for one look at a description.
const MOST_TIME: Duration = Duration::from_secs(3);
/// The longest chain of references that is followed.
const MOST_REFERENCES: usize = 8;
/// The methods of operations. HEAD, OPTIONS and TRACE sell nothing.
static METHODS: [Method; 5] = [Method::POST, Method::GET, Method::PUT, Method::PATCH, Method::DELETE];

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
}

/// The operations of a description, which is read once and within a time.
#[derive(Clone, Copy, Debug)]
pub struct OpenApiDescription<'d> {
    openapi: &'d Value,
    origin: &'d Url,
    /// Operations that are read later are left out.
    until: Instant,
}

/// An operation where the description has it.
#[derive(Clone, Copy, Debug)]
struct OperationPlace<'d> {
    path: &'d str,
    item: &'d Value,
    method: &'static Method,
    operation: &'d Value,
}

impl<'d> OpenApiDescription<'d> {
    pub fn new(openapi: &'d Value, origin: &'d Url) -> Self {
        Self { openapi, origin, until: Instant::now() + MOST_TIME }
    }

    /// The operations whose template matches the path of a request, paid or not: those with the fewest parameters first,
    /// as routers choose.
    pub fn of_path(&self, path: &str) -> Vec<DescribedOperation> {
        let mut places: Vec<OperationPlace<'d>> = self.places().filter(|place| matches(place.path, path)).collect();
        places.sort_by_key(|place| place.path.matches('{').count());
        places.iter().take(MOST_OF_PATH).filter_map(|place| self.read(place)).collect()
    }

    /// The first operations that cost something, and the number of all of them. What is described as free asks for no
    /// money.
    pub fn paid(&self, most: usize) -> (Vec<DescribedOperation>, usize) {
        let is_paid = |place: &OperationPlace<'d>| payment_info(place.operation).is_some();
        let count = self.places().filter(is_paid).count();
        (self.places().filter(is_paid).filter_map(|place| self.read(&place)).take(most).collect(), count)
    }

    /// The names of the first operations: method and path.
    pub fn names(&self, most: usize) -> Vec<String> {
        let name = |place: OperationPlace<'d>| format!("{} {}", place.method, first_chars(place.path, MOST_NAME));
        self.places().take(most).map(name).collect()
    }

    fn places(&self) -> impl Iterator<Item = OperationPlace<'d>> {
        let paths = self.openapi.get("paths").and_then(Value::as_object);
        let places = paths.into_iter().flatten().flat_map(|(path, item)| {
            METHODS.iter().filter_map(move |method| {
                let operation = item.get(method.as_str().to_ascii_lowercase())?;
                Some(OperationPlace { path, item, method, operation })
            })
        });
        places.filter(|place| place.path.len() <= MOST_URL).take_while(|_| Instant::now() < self.until)
    }

    /// Reads an operation, with a request that fits. None if there is no such request to this origin, or no time.
    fn read(&self, place: &OperationPlace<'d>) -> Option<DescribedOperation> {
        let OperationPlace { path, item, method, operation } = *place;
        let lists = [item.get("parameters"), operation.get("parameters")];
        let listed = lists.into_iter().flatten().filter_map(Value::as_array).flatten().take(MOST_PARAMETERS);
        let mut in_path = HashMap::new();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let mut has_parameters = false;
        for parameter in listed {
            if Instant::now() >= self.until {
                return None;
            }
            has_parameters = true;
            let parameter = resolved(self.openapi, parameter);
            let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
            let example = || self.example_of(parameter).map(|example| plain(&example)).unwrap_or_default();
            match parameter.get("in").and_then(Value::as_str) {
                Some("path") => drop(in_path.insert(name, example())),
                Some("query") if parameter.get("required") == Some(&Value::Bool(true)) => {
                    query.append_pair(first_chars(name, MOST_NAME), &example());
                }
                _ => {}
            }
        }
        let target = filled(path, &in_path)?;
        let mut url = self.origin.join(&target).ok().filter(|url| url.origin() == self.origin.origin())?;
        let query = query.finish();
        url.set_query((!query.is_empty()).then_some(&query));
        if url.as_str().len() > MOST_URL {
            return None;
        }
        let content = operation.get("requestBody").map(|body| resolved(self.openapi, body));
        let content = content.and_then(|body| body.get("content")?.as_object());
        let (media_type, body) = content.and_then(|content| self.body_of(content)).unzip();
        let responses = operation.get("responses").and_then(Value::as_object);
        Some(DescribedOperation {
            method: method.clone(),
            path: path.to_owned(),
            url,
            media_type,
            body: body.unwrap_or_default(),
            has_input_schema: has_parameters || content.is_some(),
            has_output_schema: responses.is_some_and(|responses| self.has_output(responses)),
            describes_402: responses.is_some_and(|responses| responses.contains_key("402")),
            payment_info: payment_info(operation).cloned(),
        })
    }

    /// True if a good answer is described by a schema.
    fn has_output(&self, responses: &Object) -> bool {
        let good = responses.iter().filter(|(status, _)| status.starts_with('2')).take(MOST_PARAMETERS);
        good.into_iter().any(|(_, response)| {
            let content = resolved(self.openapi, response).get("content").and_then(Value::as_object);
            content.is_some_and(|content| content.values().any(|media| media.get("schema").is_some()))
        })
    }

    /// A body that fits: the example of JSON, or one of another type that is a text.
    fn body_of(&self, content: &'d Object) -> Option<(String, Bytes)> {
        let is_json = |media: &str| media.contains("json");
        let (media, described) = content.iter().find(|(media, _)| is_json(media)).or_else(|| content.iter().next())?;
        let body: Bytes = match (is_json(media), self.example_of(described).as_deref()) {
            (true, Some(example)) => example.to_string().into(),
            (true, None) => Bytes::from_static(b"{}"),
            (false, Some(Value::String(text))) => text.clone().into(),
            (false, Some(Value::Object(fields))) if media == "application/x-www-form-urlencoded" => {
                let pairs = fields.iter().map(|(name, value)| (name.as_str(), plain(value)));
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into()
            }
            (false, Some(_) | None) => Bytes::from_static(b"example"),
        };
        // A body that is cut off would fit nothing.
        (media.len() <= MOST_NAME && body.len() <= MOST_BODY).then(|| (media.clone(), body))
    }

    /// The example of a parameter or a media type: the one that is written, or one that is made of its schema.
    fn example_of(&self, described: &'d Value) -> Option<Cow<'d, Value>> {
        let examples = described.get("examples").and_then(Value::as_object);
        let first = examples.and_then(|examples| resolved(self.openapi, examples.values().next()?).get("value"));
        if let Some(example) = described.get("example").or(first) {
            return Some(Cow::Borrowed(example));
        }
        let schema = resolved(self.openapi, described.get("schema")?);
        let named = schema
            .get("example")
            .or_else(|| schema.get("default"))
            .or_else(|| schema.get("examples")?.as_array()?.first());
        // References lead from the root of the document.
        named.map(Cow::Borrowed).or_else(|| value_within(self.openapi, schema).map(Cow::Owned))
    }
}

/// The template of a path with its parameters. None if it would be too long.
fn filled(template: &str, values: &HashMap<&str, String>) -> Option<String> {
    let mut target = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        target.push_str(before);
        let Some((name, after)) = behind.split_once('}') else { break };
        match values.get(name) {
            Some(value) => {
                let value = if value.is_empty() { "example" } else { value };
                let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                target.push_str(&encoded.replace('+', "%20"));
            }
            None => target.push_str(&format!("{{{name}}}")),
        }
        if target.len() > MOST_URL {
            return None;
        }
        rest = after;
    }
    target.push_str(rest);
    Some(target)
}

/// True if a template matches the path of a request.
fn matches(template: &str, path: &str) -> bool {
    let (mut template, mut segments) = (template.split('/'), path.split('/'));
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

/// The price that an operation declares.
fn payment_info(operation: &Value) -> Option<&Value> {
    operation.get("x-payment-info").filter(|info| info.is_object())
}

/// Follows references within a document.
fn resolved<'d>(openapi: &'d Value, mut value: &'d Value) -> &'d Value {
    for _ in 0..MOST_REFERENCES {
        let reference = value.get("$ref").and_then(Value::as_str).filter(|path| path.len() <= MOST_NAME);
        let target = reference.and_then(|path| path.strip_prefix('#'));
        match target.and_then(|path| openapi.pointer(path)) {
            Some(target) => value = target,
            None => return value,
        }
    }
    value
}

/// A value as it stands in a URL or a form, cut off where it would be too long for one.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => first_chars(text, MOST_EXAMPLE).to_owned(),
        other => first_chars(&other.to_string(), MOST_EXAMPLE).to_owned(),
    }
}
