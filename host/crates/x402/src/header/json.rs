//! Reads JSON from outside: one object, without duplicate keys, not deeper than [`MAX_DEPTH`].
//!
//! With duplicate keys two readers of one document could see two payments. Errors name keys and positions, never
//! values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use crate::Object;

/// The deepest nesting of objects and arrays. Payments need 5 levels; schemas in echoed extensions need more.
pub const MAX_DEPTH: u8 = 32;

/// The longest key that an error repeats, in characters.
const MAX_KEY_SHOWN: usize = 40;

/// The reason why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonError {
    #[error("it is empty")]
    Empty,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it is not JSON, from line {line} column {column} on")]
    Syntax { line: usize, column: usize },
    /// A rule of [`StrictJson`] is broken, in a sentence.
    #[error("{0}")]
    Refused(String),
    #[error("it is JSON, but not an object")]
    NotObject,
}

/// Reads one object and nothing after it.
pub(super) fn object(json: &[u8]) -> Result<Object, JsonError> {
    let json = std::str::from_utf8(json).map_err(|_| JsonError::NotUtf8)?;
    if json.trim_ascii().is_empty() {
        return Err(JsonError::Empty);
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = StrictJson { depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(refusal)?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError::NotObject),
    }
}

fn refusal(error: serde_json::Error) -> JsonError {
    let (line, column) = (error.line(), error.column());
    if error.is_data() {
        // Only `StrictJson` makes data errors; serde_json appends line and column.
        JsonError::Refused(error.to_string())
    } else {
        JsonError::Syntax { line, column }
    }
}

/// Deserialises a `serde_json::Value` by the rules of this module.
struct StrictJson {
    depth: u8,
}

impl StrictJson {
    fn deeper<E: serde::de::Error>(&self) -> Result<u8, E> {
        if self.depth < MAX_DEPTH {
            Ok(self.depth + 1)
        } else {
            Err(E::custom(format_args!("it nests deeper than {MAX_DEPTH} levels")))
        }
    }
}

impl<'de> DeserializeSeed<'de> for StrictJson {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictJson {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("it holds a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(StrictJson { depth })? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut object = Object::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key `{}` occurs twice", shown(&key))));
            }
            let value = entries.next_value_seed(StrictJson { depth })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// Shortens and escapes a key for an error message or a log line.
fn shown(key: &str) -> String {
    key.chars().take(MAX_KEY_SHOWN).flat_map(char::escape_default).collect()
}
