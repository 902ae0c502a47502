//! Reads one field of a form out of a JSON Schema.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::frame::cut;
use crate::example::kind;

/// The most alternatives that are offered as a list.
const MAX_CHOICES: usize = 100;

/// The longest text that stands in one line, in characters.
const ONE_LINE: u64 = 120;

/// The deepest chain of references that is followed.
const MAX_REFERENCES: usize = 8;

/// The part of a request that a field goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Path,
    Query,
    Body,
}

/// A field of the form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) part: Part,
    /// Its name in the request.
    pub(super) name: String,
    pub(super) label: String,
    pub(super) hint: String,
    pub(super) is_required: bool,
    pub(super) control: Control,
    /// The value that it begins with.
    pub(super) value: String,
}

/// The way in which a person gives a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Control {
    /// A text, of several lines or of one with the type of its input.
    Text {
        is_long: bool,
        input: &'static str,
        most: Option<u64>,
    },
    Number {
        least: Option<String>,
        most: Option<String>,
        is_whole: bool,
    },
    /// One of these texts or numbers.
    Choice {
        values: Vec<String>,
        are_numbers: bool,
    },
    Flag,
    File {
        are_several: bool,
    },
    /// One value in each line.
    Lines {
        are_texts: bool,
    },
    /// Anything else, as JSON.
    Json,
}

impl Part {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Body => "body",
        }
    }
}

impl Field {
    /// The field of a property. `files`: the body is a form, and binary texts are files.
    pub(super) fn of(root: &Value, part: Part, name: &str, schema: &Value, is_required: bool, files: bool) -> Self {
        let schema = &*without_null(root, schema);
        let text = |key: &str, most| schema.get(key).and_then(Value::as_str).map(|text| cut(text, most));
        let example = schema.get("examples").and_then(|list| list.get(0)).or_else(|| schema.get("example"));
        let mut hint = text("description", 300).unwrap_or_default();
        let begins = match (schema.get("default").filter(|value| !value.is_null()), example) {
            (Some(value), _) => lines(value),
            (None, Some(value)) if is_required => lines(value),
            (_, Some(example)) => {
                let space = if hint.is_empty() { "" } else { " " };
                hint = format!("{hint}{space}For example: {}", cut(&plain(example), 100));
                String::new()
            }
            _ => String::new(),
        };
        let control = Control::of(root, schema, part, files);
        let value = match (&control, schema.get("const")) {
            (Control::Json, _) | (Control::File { .. }, _) => String::new(),
            (_, Some(only)) if is_required => plain(only),
            _ => begins,
        };
        let label = text("title", 80).unwrap_or_else(|| cut(name, 80));
        Self { part, name: name.to_owned(), label, hint, is_required, control, value }
    }
}

impl Control {
    fn of(root: &Value, schema: &Map<String, Value>, part: Part, files: bool) -> Self {
        let list = schema.get("enum").and_then(Value::as_array).cloned();
        let list = list.map(|values| values.into_iter().filter(|value| !value.is_null()).collect::<Vec<_>>());
        if let Some(values) = list.or_else(|| schema.get("const").map(|only| vec![only.clone()])) {
            return Self::choice(&values);
        }
        if schema.contains_key("oneOf") || schema.contains_key("anyOf") {
            return Self::Json;
        }
        let number = |key: &str| schema.get(key).filter(|value| value.is_number()).map(ToString::to_string);
        match kind(schema) {
            "string" if files && is_binary(schema) => Self::File { are_several: false },
            "string" => Self::text(schema, part),
            kind @ ("integer" | "number") => {
                Self::Number { least: number("minimum"), most: number("maximum"), is_whole: kind == "integer" }
            }
            "boolean" => Self::Flag,
            "array" => {
                let empty = Map::new();
                let items = schema.get("items").map(|items| resolved(root, items));
                let items = items.and_then(Value::as_object).unwrap_or(&empty);
                match kind(items) {
                    "string" if files && is_binary(items) => Self::File { are_several: true },
                    "string" => Self::Lines { are_texts: true },
                    "integer" | "number" | "boolean" => Self::Lines { are_texts: false },
                    _ => Self::Json,
                }
            }
            _ => Self::Json,
        }
    }

    fn choice(values: &[Value]) -> Self {
        let are_texts = values.iter().all(Value::is_string);
        let are_numbers = values.iter().all(Value::is_number);
        if values.len() > MAX_CHOICES || !(are_texts || are_numbers) {
            return Self::Json;
        }
        Self::Choice { values: values.iter().map(plain).collect(), are_numbers }
    }

    fn text(schema: &Map<String, Value>, part: Part) -> Self {
        let most = schema.get("maxLength").and_then(Value::as_u64);
        let input = match schema.get("format").and_then(Value::as_str) {
            Some("date") => "date",
            Some("email") => "email",
            Some("uri" | "url") => "url",
            _ => "text",
        };
        let is_long = input == "text" && part == Part::Body && most.is_none_or(|most| most > ONE_LINE);
        Self::Text { is_long, input, most }
    }
}

