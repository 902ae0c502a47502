//! Makes values that fit a JSON Schema: what its author wrote as an example comes first, and then the least that its
//! keywords ask for.
//!
//! Not every schema can be met so (`not`, `if`, patterns with look-around). The maker gives candidates, and its caller
//! takes one that the validator accepts.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::keywords::{another, join, kind, number};
use super::steps::Steps;
use super::text;

/// The steps of a value within a value.
const STEPS_OF_VALUE: usize = 100;
/// The levels of a value that are made.
const MAX_DEPTH: usize = 16;
/// The levels of a schema, references included, that are searched for what the author has written.
const SHOWN_DEPTH: usize = 6;
/// The most entries of a list that are made.
const MAX_LENGTH: u64 = 1_000;

/// The optional parts that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Optional {
    None,
    /// Those of which the author has written an example.
    Shown,
    All,
}

/// The candidates that are made of the schema of an input: with the choice among alternatives, and with or without
/// optional parts. What the author gives as an example of the whole may leave parts out, which are made.
pub(super) fn candidates(schema: &Value) -> impl Iterator<Item = Value> {
    let choices = (0..4).flat_map(|choice| [(Optional::None, choice), (Optional::All, choice)]);
    let is_shown = ExampleMaker::new(schema, &Steps::all(), Optional::Shown, 0).is_shown(schema, SHOWN_DEPTH);
    let shown = is_shown.then_some((Optional::Shown, 0));
    shown.into_iter().chain(choices).flat_map(|(optional, choice)| of_input(schema, optional, choice))
}

/// The least value of a schema whose references lead from the root of another document. The document is not copied.
pub(crate) fn value_within(root: &Value, schema: &Value) -> Option<Value> {
    let steps = Steps::all();
    ExampleMaker { root, steps: &steps, optional: Optional::None, choice: 0 }.value(schema, MAX_DEPTH)
}

/// The candidates with as many parts as possible first.
pub(super) fn full_candidates(schema: &Value) -> impl Iterator<Item = Value> {
    let choices = (0..2).flat_map(|choice| [(Optional::All, choice), (Optional::None, choice)]);
    choices.flat_map(|(optional, choice)| of_input(schema, optional, choice))
}

fn of_input(schema: &Value, optional: Optional, choice: usize) -> Vec<Value> {
    let mut without = schema.clone();
    let examples = without.as_object_mut().and_then(|schema| schema.shift_remove("examples"));
    let made = make(&without, optional, choice);
    let chosen = examples.as_ref().and_then(Value::as_array).and_then(|list| list.get(choice % list.len().max(1)));
    let written = chosen.map(|example| match &made {
        Some(made) => overlaid(made, example),
        None => example.clone(),
    });
    written.into_iter().chain(made).collect()
}

/// A made input with the parts of an example in their places. Parameters of the path and the query are added one by
/// one, and a body is taken as a whole.
fn overlaid(made: &Value, example: &Value) -> Value {
    let (Value::Object(made), Value::Object(parts)) = (made, example) else { return example.clone() };
    let mut made = made.clone();
    for (name, part) in parts {
        match (made.get_mut(name), part) {
            (Some(Value::Object(own)), Value::Object(part)) if name != "body" => own.extend(part.clone()),
            _ => drop(made.insert(name.clone(), part.clone())),
        }
    }
    made.into()
}

fn make(schema: &Value, optional: Optional, choice: usize) -> Option<Value> {
    ExampleMaker::new(schema, &Steps::all(), optional, choice).value(schema, MAX_DEPTH)
}

/// Makes one value of a schema.
struct ExampleMaker<'s> {
    root: &'s Value,
    /// Bounds the work: schemas that refer to themselves would multiply.
    steps: &'s Steps,
    optional: Optional,
    /// The index of the one that is taken of alternatives, and of a list of examples.
    choice: usize,
}

impl<'s> ExampleMaker<'s> {
    fn new(root: &'s Value, steps: &'s Steps, optional: Optional, choice: usize) -> Self {
        Self { root, steps, optional, choice }
    }

