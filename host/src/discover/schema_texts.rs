//! Rewrites the texts for people in schemas of plugins: titles and descriptions.

use serde_json::Value;

use super::text;

/// The most bytes of a text.
const MAX_TEXT: usize = 8_000;

/// The keywords whose values are texts for people.
const TEXTS: [&str; 3] = ["title", "description", "$comment"];
/// The keywords whose values are data, and no schemas.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];
/// The keywords whose values are schemas by name, whatever the names are.
const BY_NAME: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// Puts what `write` makes of it in the place of each title and description within a schema.
fn with_texts(schema: &mut Value, write: &impl Fn(&str) -> String) {
    match schema {
        Value::Object(keywords) => {
            for (keyword, value) in keywords.iter_mut() {
                match value {
                    Value::String(text) if TEXTS.contains(&keyword.as_str()) => *text = write(text),
                    Value::Object(schemas) if BY_NAME.contains(&keyword.as_str()) => {
                        schemas.values_mut().for_each(|schema| with_texts(schema, write));
                    }
                    _ if DATA.contains(&keyword.as_str()) => {}
                    _ => with_texts(value, write),
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| with_texts(schema, write)),
        _ => {}
    }
}

/// The schema with texts that are shown as they are: without what sets the direction of text.
pub(super) fn plain_texts(schema: &Value) -> Value {
    let mut schema = schema.clone();
    with_texts(&mut schema, &|text| text::lines(text, MAX_TEXT));
    schema
}

/// The schema with texts that CommonMark shows as they are.
pub(super) fn common_mark_texts(schema: &Value) -> Value {
    let mut schema = schema.clone();
    with_texts(&mut schema, &|text| text::common_mark(&text::lines(text, MAX_TEXT)));
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_written_anew_and_data_stays() {
        let mut schema = json!({
            "title": "a", "default": { "title": "a" }, "examples": ["a"], "anyOf": [{ "description": "a" }],
            "properties": { "title": { "description": "a" }, "enum": { "title": "a", "enum": ["a"] } },
            "items": { "description": "a", "not": { "title": 3 } },
        });
        with_texts(&mut schema, &|text| format!("{text}!"));
        assert_eq!(
            schema,
            json!({
                "title": "a!", "default": { "title": "a" }, "examples": ["a"], "anyOf": [{ "description": "a!" }],
                "properties": { "title": { "description": "a!" }, "enum": { "title": "a!", "enum": ["a"] } },
                "items": { "description": "a!", "not": { "title": 3 } },
            })
        );
    }
}
