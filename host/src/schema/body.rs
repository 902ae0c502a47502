//! Reads a body as the value that its schema is about.

use coinslot_base::json::{self, Bounds, DEEPEST};
use http::HeaderValue;
use serde_json::Value;

use super::coerce::{Coerced, NotEncoded};
use super::document::SchemaDocument;
use super::input::{Input, InputPart, NoValue};
use super::types::{FieldTypes, TypeReader};
use super::{form, multipart, text};

/// The bounds of JSON that is checked. Some 500,000 numbers or 180,000 small objects take so much memory.
pub(super) const JSON_BOUNDS: Bounds = Bounds { depth: DEEPEST, memory: 96 << 20 };

/// A byte order mark. Parsers may ignore one before JSON (RFC 8259, section 8.1), and those of the SDKs do.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Keywords that see whether an object has a field, beside `required` and `properties`.
const SEE_FIELDS: [&str; 8] = [
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
];

/// Keywords that see the content of any field. The first three do if they are schemas.
const SEE_CONTENT: [&str; 5] = ["additionalProperties", "unevaluatedProperties", "patternProperties", "const", "enum"];

/// The meaning of a body, by its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// The schema does not look at it.
    Unread,
    /// The schema sees whether there is one, and not what it is.
    Opaque,
    /// JSON.
    Structured,
    /// A form, also where no media type says so, or JSON: the schema names the media type of a form.
    Form,
    /// A string: of JSON if the media type says so, else the text of the body.
    Text,
    /// The text of the body, whatever its media type says: the schema names a media type of text.
    RawText,
    /// The bytes of the body, whatever its media type says: the schema names a media type that is no text.
    RawBytes,
}

/// The media type of a body, as far as it matters for its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyMedia {
    /// No media type is given.
    None,
    Json,
    Form,
    Multipart,
    Other,
}

impl BodyKind {
    /// The meaning of a body that has these schemas, which are those of a root.
    pub(super) fn of<'s>(
        document: &SchemaDocument<'s>,
        schemas: &[&'s Value],
        reader: &mut TypeReader<'_, 's>,
    ) -> Self {
        if schemas.is_empty() && !sees_content(document) {
            return if sees_presence(document) { Self::Opaque } else { Self::Unread };
        }
        let named = reader.media_type(schemas).map(str::to_ascii_lowercase);
        let media = named.as_deref().map_or(BodyMedia::None, BodyMedia::of);
        match (reader.types(schemas).is_string(), media) {
            (true, BodyMedia::None | BodyMedia::Json) => Self::Text,
            (true, _) if named.as_deref().is_some_and(text::is_text) => Self::RawText,
            (true, _) => Self::RawBytes,
            (false, BodyMedia::Form | BodyMedia::Multipart) => Self::Form,
            (false, _) => Self::Structured,
        }
    }

    /// The media type of such a body, of which the schema names this one.
    pub(super) fn media_type(self, named: Option<&str>) -> String {
        let usual = match self {
            Self::Text | Self::RawText => "text/plain",
            Self::RawBytes => "application/octet-stream",
            Self::Unread | Self::Opaque | Self::Structured | Self::Form => "application/json",
        };
        match (self, named) {
            (Self::Form | Self::RawText | Self::RawBytes, Some(named)) => named.to_ascii_lowercase(),
            _ => usual.to_owned(),
        }
    }

    /// True if the body may be an object or an array of JSON.
    pub(super) fn may_be_json(self) -> bool {
        matches!(self, Self::Structured | Self::Form)
    }
}

/// True if a schema sees that an object has a field `body`.
fn sees_presence(document: &SchemaDocument<'_>) -> bool {
    document.of_root_value().any(|node| {
        let mut required = node.schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let sees = |word: &&str| node.schema.get(*word).is_some_and(|value| *value != Value::Bool(true));
        required.any(|name| name == "body") || SEE_FIELDS.iter().any(sees)
    })
}

/// True if a schema sees what is in a field `body`, though it names none in `properties` where types are looked for.
fn sees_content(document: &SchemaDocument<'_>) -> bool {
    let sees = |value: &Value| match value {
        Value::Bool(_) => false,
        Value::Object(schemas) => !schemas.is_empty(),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => true,
    };
    document.of_root_value().any(|node| {
        let has_body = node.schema.get("properties").is_some_and(|fields| fields.get("body").is_some());
        has_body || SEE_CONTENT.iter().any(|word| node.schema.get(*word).is_some_and(sees))
    })
}

