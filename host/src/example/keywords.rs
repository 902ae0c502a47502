//! Reads keywords of JSON Schemas for the values that are made of them.

use serde_json::{Map, Number, Value, json};

/// The type of the value, by `type` or else by the keywords.
pub(crate) fn kind(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => return kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            return kinds.find(|kind| *kind != "null").unwrap_or("null");
        }
        _ => {}
    }
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| schema.contains_key(*keyword));
    if has(&["properties", "required", "additionalProperties", "minProperties", "patternProperties"]) {
        "object"
    } else if has(&["items", "prefixItems", "minItems", "contains"]) {
        "array"
    } else if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        "number"
    } else {
        "string"
    }
}

/// A value like this one, and different from it.
pub(super) fn another(value: &Value, index: u64) -> Value {
    match value {
        Value::String(text) => format!("{text}{index}").into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.saturating_add(i64::try_from(index).unwrap_or(i64::MAX)).into(),
            None => json!(number.as_f64().unwrap_or_default() + 1.0),
        },
        Value::Bool(yes) => (!yes).into(),
        Value::Null | Value::Array(_) | Value::Object(_) => value.clone(),
    }
}

/// Adds what another schema asks for.
pub(super) fn join(all: &mut Map<String, Value>, other: Map<String, Value>) {
    for (keyword, value) in other {
        let Some(own) = all.get_mut(&keyword) else {
            all.insert(keyword, value);
            continue;
        };
        match (keyword.as_str(), &mut *own, value) {
            ("properties", Value::Object(own), Value::Object(others)) => {
                for (name, property) in others {
                    match own.get_mut(&name) {
                        Some(same) if *same == property => {}
                        Some(same) => *same = both(same.take(), property),
                        None => drop(own.insert(name, property)),
                    }
                }
            }
            // What is joined twice asks for no more.
            ("required", Value::Array(own), Value::Array(others)) if *own != others => own.extend(others),
            ("minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties", own, value) => {
                let is_stricter = value.as_f64() > own.as_f64();
                if is_stricter {
                    *own = value;
                }
            }
            ("maximum" | "exclusiveMaximum" | "maxLength" | "maxItems", own, value) => {
                let is_stricter = value.as_f64() < own.as_f64();
                if is_stricter {
                    *own = value;
                }
            }
            _ => {}
        }
    }
}

/// A schema that asks for what both ask. It is flat: one within another for each of many would be too deep to read.
fn both(one: Value, other: Value) -> Value {
    let is_list = |fields: &Map<String, Value>| fields.len() == 1 && fields.get("allOf").is_some_and(Value::is_array);
    match one {
        Value::Object(mut fields) if is_list(&fields) => {
            if let Some(Value::Array(parts)) = fields.get_mut("allOf") {
                parts.push(other);
            }
            fields.into()
        }
        one => json!({ "allOf": [one, other] }),
    }
}

/// The number nearest to 1 that the bounds allow.
#[allow(clippy::cast_possible_truncation, reason = "compared before")]
pub(super) fn number(schema: &Map<String, Value>, is_whole: bool) -> Value {
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let step = if is_whole { 1.0 } else { 0.5 };
    let low = [bound("minimum"), bound("exclusiveMinimum").map(|low| low + step)];
    let low = low.into_iter().flatten().reduce(f64::max);
    let high = [bound("maximum"), bound("exclusiveMaximum").map(|high| high - step)];
    let high = high.into_iter().flatten().reduce(f64::min);
    let mut value = low.map_or(1.0, |low| low.max(1.0));
    value = high.map_or(value, |high| high.min(value));
    if is_whole {
        value = if high.is_some_and(|high| value.ceil() > high) { value.floor() } else { value.ceil() };
    }
    if let Some(multiple) = bound("multipleOf").filter(|multiple| *multiple > 0.0) {
        let above = (value / multiple).ceil() * multiple;
        value = if high.is_some_and(|high| above > high) { (value / multiple).floor() * multiple } else { above };
    }
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return (value as i64).into();
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
