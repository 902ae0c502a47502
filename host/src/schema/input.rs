//! Checks the input of a request: its path parameters, its query and its body as one value.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use jsonschema::Validator;
use serde_json::{Map, Value};

use super::body::{self, BodyKind};
use super::budget::{Budget, Exhausted, within};
use super::coerce::{FieldTypes, TypeReader};
use super::compile::{Compiled, SchemaCompiler, SchemaError};
use super::document::Document;
use super::form;
use super::json::JsonError;
use super::mismatch::Mismatch;

/// The parts of an input, as their names in a schema.
const PARTS: [&str; 3] = ["path", "query", "body"];

/// Keywords of a root that cannot see a body which `properties` does not name.
const BLIND: [&str; 16] = [
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "$defs",
    "$vocabulary",
    "definitions",
    "type",
    "properties",
    "required",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
];

/// The schema of an endpoint's input, compiled.
#[derive(Debug)]
pub struct InputSchema {
    validator: Validator,
    path: Option<FieldTypes>,
    query: Option<FieldTypes>,
    body: BodyKind,
    /// The types of the fields of a body that is a form.
    form: FieldTypes,
    /// Set once the operator was told of an input that was too expensive.
    warned: AtomicBool,
}

/// The input of one request.
#[derive(Clone, Copy, Debug)]
pub struct Input<'r> {
    /// The parameters of the path, percent-decoded.
    pub params: &'r [(String, String)],
    pub query: Option<&'r str>,
    pub media_type: Option<&'r HeaderValue>,
    /// Empty if there is none, and if [`InputSchema::reads_body`] is false.
    pub body: &'r [u8],
}

/// The work that a check may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A millisecond or two, as on a thread that serves other requests too.
    Little,
    /// As much as a quote: 50 milliseconds, and 50 more for each MiB of the body.
    Full,
}

/// A part of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputPart {
    Path,
    Query,
    Body,
    /// The input as a whole.
    Whole,
}

/// A request whose input does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRefusal {
    pub part: InputPart,
    /// A JSON pointer to the field, such as `/query/limit`.
    pub pointer: String,
    /// The keyword of the schema, such as `maximum`; or `json`, `duplicate_name`, `encoding` or `form`.
    pub keyword: String,
    /// A part of a sentence.
    pub reason: String,
}

/// The reason why an input was not found to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckFailure {
    Refused(InputRefusal),
    /// The effort was not enough to tell.
    TooComplex,
}

impl From<Exhausted> for CheckFailure {
    fn from(Exhausted: Exhausted) -> Self {
        Self::TooComplex
    }
}

impl InputSchema {
    /// Compiles a schema. Returns it with the places of patterns that are not enforced.
    pub fn compile(compiler: &mut SchemaCompiler, schema: &Value) -> Result<(Self, Vec<String>), SchemaError> {
        check_parts(schema)?;
        let document = Document::read(schema)?;
        let Compiled { validator, unchecked } = compiler.compile(schema, &document)?;
        let part = |name: &str| schema.get("properties").and_then(|parts| parts.get(name));
        let mut reader = TypeReader::new(&document);
        let [path, query] = ["path", "query"].map(|name| part(name).map(|part| reader.fields(part)));
        let form = part("body").map(|part| reader.fields(part)).unwrap_or_default();
        let body = match part("body") {
            Some(part) => BodyKind::of(part, &reader.types(part)),
            None if is_blind(schema) => BodyKind::Unread,
            None => BodyKind::Structured,
        };
        Ok((Self { validator, path, query, body, form, warned: AtomicBool::new(false) }, unchecked))
    }

    /// True if the body has to be read for a check.
    pub fn reads_body(&self) -> bool {
        self.body != BodyKind::Unread
    }

    /// Checks an input.
    pub fn check(&self, input: &Input<'_>, effort: Effort) -> Result<(), CheckFailure> {
        let value = self.value(input).map_err(|failure| match failure {
            NoValue::Refused(refusal) => CheckFailure::Refused(refusal),
            NoValue::TooLarge => CheckFailure::TooComplex,
        })?;
        let budget = effort.budget(input.body.len());
        if within(budget, || self.validator.is_valid(&value))? {
            return Ok(());
        }
        // To find the place costs more than to see that there is one.
        match within(budget, || self.validator.validate(&value).map_err(|error| Mismatch::of(&error))) {
            Ok(Err(mismatch)) => Err(CheckFailure::Refused(mismatch.into())),
            Err(Exhausted) if effort == Effort::Little => Err(CheckFailure::TooComplex),
            Ok(Ok(())) | Err(Exhausted) => Err(CheckFailure::Refused(Mismatch::somewhere().into())),
        }
    }

