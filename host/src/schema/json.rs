//! Parses JSON that is to be checked: without duplicate names, and up to a number of values.
//!
//! What is checked must be what the plugin reads. Of two values of one name some parsers take the first and others the
//! last, so a document with both is refused (RFC 7493, section 2.3). One value takes some 80 bytes of memory, and two
//! bytes of a body; a bound of their number bounds the memory.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The most values of one document: with them it takes some 80 MB.
const MAX_VALUES: usize = 1_000_000;

/// The reason why bytes are not a document that can be checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    /// They are not JSON; the text says where.
    Syntax(String),
    /// A name occurs twice in one object; the text says where.
    DuplicateName(String),
    TooManyValues,
}

/// Parses a document.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_up_to(bytes, MAX_VALUES)
}

fn parse_up_to(bytes: &[u8], most: usize) -> Result<Value, JsonError> {
    let parsing = Parsing { left: Cell::new(most), has_duplicate: Cell::new(false) };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Strict(&parsing).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| match parsing {
        Parsing { left, .. } if left.get() == 0 => JsonError::TooManyValues,
        Parsing { has_duplicate, .. } if has_duplicate.get() => JsonError::DuplicateName(error.to_string()),
        Parsing { .. } => JsonError::Syntax(error.to_string()),
    })
}

struct Parsing {
    left: Cell<usize>,
    has_duplicate: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Strict<'p>(&'p Parsing);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.0.left.get().saturating_sub(1);
        self.0.left.set(left);
        if left == 0 {
            return Err(D::Error::custom("too many values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
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

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if object.contains_key(&name) {
                self.0.has_duplicate.set(true);
                let name = coinslot_base::text::excerpt(&name, 64);
                return Err(A::Error::custom(format!("`{name}` stands twice in one object")));
            }
            let value = fields.next_value_seed(self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_what_the_usual_parser_reads() {
        for text in ["null", r#"{"a":[1,-2,0.5,1e300,"x\u00e9",true,null,{}],"b":18446744073709551615}"#, " 7 "] {
            let usual: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(parse(text.as_bytes()), Ok(usual), "{text}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let duplicate = parse(br#"{"a":{"b":1,"c":2,"b":3}}"#).expect_err("refused");
        assert!(matches!(&duplicate, JsonError::DuplicateName(text) if text.contains("`b`")), "{duplicate:?}");
        let escaped = parse(br#"{"a":1,"\u0061":2}"#).expect_err("refused");
        assert!(matches!(escaped, JsonError::DuplicateName(_)), "{escaped:?}");
        let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
        for bytes in [&b"{"[..], b"", b"1 2", b"\xff", b"\"\xff\"", b"1e999", b"NaN", b"'a'", &deep] {
            assert!(matches!(parse(bytes), Err(JsonError::Syntax(_))), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        assert!(parse_up_to(b"[0,0,0]", 5).is_ok());
        assert_eq!(parse_up_to(b"[0,0,0,0]", 5), Err(JsonError::TooManyValues));
    }
}