/// A value as a text, without the quotes of a string.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A value as the text of a field: a list has a line for each value.
fn lines(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("\n"),
        value => plain(value),
    }
}

/// True for a schema of bytes.
fn is_binary(schema: &Map<String, Value>) -> bool {
    let has = |key: &str| schema.get(key).and_then(Value::as_str) == Some("binary");
    has("format") || has("contentEncoding") || schema.contains_key("contentMediaType")
}

/// The schema of a value that may be null, as the schema of the value: a field that is left empty is left out. What stands
/// beside the alternatives describes them.
fn without_null<'s>(root: &'s Value, schema: &'s Value) -> Cow<'s, Map<String, Value>> {
    let Some(schema) = resolved(root, schema).as_object() else { return Cow::Owned(Map::new()) };
    let alternatives = ["anyOf", "oneOf"].into_iter().find_map(|key| schema.get(key).and_then(Value::as_array));
    let is_null = |alternative: &&Value| alternative.get("type").and_then(Value::as_str) == Some("null");
    let of_values = alternatives.into_iter().flatten().map(|alternative| resolved(root, alternative));
    let mut of_values = of_values.filter(|alternative| !is_null(alternative));
    let (Some(only), None) = (of_values.next().and_then(Value::as_object), of_values.next()) else {
        return Cow::Borrowed(schema);
    };
    let mut merged = only.clone();
    let beside = schema.iter().filter(|(key, _)| !matches!(key.as_str(), "anyOf" | "oneOf"));
    merged.extend(beside.map(|(key, value)| (key.clone(), value.clone())));
    Cow::Owned(merged)
}

/// The schema that a schema refers to, within its document, or itself.
pub(super) fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    for _ in 0..MAX_REFERENCES {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        match target.and_then(|pointer| root.pointer(pointer)) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn control(schema: &Value) -> Control {
        Field::of(&json!({}), Part::Query, "x", schema, false, false).control
    }

    #[test]
    fn each_kind_of_value_has_its_control() {
        assert_eq!(
            control(&json!({ "enum": ["a", "b"] })),
            Control::Choice { values: vec!["a".to_owned(), "b".to_owned()], are_numbers: false }
        );
        let whole = Control::Number { least: Some("1".to_owned()), most: None, is_whole: true };
        assert_eq!(control(&json!({ "type": ["null", "integer"], "minimum": 1 })), whole);
        assert_eq!(control(&json!({ "type": "boolean" })), Control::Flag);
        assert_eq!(
            control(&json!({ "type": "array", "items": { "type": "string" } })),
            Control::Lines { are_texts: true }
        );
        for other in [json!({ "enum": [1, "a"] }), json!({ "oneOf": [] }), json!({ "type": "object" })] {
            assert_eq!(control(&other), Control::Json);
        }
        let circle = json!({ "$ref": "#" });
        assert_eq!(resolved(&circle, &circle), &circle);
    }

    /// As the generators of schemas write an optional value.
    #[test]
    fn a_value_that_may_be_null_has_the_control_of_the_value_and_begins_empty() {
        let root = json!({ "$defs": { "Language": { "enum": ["rust", "python"], "description": "Of the code." } } });
        let field = |schema: Value| Field::of(&root, Part::Body, "x", &schema, false, false);
        let language = field(json!({
            "anyOf": [{ "$ref": "#/$defs/Language" }, { "type": "null" }], "default": null, "title": "Language"
        }));
        let choices = vec!["rust".to_owned(), "python".to_owned()];
        assert_eq!(language.control, Control::Choice { values: choices, are_numbers: false });
        assert_eq!((&*language.value, &*language.label, &*language.hint), ("", "Language", "Of the code."));
        assert_eq!(field(json!({ "type": ["string", "null"], "default": null })).value, "");
        let numbers = Control::Choice { values: vec!["1".to_owned()], are_numbers: true };
        assert_eq!(field(json!({ "enum": [1, null] })).control, numbers);
        let either = json!({ "anyOf": [{ "type": "string" }, { "type": "object" }] });
        assert_eq!(field(either).control, Control::Json);
    }

    #[test]
    fn a_hint_that_is_wrapped_in_the_source_is_one_line() {
        let schema = json!({ "type": "string", "description": "Aliases such as `js`,\n`py`.\n\nAnd more." });
        let field = Field::of(&json!({}), Part::Body, "x", &schema, false, false);
        assert_eq!(field.hint, "Aliases such as `js`, `py`. And more.");
    }

    #[test]
    fn hostile_texts_are_cut() {
        let long = "\u{202e}<b>".repeat(10_000);
        let schema = json!({ "title": long, "description": long, "examples": [long] });
        let field = Field::of(&json!({}), Part::Body, "x", &schema, false, false);
        assert!(field.label.len() < 400 && field.hint.len() < 2_000 && !field.hint.contains('\u{202e}'));
    }
}
