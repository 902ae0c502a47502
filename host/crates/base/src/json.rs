//! Reads JSON from outside, without duplicate keys, and within bounds of depth and of memory.
//!
//! Of two values of one key some readers take the first and others the last, so two readers of such a document could
//! see two meanings (RFC 7493, section 2.3). A few bytes of a document may take hundreds of bytes of memory: `{"":0},`
//! takes seventy times its length. So the reader counts what it allocates, and refuses a document before its values
//! exist. Errors name keys and positions, never values.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::size_of;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The deepest nesting that can be read, and no [`Bounds`] allow more: `serde_json` recurses, and stops there.
pub const DEEPEST: usize = 127;

/// The longest key that an error repeats, in characters.
const MAX_KEY_SHOWN: usize = 40;

/// The memory of one field of an object, in bytes: its key, its value, its hash, and its place in a table.
const FIELD: usize = size_of::<(u64, String, Value)>() + size_of::<usize>() + 1;

/// The bounds of one document.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The deepest nesting of objects and arrays.
    pub depth: usize,
    /// The bytes that the values may take, and those that they take for a moment while an array or object grows.
    pub memory: usize,
}

/// The reason why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The reason names the place, too.
    #[error("{reason}")]
    Syntax { reason: String, line: usize, column: usize },
    #[error("the key `{key}` occurs twice at line {line} column {column}")]
    DuplicateKey { key: String, line: usize, column: usize },
    #[error("it nests deeper than {most} levels at line {line} column {column}")]
    TooDeep { most: usize, line: usize, column: usize },
    #[error("it takes more than {most} bytes of memory")]
    TooLarge { most: usize },
}

/// Reads one value, and nothing but white space after it.
pub fn parse(json: &[u8], bounds: Bounds) -> Result<Value, JsonError> {
    let state = ParseState { memory: Cell::new(bounds.memory), fault: RefCell::new(None) };
    let seed = StrictValue { state: &state, depth: bounds.depth };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match state.fault.into_inner() {
            Some(BrokenRule::DuplicateKey(key)) => JsonError::DuplicateKey { key, line, column },
            Some(BrokenRule::TooDeep) => JsonError::TooDeep { most: bounds.depth, line, column },
            Some(BrokenRule::TooLarge) => JsonError::TooLarge { most: bounds.memory },
            None => JsonError::Syntax { reason: error.to_string(), line, column },
        }
    })
}

/// A broken rule of this module. `serde_json` has no errors of another kind than text, so it is noted beside them.
enum BrokenRule {
    DuplicateKey(String),
    TooDeep,
    TooLarge,
}

/// The state of the parser of one document.
struct ParseState {
    /// The bytes that are left.
    memory: Cell<usize>,
    fault: RefCell<Option<BrokenRule>>,
}

impl ParseState {
    fn fail<E: serde::de::Error>(&self, fault: BrokenRule) -> E {
        *self.fault.borrow_mut() = Some(fault);
        E::custom("refused")
    }

    fn take<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.memory.get().checked_sub(bytes).ok_or_else(|| self.fail(BrokenRule::TooLarge))?;
        self.memory.set(left);
        Ok(())
    }

    /// Counts an allocation that replaces a smaller one. Both exist until the content has moved.
    fn grow<E: serde::de::Error>(&self, from: usize, to: usize) -> Result<(), E> {
        self.take(to)?;
        self.memory.set(self.memory.get() + from);
        Ok(())
    }

    fn text<E: serde::de::Error>(&self, text: &str) -> Result<(), E> {
        self.take(text.len())
    }
}

/// Deserialises a value by the rules of this module.
#[derive(Clone, Copy)]
struct StrictValue<'r> {
    state: &'r ParseState,
    /// The levels that are left.
    depth: usize,
}