    /// True for the first input that was too expensive: the operator is told once.
    pub fn warns_of_cost(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }

    /// The input as one value. A part that the request does not have is left out, unless the schema names it: a query
    /// without parameters is an empty object then, so that a mistake has a place.
    fn value(&self, input: &Input<'_>) -> Result<Value, NoValue> {
        let (mut parts, untyped) = (Map::new(), FieldTypes::default());
        if self.path.is_some() || !input.params.is_empty() {
            let types = self.path.as_ref().unwrap_or(&untyped);
            parts.insert("path".to_owned(), types.object(input.params.iter().cloned()).into());
        }
        let query = form::pairs(input.query.unwrap_or_default()).ok_or_else(|| {
            NoValue::refused(InputPart::Query, "encoding", "it is not percent-encoded UTF-8".to_owned())
        })?;
        if self.query.is_some() || !query.is_empty() {
            let types = self.query.as_ref().unwrap_or(&untyped);
            parts.insert("query".to_owned(), types.object(query).into());
        }
        if self.reads_body() && !input.body.is_empty() {
            parts.insert("body".to_owned(), body::value(self.body, &self.form, input)?);
        }
        Ok(parts.into())
    }
}

/// The reason why an input is not a value.
pub(super) enum NoValue {
    Refused(InputRefusal),
    TooLarge,
}

impl NoValue {
    pub(super) fn refused(part: InputPart, keyword: &str, reason: String) -> Self {
        let pointer = match part {
            InputPart::Path => "/path",
            InputPart::Query => "/query",
            InputPart::Body => "/body",
            InputPart::Whole => "",
        };
        Self::Refused(InputRefusal { part, pointer: pointer.to_owned(), keyword: keyword.to_owned(), reason })
    }
}

impl From<JsonError> for NoValue {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Syntax(reason) => Self::refused(InputPart::Body, "json", format!("it is not JSON: {reason}")),
            JsonError::DuplicateName(reason) => Self::refused(InputPart::Body, "duplicate_name", reason),
            JsonError::TooManyValues => Self::TooLarge,
        }
    }
}

impl From<Mismatch> for InputRefusal {
    fn from(mismatch: Mismatch) -> Self {
        let Mismatch { pointer, keyword, reason } = mismatch;
        let part = match pointer.split('/').nth(1) {
            Some("path") => InputPart::Path,
            Some("query") => InputPart::Query,
            Some("body") => InputPart::Body,
            _ => InputPart::Whole,
        };
        Self { part, pointer, keyword, reason }
    }
}

impl Effort {
    fn budget(self, body: usize) -> Budget {
        match self {
            Self::Little => Budget { steps: 20_000, stack: 256 << 10, time: Duration::from_millis(5) },
            Self::Full => {
                let shares = 1 + (body >> 20) as u64;
                let time = Duration::from_millis(500).saturating_mul(u32::try_from(shares).unwrap_or(u32::MAX));
                Budget { steps: 1_000_000 * shares, stack: 1 << 20, time }
            }
        }
    }
}

/// Fails if the schema describes something else than `path`, `query` and `body`: no request would ever fit.
fn check_parts(schema: &Value) -> Result<(), SchemaError> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let named = properties.map(|name| ("properties", name.as_str()));
    let named = named.chain(required.filter_map(Value::as_str).map(|name| ("required", name)));
    match named.into_iter().find(|(_, name)| !PARTS.contains(name)) {
        Some((keyword, name)) => Err(SchemaError::Part { keyword, name: coinslot_base::text::excerpt(name, 64) }),
        None => Ok(()),
    }
}

/// True if the schema sees no body, though it names none in `properties`.
fn is_blind(schema: &Value) -> bool {
    let wants = schema.get("required").and_then(Value::as_array).into_iter().flatten().any(|name| name == "body");
    !wants && schema.as_object().is_some_and(|root| root.keys().all(|keyword| BLIND.contains(&keyword.as_str())))
}