    /// True if the author has written an example of the value, or of a property of it.
    fn is_shown(&self, schema: &Value, depth: usize) -> bool {
        let (Some(depth), Some(())) = (depth.checked_sub(1), self.steps.take(1)) else { return false };
        let keyword = |name: &str| schema.get(name);
        let reference = keyword("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        let target = reference.and_then(|pointer| self.root.pointer(pointer));
        let mut properties = keyword("properties").and_then(Value::as_object).into_iter().flatten();
        keyword("examples").or_else(|| keyword("example")).is_some()
            || target.is_some_and(|target| self.is_shown(target, depth))
            || properties.any(|(_, property)| self.is_shown(property, depth))
    }

    /// A value of a schema; none if it would be deeper or larger than a value may be.
    fn value(&self, schema: &Value, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        self.steps.take(STEPS_OF_VALUE)?;
        if *schema == Value::Bool(false) {
            return None;
        }
        let schema = self.resolved(schema, depth)?;
        if let Some(value) = self.written(&schema) {
            return Some(value);
        }
        for keyword in ["oneOf", "anyOf"] {
            if let Some(branch) = schema.get(keyword).and_then(|branches| self.chosen(branches)) {
                let mut joined = schema.clone();
                joined.shift_remove(keyword);
                join(&mut joined, self.resolved(branch, depth)?);
                return self.value(&joined.into(), depth);
            }
        }
        match kind(&schema) {
            "object" => self.object(&schema, depth),
            "array" => self.array(&schema, depth),
            "integer" => Some(number(&schema, true)),
            "number" => Some(number(&schema, false)),
            "boolean" => Some(true.into()),
            "null" => Some(Value::Null),
            _ => text::of(&schema, self.steps).map(Value::from),
        }
    }

    /// The value that the author has written.
    fn written(&self, schema: &Map<String, Value>) -> Option<Value> {
        let listed = |keyword: &str| schema.get(keyword).and_then(|list| self.chosen(list)).cloned();
        let single = |keyword: &str| schema.get(keyword).cloned();
        single("const")
            .or_else(|| listed("examples"))
            .or_else(|| single("example"))
            .or_else(|| single("default").filter(|value| !value.is_null()))
            .or_else(|| listed("enum"))
    }

    fn chosen<'v>(&self, list: &'v Value) -> Option<&'v Value> {
        let list = list.as_array()?;
        list.get(self.choice % list.len().max(1))
    }

    /// The schema with what it refers to, and with what all of its parts ask for, as one object. None if there are not
    /// enough steps: parts that refer to the whole would multiply with each level.
    fn resolved(&self, schema: &Value, depth: usize) -> Option<Map<String, Value>> {
        self.steps.take_copy(schema)?;
        let mut all = schema.as_object().cloned().unwrap_or_default();
        let Some(depth) = depth.checked_sub(1) else { return Some(all) };
        if let Some(Value::String(reference)) = all.shift_remove("$ref") {
            let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            if let Some(target) = target {
                join(&mut all, self.resolved(target, depth)?);
            }
        }
        if let Some(Value::Array(parts)) = all.shift_remove("allOf") {
            for part in &parts {
                join(&mut all, self.resolved(part, depth)?);
            }
        }
        Some(all)
    }

    fn object(&self, schema: &Map<String, Value>, depth: usize) -> Option<Value> {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let mut names = texts(schema.get("required"));
        let required: HashSet<String> = names.iter().cloned().collect();
        let is_made = |property: &Value| match self.optional {
            Optional::None => false,
            Optional::Shown => self.is_shown(property, SHOWN_DEPTH),
            Optional::All => true,
        };
        names.extend(properties.iter().filter(|(_, property)| is_made(property)).map(|(name, _)| name.clone()));
        let least = usize::try_from(count(schema, "minProperties")).unwrap_or_default();
        let missing = least.saturating_sub(names.len());
        let others: Vec<_> = properties.keys().filter(|name| !names.contains(name)).take(missing).cloned().collect();
        names.extend(others);
        for number in names.len()..least {
            names.push(format!("key{}", number + 1));
        }
        let mut made = Map::new();
        let mut at = 0;
        while let Some(name) = names.get(at).cloned() {
            at += 1;
            if made.contains_key(&name) {
                continue;
            }
            let is_required = required.contains(&name);
            let property = properties.get(&name).or_else(|| schema.get("additionalProperties"));
            match self.value(property.unwrap_or(&Value::Bool(true)), depth) {
                Some(value) => drop(made.insert(name.clone(), value)),
                None if is_required => return None,
                None => continue,
            }
            names.extend(texts(schema.get("dependentRequired").and_then(|depends| depends.get(&name))));
        }
        Some(made.into())
    }

    fn array(&self, schema: &Map<String, Value>, depth: usize) -> Option<Value> {
        let first = schema.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let contained = schema.get("contains").map(|contained| (contained, count(schema, "minContains").max(1)));
        let contained_count = contained.map_or(0, |(_, count)| count);
        let wanted = if self.optional == Optional::All { 1.max(first.len() as u64) } else { 0 };
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(MAX_LENGTH);
        let length = count(schema, "minItems").max(contained_count).max(wanted).min(most).min(MAX_LENGTH);
        let is_set = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let mut made = Vec::new();
        for index in 0..length {
            let position = usize::try_from(index).unwrap_or(usize::MAX);
            let item = match (first.get(position), contained) {
                (Some(item), _) => item,
                (None, Some((contained, count))) if index < count => contained,
                (None, _) => schema.get("items").unwrap_or(&Value::Bool(true)),
            };
            let choice = self.choice + if is_set { position } else { 0 };
            let value = match (Self { choice, ..*self }).value(item, depth) {
                Some(value) => value,
                None if index < count(schema, "minItems").max(contained_count) => return None,
                None => break,
            };
            made.push(if is_set && made.contains(&value) { another(&value, index) } else { value });
        }
        Some(made.into())
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn count(schema: &Map<String, Value>, keyword: &str) -> u64 {
    schema.get(keyword).and_then(Value::as_u64).unwrap_or(0).min(MAX_LENGTH)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The first candidate that fits.
    fn fitting(schema: &Value) -> Option<Value> {
        let validator = jsonschema::validator_for(schema).expect("a schema");
        candidates(schema).find(|value| validator.is_valid(value))
    }

    #[test]
    fn what_the_author_has_written_comes_first() {
        for (schema, expected) in [
            (json!({ "type": "string", "examples": ["Ada", "Bob"], "default": "x" }), json!("Ada")),
            (json!({ "type": "integer", "default": 7, "enum": [1, 7] }), json!(7)),
            (json!({ "enum": ["a", "b"] }), json!("a")),
            (json!({ "const": null }), json!(null)),
            (json!({ "type": "object", "examples": [{ "a": 1 }], "required": ["a"] }), json!({ "a": 1 })),
            (
                json!({ "type": "object", "required": ["query"], "examples": [{ "path": { "id": 7 } }], "properties": {
                    "query": { "type": "object", "properties": { "n": { "default": 3 } }, "required": ["n"] } } }),
                json!({ "query": { "n": 3 }, "path": { "id": 7 } }),
            ),
            // An optional part is left out, unless an example of it is written.
            (
                json!({ "properties": { "query": { "$ref": "#/$defs/Wanted" }, "body": { "type": "string" } }, "$defs": {
                    "Wanted": { "properties": { "stack": { "default": "", "examples": ["rust"] }, "n": { "default": 1 } } } } }),
                json!({ "query": { "stack": "rust" } }),
            ),
            // One that excludes another is left out again.
            (
                json!({ "properties": { "a": { "examples": [1] }, "b": { "examples": [2] } }, "maxProperties": 1,
                    "required": ["b"] }),
                json!({ "b": 2 }),
            ),
        ] {
            assert_eq!(fitting(&schema), Some(expected), "{schema}");
        }
    }

    #[test]
    fn every_keyword_that_can_be_met_is() {
        for schema in [
            json!({ "type": "string", "minLength": 12, "maxLength": 12 }),
            json!({ "type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,}(foo|bar)?$", "minLength": 9 }),
            json!({ "type": "integer", "minimum": 10, "multipleOf": 7 }),
            json!({ "type": "integer", "exclusiveMaximum": -3 }),
            json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 0.9 }),
            json!({ "type": ["null", "array"], "items": { "type": "integer" }, "minItems": 3, "uniqueItems": true }),
            json!({ "prefixItems": [{ "const": 1 }, { "type": "string" }], "minItems": 2, "items": false }),
            json!({ "type": "array", "contains": { "const": "x" }, "minContains": 2 }),
            json!({ "type": "object", "minProperties": 2, "additionalProperties": { "type": "boolean" } }),
            json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/n" }, "b": {} }, "required": ["a"],
                    "dependentRequired": { "a": ["b"] }, "$defs": { "n": { "type": "integer", "minimum": 3 } } }),
            json!({ "allOf": [{ "type": "object", "required": ["a"] }, { "properties": { "a": { "type": "number" } } }] }),
            json!({ "oneOf": [false, { "type": "object", "properties": { "kind": { "const": "b" } }, "required": ["kind"] }] }),
            json!({ "$ref": "#/$defs/tree", "$defs": { "tree": { "type": "object", "required": ["kids"],
                    "properties": { "kids": { "type": "array", "items": { "$ref": "#/$defs/tree" } } } } } }),
            json!({ "type": "object", "additionalProperties": false, "properties": { "a": { "type": "string", "format": "email" } } }),
        ] {
            assert!(fitting(&schema).is_some(), "{schema}: {:?}", candidates(&schema).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_schema_that_cannot_be_met_ends_without_a_value() {
        let endless = json!({ "type": "object", "required": ["a"], "properties": { "a": { "$ref": "#" } } });
        assert_eq!(fitting(&endless), None);
        assert_eq!(fitting(&json!({ "not": {} })), None);
    }

    /// Twelve parts that are the whole, at sixteen levels, were resolved without end.
    #[test]
    fn a_schema_of_parts_that_are_the_whole_ends_without_a_value() {
        for (keyword, count) in [("allOf", 12), ("allOf", 2_000), ("oneOf", 12)] {
            let parts: Vec<Value> = std::iter::repeat_n(json!({ "$ref": "#" }), count).collect();
            let schema = json!({ "required": ["x"], "properties": { "x": {} }, keyword: parts });
            assert_eq!(candidates(&schema).count(), 0, "{keyword} {count}");
        }
    }

    #[test]
    fn lists_of_long_texts_end_without_a_value() {
        let text = json!({ "minLength": 100_000 });
        let schema = json!({ "minItems": 1_000, "items": { "minItems": 1_000, "items": text } });
        assert_eq!(candidates(&schema).count(), 0);
    }
}
