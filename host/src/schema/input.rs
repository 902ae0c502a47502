//! Checks the input of a request: its path parameters, its query and its body as one value.

mod failure;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};

pub(in crate::schema) use self::failure::NoValue;
pub use self::failure::{CheckFailure, InputPart, InputRefusal};
use super::body::{self, BodyKind};
use super::budget::{Budget, CheckExhausted, within};
use super::coerce::{Coerced, NotEncoded};
use super::compile::{CompiledSchema, SchemaCompiler};
use super::document::{SchemaDocument, escaped};
use super::error::{SchemaError, SchemaFault};
use super::form::{self, FormField};
use super::mismatch::Mismatch;
use super::types::{FieldTypes, TypeReader};
use super::unenforced::{DeclaredSchema, Unenforced};

/// The parts of an input, as their names in a schema.
const PARTS: [&str; 3] = ["path", "query", "body"];

/// The most readings of an input that are checked, where its texts may be of several types.
const MAX_READINGS: usize = 4;

/// The most values that errors may hold copies of: some tens of megabytes.
pub(super) const MAX_COPIES: u64 = 100_000;

/// The time of the processor in which the place of a mistake has to be found.
const LONGEST_SEARCH: Duration = Duration::from_millis(50);

/// The check of an endpoint's input: its schema, compiled.
#[derive(Debug)]
pub struct InputSchema {
    /// None if the plugin checks by the schema itself: then a body has to be readable, and no more.
    validator: Option<Validator>,
    /// The copies that the errors of an input may hold.
    copies: u64,
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
    /// Some milliseconds for each pass, as on a thread that serves other requests too.
    Little,
    /// As much as a quote for each pass: a million steps, some 50 milliseconds, and as many more for each MiB of the
    /// body. JSON takes two passes, and text that can be read in several ways up to nine.
    Full,
}

impl InputSchema {
    /// Compiles a schema. Returns it with the patterns that are not enforced.
    pub fn compile(compiler: &mut SchemaCompiler, schema: &Value) -> Result<(Self, Vec<Unenforced>), SchemaError> {
        let document = SchemaDocument::read(schema)?;
        check_parts(&document)?;
        let CompiledSchema { validator, unchecked, copies } = compiler.compile(schema, &document)?;
        let mut reader = TypeReader::new(&document);
        let [path, query, body] = PARTS.map(|name| reader.property(schema, name));
        let [path, query] = [path, query].map(|part| (!part.is_empty()).then(|| reader.fields(&part)));
        let form = reader.fields(&body);
        let body = BodyKind::of(&document, &body, &mut reader);
        let unchecked = unchecked.into_iter().map(|place| Unenforced::pattern(DeclaredSchema::Input, place)).collect();
        let validator = Some(validator);
        Ok((Self { validator, copies, path, query, body, form, warned: AtomicBool::new(false) }, unchecked))
    }

    /// The check of an endpoint whose plugin checks its input by the schema itself. None if it does not take JSON.
    ///
    /// A parser in a guest runs on the small stack of the guest, so JSON that nests deeply may end the guest, and faults
    /// of a guest close the endpoints that are paid, too. Of two fields of one name each language takes another one. So
    /// the host looks at the body before a guest does, whoever knows the schema.
    pub fn of_readable_json(schema: &Value) -> Result<Option<Self>, SchemaError> {
        let document = SchemaDocument::read(schema)?;
        let mut reader = TypeReader::new(&document);
        let body = reader.property(schema, "body");
        let body = BodyKind::of(&document, &body, &mut reader);
        let form = FieldTypes::default();
        let check =
            Self { validator: None, copies: 0, path: None, query: None, body, form, warned: AtomicBool::new(false) };
        Ok(body.may_be_json().then_some(check))
    }

    /// True if the body has to be read for a check.
    pub fn reads_body(&self) -> bool {
        self.body != BodyKind::Unread
    }

