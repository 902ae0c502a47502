//! Reads a body as the value that its schema is about.

use http::HeaderValue;
use serde_json::Value;

use super::coerce::{FieldTypes, TextTypes};
use super::input::{Input, InputPart, NoValue};
use super::{form, json, multipart};

/// The meaning of a body, by its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// The schema does not look at it.
    Unread,
    /// JSON, or a form.
    Structured,
    /// A string: of JSON if the media type says so, else the text of the body.
    Text,
    /// The text of the body, whatever its media type says: the schema names another media type than JSON.
    Raw,
}

/// The media type of a body, as far as it matters for its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    /// JSON, or nothing is said.
    Json,
    Form,
    Multipart,
    Other,
}

impl BodyKind {
    /// The meaning of a body that has this schema, which allows these types.
    pub(super) fn of(schema: &Value, types: &TextTypes) -> Self {
        let media = schema.get("contentMediaType").and_then(Value::as_str);
        let media = media.and_then(|media| HeaderValue::from_str(media).ok());
        match (types.is_string(), media) {
            (true, Some(media)) if Media::of(Some(&media)) != Media::Json => Self::Raw,
            (true, _) => Self::Text,
            (false, _) => Self::Structured,
        }
    }
}

impl Media {
    fn of(value: Option<&HeaderValue>) -> Self {
        let Some(text) = value.and_then(|value| value.to_str().ok()) else { return Self::Json };
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "" | "application/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" => Self::Multipart,
            other if other.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }
}

/// The body as a value. The fields of a form have these types.
pub(super) fn value(kind: BodyKind, fields: &FieldTypes, input: &Input<'_>) -> Result<Value, NoValue> {
    let text = || Value::String(String::from_utf8_lossy(input.body).into_owned());
    // Clients that name no type, or the one that curl names by itself, send JSON all the same.
    let begins_as_json = matches!(input.body.trim_ascii_start().first(), Some(b'{' | b'['));
    let no_form = |what: &str| NoValue::refused(InputPart::Body, "form", format!("it is not {what}"));
    match (kind, Media::of(input.media_type)) {
        (BodyKind::Raw, _) | (BodyKind::Text, Media::Form | Media::Multipart | Media::Other) => Ok(text()),
        (_, Media::Form) if !begins_as_json => {
            let form = std::str::from_utf8(input.body).ok().and_then(form::pairs);
            let form = form.ok_or_else(|| no_form("a form of percent-encoded UTF-8"))?;
            Ok(fields.object(form).into())
        }
        (_, Media::Multipart) => {
            let form = input.media_type.and_then(|media_type| multipart::fields(media_type, input.body));
            let form = form.ok_or_else(|| no_form("a multipart form whose parts have names"))?;
            Ok(fields.object(form).into())
        }
        (_, Media::Json | Media::Form | Media::Other) => json::parse(input.body).map_err(NoValue::from),
    }
}
