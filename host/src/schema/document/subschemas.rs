//! Finds the subschemas directly below a schema, by the keywords that apply them.

use serde_json::{Map, Value};

use super::escaped;

/// Keywords whose subschema is applied to the same value.
const SAME_VALUE: [&str; 4] = ["not", "if", "then", "else"];
const SAME_VALUE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SAME_VALUE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];

/// Keywords whose subschema is applied to parts of the value. `items` is a list in older drafts.
const PARTS: [&str; 7] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const PARTS_LISTS: [&str; 2] = ["prefixItems", "items"];
const PARTS_MAPS: [&str; 2] = ["properties", "patternProperties"];

/// Keywords whose subschemas are applied only where a reference leads to them.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// All subschemas directly below a schema, with the pointers from it to them.
pub(super) fn children(schema: &Map<String, Value>) -> Vec<(&Value, String)> {
    let mut children = Vec::new();
    for keyword in SAME_VALUE.iter().chain(&PARTS).chain(&["contentSchema"]) {
        children.extend(schema.get(*keyword).map(|child| (child, format!("/{keyword}"))));
    }
    for keyword in SAME_VALUE_LISTS.iter().chain(&PARTS_LISTS) {
        let list = schema.get(*keyword).and_then(Value::as_array).into_iter().flatten();
        children.extend(list.enumerate().map(|(index, child)| (child, format!("/{keyword}/{index}"))));
    }
    for keyword in SAME_VALUE_MAPS.iter().chain(&PARTS_MAPS).chain(&DEFINITIONS) {
        let map = schema.get(*keyword).and_then(Value::as_object).into_iter().flatten();
        children.extend(map.map(|(name, child)| (child, format!("/{keyword}/{}", escaped(name)))));
    }
    children
}

/// The subschemas directly below a schema that are applied to its own value.
pub(super) fn same_value(schema: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let single = SAME_VALUE.iter().filter_map(|keyword| schema.get(*keyword));
    let lists = SAME_VALUE_LISTS.iter().filter_map(|keyword| schema.get(*keyword)?.as_array()).flatten();
    let maps = SAME_VALUE_MAPS.iter().filter_map(|keyword| schema.get(*keyword)?.as_object());
    single.chain(lists).chain(maps.flat_map(Map::values))
}
