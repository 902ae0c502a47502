//! Explains why a value does not fit a schema: the place in the value, the keyword, and a sentence.

use coinslot_base::text::excerpt;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use super::document::escaped;

/// The longest reason, in characters: a schema may list hundreds of allowed values.
const MAX_REASON: usize = 400;

/// The longest text of a value that is shown, in characters.
const MAX_SHOWN: usize = 40;

/// The longest pointer that is shown, in characters. It holds names that the client chose.
const MAX_POINTER: usize = 300;

/// The reason why a value does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// A JSON pointer to the field: also to one that is missing, or that is there and should not be.
    pub(super) pointer: String,
    /// The keyword of the schema that is not met, such as `maximum`.
    pub(super) keyword: String,
    /// A part of a sentence about the value.
    pub(super) reason: String,
}

impl Mismatch {
    /// A value that does not fit, at a place that is too expensive to find.
    pub(super) fn somewhere() -> Self {
        Self { pointer: String::new(), keyword: String::new(), reason: "a part of it does not fit".to_owned() }
    }

    /// Explains an error of the library.
    ///
    /// Of alternatives that all fail the one is explained that fits furthest: its error is the deepest in the value.
    /// So a mistake inside of a tagged object is found, and not that other tags are other objects.
    pub(super) fn of(error: &ValidationError<'_>) -> Self {
        if let ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } = error.kind() {
            let depth = |error: &ValidationError<'_>| error.instance_path().as_str().matches('/').count();
            let own = depth(error);
            let deepest = |branch: &Vec<ValidationError<'static>>| branch.iter().map(depth).max().unwrap_or(own);
            let best = context.iter().max_by_key(|branch| deepest(branch)).filter(|branch| deepest(branch) > own);
            if let Some(inner) = best.and_then(|branch| branch.iter().max_by_key(|error| depth(error))) {
                return Self::of(inner);
            }
        }
        let own = error.instance_path().as_str();
        let pointer = match field(error.kind()) {
            Some(name) => format!("{own}/{}", escaped(name)),
            None => own.to_owned(),
        };
        let reason = reason(error);
        Self {
            pointer: excerpt(&pointer, MAX_POINTER),
            keyword: keyword(error.kind()).to_owned(),
            reason: excerpt(&reason, MAX_REASON),
        }
    }
}

/// The keyword that is not met. A schema that is `false` has none.
fn keyword(kind: &ValidationErrorKind) -> &str {
    if matches!(kind, ValidationErrorKind::FalseSchema) { "false" } else { kind.keyword() }
}

/// The field that is missing, or that should not be there.
fn field(kind: &ValidationErrorKind) -> Option<&str> {
    match kind {
        ValidationErrorKind::Required { property } => property.as_str(),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected.first().map(String::as_str),
        _ => None,
    }
}

fn reason(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Required { .. } => "it is missing".to_owned(),
        ValidationErrorKind::AdditionalProperties { .. } | ValidationErrorKind::UnevaluatedProperties { .. } => {
            "there is no such field here".to_owned()
        }
        ValidationErrorKind::FalseSchema => "there is nothing to be here".to_owned(),
        ValidationErrorKind::Not { .. } => format!("{} is what the schema excludes", shown(error.instance())),
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            format!("{} fits none of the alternatives{}", shown(error.instance()), alternatives(error))
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            format!("{} fits more than one of the alternatives", shown(error.instance()))
        }
        _ => error.masked_with(shown(error.instance())).to_string(),
    }
}

/// The reasons of the first alternatives, where there are few.
fn alternatives(error: &ValidationError<'_>) -> String {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) = error.kind() else {
        return String::new();
    };
    if context.len() > 3 {
        return String::new();
    }
    let first = context.iter().filter_map(|branch| branch.first());
    let reasons: Vec<String> = first.map(|error| error.masked_with("it").to_string()).collect();
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
}

/// A value in a message: a short one as it is.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", excerpt(text, MAX_SHOWN)),
        Value::Array(_) => "the array".to_owned(),
        Value::Object(_) => "the object".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
