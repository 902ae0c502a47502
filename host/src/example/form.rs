//! Writes bodies of the media type multipart/form-data (RFC 7578).

use coinslot_plugin::EndpointInfo;
use serde_json::{Map, Value, json};

use super::request::plain;
use crate::schema::checks_itself;

pub(super) const URLENCODED: &str = "application/x-www-form-urlencoded";
pub(super) const MULTIPART: &str = "multipart/form-data";

/// The boundary of a form of parts; no value that is made contains it.
const BOUNDARY: &str = "----coinslot4f1d7c1f2b90d4";

/// True if a body with this schema is sent as a form although the schema names no media type: a property is a file, or a
/// list of files, and the plugin reads its body itself, as those in TypeScript and Python do. A host that reads the body
/// takes a form only where the schema names one.
pub(super) fn is_implied(endpoint: &EndpointInfo, schema: Option<&Value>) -> bool {
    let schema = schema.filter(|schema| schema.get("contentMediaType").is_none() && checks_itself(endpoint));
    let Some(schema) = schema else { return false };
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.is_some_and(|properties| properties.values().any(is_file))
}

/// True for a schema of bytes, as OpenAPI and zod write it, or of a list of them.
fn is_file(schema: &Value) -> bool {
    let has = |keyword: &str| schema.get(keyword).and_then(Value::as_str) == Some("binary");
    has("format") || has("contentEncoding") || schema.get("items").is_some_and(is_file)
}

/// The media type and the bytes of a form: one part for each value, and several for a list.
pub(super) fn multipart(fields: &Map<String, Value>, schema: Option<&Value>) -> (Option<String>, Vec<u8>) {
    let mut body = String::new();
    for (name, value) in fields {
        let schema = schema.and_then(|schema| schema.get("properties")?.get(name));
        let file = schema.filter(|schema| is_file(schema)).map(|schema| schema.get("items").unwrap_or(schema));
        let media = file.map(|file| file.get("contentMediaType").and_then(Value::as_str));
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        values.iter().for_each(|value| add_part(&mut body, name, value, media));
    }
    (Some(format!("{MULTIPART}; boundary={BOUNDARY}")), format!("{body}--{BOUNDARY}--\r\n").into_bytes())
}

/// A form for an endpoint of whose form nothing is known: with a text and a file.
pub(super) fn example() -> (Option<String>, Vec<u8>) {
    let fields = json!({ "example": "example", "file": "example" });
    let schema = json!({ "properties": { "file": { "format": "binary" } } });
    multipart(fields.as_object().unwrap_or(&Map::new()), Some(&schema))
}

/// Adds a part. `file` is the media type of a file, as far as one is declared; none for a field of text.
fn add_part(body: &mut String, name: &str, value: &Value, file: Option<Option<&str>>) {
    let safe = |text: &str| text.replace(['"', '\r', '\n'], "_");
    let head = match file {
        Some(media) => {
            let media = safe(media.unwrap_or("application/octet-stream"));
            format!("; filename=\"example\"\r\ncontent-type: {media}")
        }
        None => String::new(),
    };
    let (name, value) = (safe(name), plain(value));
    *body += &format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"{head}\r\n\r\n{value}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_a_part_for_each_value_and_files_have_names() {
        let schema = json!({ "properties": { "pages": { "type": "array", "items": {
            "type": "string", "format": "binary", "contentMediaType": "image/png" } } } });
        let fields = json!({ "a\"": 1, "pages": ["x", "y"] });
        let (media, body) = multipart(fields.as_object().expect("an object"), Some(&schema));
        assert_eq!(media.as_deref(), Some("multipart/form-data; boundary=----coinslot4f1d7c1f2b90d4"));
        let page = |text: &str| {
            format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"pages\"; filename=\"example\"\r\n\
                 content-type: image/png\r\n\r\n{text}\r\n"
            )
        };
        let first = format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"a_\"\r\n\r\n1\r\n");
        let expected = format!("{first}{}{}--{BOUNDARY}--\r\n", page("x"), page("y"));
        assert_eq!(String::from_utf8(body).expect("text"), expected);
    }
}