impl StrictValue<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| self.state.fail(BrokenRule::TooDeep))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for StrictValue<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue<'_> {
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
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.state.text(value)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.state.text(&value)?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            if array.len() == array.capacity() {
                let more = array.len().max(4);
                let bytes = |capacity: usize| capacity * size_of::<Value>();
                self.state.grow(bytes(array.capacity()), bytes(array.len() + more))?;
                array.reserve_exact(more);
            }
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(self.state.fail(BrokenRule::DuplicateKey(shown(&key))));
            }
            self.state.text(&key)?;
            let (from, to) = (map_bytes(object.len()), map_bytes(object.len() + 1));
            if from < to {
                self.state.grow(from, to)?;
            }
            let value = fields.next_value_seed(inner)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// The memory of an object with so many fields, in bytes, without its keys and the content of its values. Its table
/// doubles when seven eighths of it are full.
fn map_bytes(fields: usize) -> usize {
    if fields == 0 { 0 } else { (fields * 8).div_ceil(7).next_power_of_two().max(4) * FIELD }
}

/// Shortens and escapes a key for an error message or a log line.
fn shown(key: &str) -> String {
    key.chars().take(MAX_KEY_SHOWN).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: Bounds = Bounds { depth: DEEPEST, memory: 1 << 30 };

    fn read(text: &str) -> Result<Value, JsonError> {
        parse(text.as_bytes(), LARGE)
    }

    #[test]
    fn a_document_is_what_the_usual_reader_reads() {
        for text in ["null", r#"{"a":[1,-2,0.5,1e300,"x\u00e9",true,null,{}],"b":18446744073709551615}"#, " 7 "] {
            let usual: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(read(text), Ok(usual), "{text}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for (text, key, column) in [
            (r#"{"a":{"b":1,"c":2,"b":3}}"#, "b", 21),
            (r#"{"a":1,"\u0061":2}"#, "a", 15),
            (r#"{"\n":1,"\n":1}"#, "\\n", 12),
        ] {
            let key = key.to_owned();
            assert_eq!(read(text), Err(JsonError::DuplicateKey { key, line: 1, column }), "{text}");
        }
        let long = format!("{{\"{0}\":1,\"{0}\":1}}", "k".repeat(500));
        assert!(read(&long).expect_err("twice").to_string().len() < 100);
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        let too_deep = [vec![b'['; 200], vec![b']'; 200]].concat();
        let lone_surrogate = br#""\ud800""#;
        let marked = b"\xef\xbb\xbf{}";
        for bytes in
            [&b"{"[..], b"", b"1 2", b"\xff", b"\"\xff\"", b"1e999", b"NaN", b"'a'", &too_deep, lone_surrogate, marked]
        {
            let refused = parse(bytes, LARGE);
            let JsonError::Syntax { reason, line: 1, .. } = refused.clone().expect_err("refused") else {
                panic!("{refused:?}")
            };
            assert!(reason.contains("line 1 column"), "{reason}");
        }
    }

    #[test]
    fn the_depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let bounds = Bounds { depth: 3, ..LARGE };
        assert!(parse(nested(3).as_bytes(), bounds).is_ok());
        let refused = parse(nested(4).as_bytes(), bounds);
        assert!(matches!(refused, Err(JsonError::TooDeep { most: 3, line: 1, .. })), "{refused:?}");
        assert!(read(&nested(DEEPEST)).is_ok());
    }

    #[test]
    fn the_memory_is_bounded_whatever_the_values_are() {
        let megabyte = Bounds { depth: DEEPEST, memory: 1 << 20 };
        let list = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        let keys: Vec<String> = (0..10_000).map(|n| format!("\"{n}\":0")).collect();
        let long = format!("\"{}\"", "a".repeat(1 << 20 | 1));
        // Each takes more than a megabyte, and the first of them is 6,000 bytes long.
        for text in
            [list(r#"{"":0}"#, 2_500), list("[0]", 5_000), list("0", 20_000), format!("{{{}}}", keys.join(",")), long]
        {
            let refused = parse(text.as_bytes(), megabyte);
            assert_eq!(refused, Err(JsonError::TooLarge { most: 1 << 20 }), "{text:.20}");
        }
        assert!(parse(list("0", 5_000).as_bytes(), megabyte).is_ok());
        assert!(parse(list(r#"{"":0}"#, 1_000).as_bytes(), megabyte).is_ok());
    }
}
