//! Path parameters and queries into types, through serde.
//!
//! Every value is text; a type that wants a number or a boolean gets it parsed. A key that stands
//! several times fills a list, and is refused where one value is wanted. Invariant: nothing is
//! guessed; text that does not parse is an error that names the key.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

#[cfg(test)]
mod tests;

/// Names and values, decoded, in the order of the request.
pub(crate) type Pairs = Vec<(String, String)>;

/// What does not fit, in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormError {
    key: Option<String>,
    problem: String,
}

/// Splits and decodes what stands after the question mark (WHATWG URL, section 5.1).
pub(crate) fn parse_query(query: &str) -> Result<Pairs, FormError> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key, true)?, decode(value, true)?))
        })
        .collect()
}

/// Undoes percent-encoding; `plus` says whether a plus is a space, as in queries.
pub(crate) fn decode(text: &str, plus: bool) -> Result<String, FormError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"),
                _ => {
                    return Err(FormError::custom("a percent sign that two hexadecimal digits do not follow"));
                }
            },
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| FormError::custom("text that is not UTF-8"))
}

/// A query into a type: a struct or map of values.
pub(crate) fn query<T: DeserializeOwned>(pairs: &Pairs) -> Result<T, FormError> {
    T::deserialize(Form { pairs, positional: false })
}

/// Path parameters into a type: by name into a struct or map, in order into a tuple, or the only
/// one into a single value.
pub(crate) fn path<T: DeserializeOwned>(pairs: &Pairs) -> Result<T, FormError> {
    T::deserialize(Form { pairs, positional: true })
}

#[derive(Clone, Copy)]
struct Form<'a> {
    pairs: &'a Pairs,
    positional: bool,
}

impl<'a> Form<'a> {
    /// The only value, where the type wants one instead of a struct.
    fn only(self) -> Result<Value<'a>, FormError> {
        match self.pairs.as_slice() {
            [(_, value)] if self.positional => Ok(Value(vec![value])),
            _ => Err(FormError::custom("the endpoint reads it into a type without named fields")),
        }
    }
}

macro_rules! forward_only {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
            self.only()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Form<'_> {
    type Error = FormError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        let mut entries: Vec<(&str, Vec<&str>)> = Vec::new();
        for (key, value) in self.pairs {
            match entries.iter_mut().find(|(known, _)| known == key) {
                Some((_, values)) => values.push(value),
                None => entries.push((key, vec![value])),
            }
        }
        visitor.visit_map(Entries { entries: entries.into_iter(), value: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FormError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        if !self.positional {
            return Err(FormError::custom("the endpoint reads it into a type without named fields"));
        }
        visitor.visit_seq(Items(self.pairs.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().into_iter()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, FormError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, FormError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FormError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FormError> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    forward_only! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_identifier
    }
}

struct Entries<'a> {
    entries: std::vec::IntoIter<(&'a str, Vec<&'a str>)>,
    value: Option<(&'a str, Vec<&'a str>)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = FormError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FormError> {
        self.value = self.entries.next();
        let Some((key, _)) = &self.value else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, FormError> = (*key).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FormError> {
        let (key, values) = self.value.take().ok_or_else(|| FormError::custom("a value without a key"))?;
        seed.deserialize(Value(values)).map_err(|error| FormError { key: Some(key.to_owned()), ..error })
    }
}

struct Items<'a>(std::vec::IntoIter<&'a str>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = FormError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, FormError> {
        self.0.next().map(|value| seed.deserialize(Value(vec![value]))).transpose()
    }
}

/// The values of one key: at least one.
struct Value<'a>(Vec<&'a str>);

impl<'a> Value<'a> {
    fn one(&self) -> Result<&'a str, FormError> {
        match self.0.as_slice() {
            [value] => Ok(value),
            _ => Err(FormError::custom("it stands more than once")),
        }
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty, $want:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
            let text = self.one()?;
            match text.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(FormError::custom(format_args!("{text:?} is not {}", $want))),
            }
        }
    )*};
}

macro_rules! floats {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
            let text = self.one()?;
            match text.parse::<$type>() {
                Ok(value) if value.is_finite() => visitor.$visit(value),
                _ => Err(FormError::custom(format_args!("{text:?} is not a number"))),
            }
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
            visitor.visit_str(self.one()?)
        }
    )*};
}

macro_rules! lists {
    ($($method:ident($($name:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, FormError> {
            visitor.visit_seq(Items(self.0.into_iter()))
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = FormError;

    parsed! {
        deserialize_bool visit_bool bool, "`true` or `false`";
        deserialize_i8 visit_i8 i8, "a whole number from -128 to 127";
        deserialize_i16 visit_i16 i16, "a whole number from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "a whole number of at most 32 bits";
        deserialize_i64 visit_i64 i64, "a whole number of at most 64 bits";
        deserialize_i128 visit_i128 i128, "a whole number of at most 128 bits";
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number of at most 64 bits, zero or more";
        deserialize_u128 visit_u128 u128, "a whole number of at most 128 bits, zero or more";
        deserialize_char visit_char char, "one character";
    }
    floats! {
        deserialize_f32 visit_f32 f32;
        deserialize_f64 visit_f64 f64;
    }
    texts! { deserialize_any deserialize_str deserialize_string deserialize_identifier }
    lists! {
        deserialize_seq()
        deserialize_tuple(_len: usize)
        deserialize_tuple_struct(_name: &'static str, _len: usize)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_bytes(self.one()?.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        match self.one()? {
            "" => visitor.visit_unit(),
            text => Err(FormError::custom(format_args!("{text:?} stands where nothing may"))),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, FormError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FormError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FormError> {
        let text: StrDeserializer<'_, FormError> = self.one()?.into_deserializer();
        visitor.visit_enum(text)
    }

    fn deserialize_map<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, FormError> {
        Err(FormError::custom("the endpoint reads it into a nested type, which a query cannot hold"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FormError> {
        self.deserialize_map(visitor)
    }
}

impl Error for FormError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self { key: None, problem: problem.to_string() }
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "`{key}`: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl std::error::Error for FormError {}