impl BodyMedia {
    fn of(essence: &str) -> Self {
        match essence {
            "" => Self::None,
            "application/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" => Self::Multipart,
            other if other.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }
}

/// The essence of a media type that a client sent. Empty if it is not text.
fn essence_of(media_type: &HeaderValue) -> String {
    text::essence(media_type.to_str().unwrap_or_default())
}

/// The body as a value. The fields of a form have these types. None if the request has no body: it is empty, and its
/// media type does not say that nothing is a value.
pub(super) fn read(kind: BodyKind, fields: &FieldTypes, input: &Input<'_>) -> Result<Option<Coerced>, NoValue> {
    let media = BodyMedia::of(&input.media_type.map(essence_of).unwrap_or_default());
    let is_value_if_empty = match (kind, media) {
        (BodyKind::Unread | BodyKind::Opaque, _) | (_, BodyMedia::None | BodyMedia::Json) => false,
        (BodyKind::Text | BodyKind::RawText | BodyKind::RawBytes, _) | (BodyKind::Form, BodyMedia::Form) => true,
        (BodyKind::Structured, _) | (BodyKind::Form, BodyMedia::Multipart | BodyMedia::Other) => false,
    };
    if kind == BodyKind::Unread || (input.body.is_empty() && !is_value_if_empty) {
        return Ok(None);
    }
    let json = input.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(input.body);
    // Clients that name no type, or the one that curl names by itself, send JSON all the same.
    let begins_as_json = matches!(json.trim_ascii_start().first(), Some(b'{' | b'['));
    let string = |text: String| Ok(Some(Coerced::only(text.into())));
    match (kind, media) {
        (BodyKind::Unread, _) => Ok(None),
        (BodyKind::Opaque, _) => Ok(Some(Coerced::only(Value::Null))),
        (BodyKind::RawBytes, _) => string(text::of_file(input.body)),
        (BodyKind::RawText, _) | (BodyKind::Text, BodyMedia::Form | BodyMedia::Multipart | BodyMedia::Other) => {
            string(text::of_text(input.body))
        }
        (BodyKind::Form, BodyMedia::None | BodyMedia::Form) if !begins_as_json => {
            object(fields, form::fields(input.body).ok_or(NoValue::TooLarge)?)
        }
        (BodyKind::Form, BodyMedia::Multipart) => object(fields, multipart::fields(input.media_type, input.body)?),
        // A plugin that expects JSON reads something else in a form, or nothing, and would sell that.
        (BodyKind::Structured, BodyMedia::Form) if !begins_as_json => Err(not_json()),
        (BodyKind::Structured, BodyMedia::Multipart) => Err(not_json()),
        (_, BodyMedia::None | BodyMedia::Json | BodyMedia::Form | BodyMedia::Other) => {
            json::parse(json, JSON_BOUNDS).map(|value| Some(Coerced::only(value))).map_err(NoValue::from)
        }
    }
}

fn not_json() -> NoValue {
    let reason = "it is a form, and this endpoint takes JSON: send it as `content-type: application/json`";
    NoValue::refused(InputPart::Body, "json", reason.to_owned())
}

/// Checks that a body of JSON can be read, within bounds and in one way. A form, or no body at all, is not looked at.
pub(super) fn check_json(kind: BodyKind, input: &Input<'_>) -> Result<(), NoValue> {
    let media = BodyMedia::of(&input.media_type.map(essence_of).unwrap_or_default());
    let json = input.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(input.body);
    let first = json.trim_ascii_start().first();
    let is_form = match (kind, media) {
        (_, BodyMedia::Multipart) => true,
        (_, BodyMedia::Form) | (BodyKind::Form, BodyMedia::None) => !matches!(first, Some(b'{' | b'[')),
        (_, BodyMedia::None | BodyMedia::Json | BodyMedia::Other) => false,
    };
    if !kind.may_be_json() || is_form || first.is_none() {
        return Ok(());
    }
    json::parse(json, JSON_BOUNDS).map(drop).map_err(NoValue::from)
}

fn object(types: &FieldTypes, fields: Vec<form::FormField>) -> Result<Option<Coerced>, NoValue> {
    let object = types.object(fields);
    object.map(Some).map_err(|NotEncoded(name)| NoValue::not_encoded(InputPart::Body, &name))
}