    /// Checks an input. It fits if one of its readings does.
    pub fn check(&self, input: &Input<'_>, effort: Effort) -> Result<(), CheckFailure> {
        let Some(validator) = &self.validator else {
            return body::check_json(self.body, input).map_err(CheckFailure::from);
        };
        let mut reading = self.read(input)?;
        let budget = effort.budget(input.body.len());
        for _ in 0..MAX_READINGS {
            if within(budget, || validator.is_valid(&reading.value))? {
                return Ok(());
            }
            if !reading.has_others_below("") || !reread(validator, &mut reading, budget)? {
                break;
            }
        }
        // To find the place costs more than to see that there is one: errors hold the paths to their places, which no
        // step counts.
        let cpu = budget.cpu.min(LONGEST_SEARCH);
        match within(Budget { copies: self.copies, cpu, ..budget }, || {
            validator.validate(&reading.value).map_err(|error| Mismatch::of(&error))
        }) {
            Ok(Err(mismatch)) => Err(CheckFailure::Refused(mismatch.into())),
            Err(CheckExhausted) if effort == Effort::Little => Err(CheckFailure::TooComplex),
            // The last reading was made and not tried yet.
            Ok(Ok(())) => Ok(()),
            Err(CheckExhausted) => Err(CheckFailure::Refused(Mismatch::somewhere().into())),
        }
    }

    /// True for the first input that was too expensive: the operator is told once.
    pub fn warns_of_cost(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }

    /// The input as one value. A part that the request does not have is left out, unless the schema names it: a query
    /// without parameters is an empty object then, so that a mistake has a place.
    fn read(&self, input: &Input<'_>) -> Result<Coerced, NoValue> {
        let mut whole = Coerced::only(Map::new().into());
        let params = input.params.iter().cloned().map(|(name, text)| FormField::decoded(name, text)).collect();
        if let Some(path) = fields(InputPart::Path, self.path.as_ref(), params)? {
            whole.insert("path", path);
        }
        let query = form::fields(input.query.unwrap_or_default().as_bytes()).ok_or(NoValue::TooLarge)?;
        if let Some(query) = fields(InputPart::Query, self.query.as_ref(), query)? {
            whole.insert("query", query);
        }
        if let Some(body) = body::read(self.body, &self.form, input)? {
            whole.insert("body", body);
        }
        Ok(whole)
    }
}

/// Takes the next reading of each text at a place that does not fit. False if there is none.
///
/// All errors are looked for, and the library holds them in memory. A URL or a form is short enough for that. A body
/// of JSON may have a million, and has one reading: it stays out of this check.
fn reread(validator: &Validator, reading: &mut Coerced, budget: Budget) -> Result<bool, CheckExhausted> {
    let body = if reading.has_others_below("/body") { None } else { reading.value.get_mut("body").map(Value::take) };
    let pointer = |error: ValidationError<'_>| error.instance_path().as_str().to_owned();
    let budget = Budget { copies: MAX_COPIES, ..budget };
    let places = within(budget, || validator.iter_errors(&reading.value).map(pointer).collect::<Vec<_>>());
    if let Some(body) = body {
        reading.value["body"] = body;
    }
    Ok(reading.reread(&places?))
}

/// The object of a part. None if the request does not have it, and the schema does not name it.
fn fields(part: InputPart, types: Option<&FieldTypes>, fields: Vec<FormField>) -> Result<Option<Coerced>, NoValue> {
    if types.is_none() && fields.is_empty() {
        return Ok(None);
    }
    let object = types.unwrap_or(&FieldTypes::default()).object(fields);
    object.map(Some).map_err(|NotEncoded(name)| NoValue::not_encoded(part, &name))
}

impl Effort {
    fn budget(self, body: usize) -> Budget {
        match self {
            Self::Little => Budget { steps: 20_000, stack: 256 << 10, cpu: Duration::from_millis(5), copies: u64::MAX },
            Self::Full => {
                let shares = 1 + (body >> 20) as u64;
                let cpu = Duration::from_millis(500).saturating_mul(u32::try_from(shares).unwrap_or(u32::MAX));
                Budget { steps: 1_000_000 * shares, stack: 1 << 20, cpu, copies: u64::MAX }
            }
        }
    }
}

/// Fails if the schema describes something else than `path`, `query` and `body` of every input: no request would ever
/// fit, or its author means something else.
fn check_parts(document: &SchemaDocument<'_>) -> Result<(), SchemaError> {
    for node in document.of_every_root_value() {
        let properties = node.schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let required = node.schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let properties = properties.map(|name| (format!("properties/{}", escaped(name)), name.as_str()));
        let required = required.filter_map(Value::as_str).map(|name| ("required".to_owned(), name));
        if let Some((place, name)) = properties.chain(required).find(|(_, name)| !PARTS.contains(name)) {
            let fault = SchemaFault::Part { name: name.to_owned() };
            return Err(SchemaError::at(format!("{}/{place}", node.pointer), fault));
        }
    }
    Ok(())
}
