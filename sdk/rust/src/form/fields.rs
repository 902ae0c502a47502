//! Deserializes names and values into a struct, a map, a tuple or a single value.

use std::collections::HashMap;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

use super::decode::{FormField, Pairs};
use super::error::FormError;
use super::value::{FieldValue, ValueText};

/// Reads a query into a type: a struct or map of values. A field that is not percent-encoded UTF-8 is an error if the
/// type has it.
pub(crate) fn query<T: DeserializeOwned>(fields: &[FormField]) -> Result<T, FormError> {
    let pairs = fields.iter().map(|field| (field.name.as_str(), ValueText::of(field))).collect();
    T::deserialize(Form { pairs, positional: false })
}

/// Reads path parameters into a type: by name into a struct or map, by order into a tuple, or the only one into a
/// single value.
pub(crate) fn path<T: DeserializeOwned>(params: &Pairs) -> Result<T, FormError> {
    let pairs = params.iter().map(|(name, text)| (name.as_str(), ValueText { text, is_encoded: true })).collect();
    T::deserialize(Form { pairs, positional: true })
}

/// A deserializer of names and values.
struct Form<'a> {
    pairs: Vec<(&'a str, ValueText<'a>)>,
    /// The values can also be read by their order, as a path's can.
    positional: bool,
}

impl<'a> Form<'a> {
    /// The only value, for a type that is no struct.
    fn only(self) -> Result<(&'a str, FieldValue<'a>), FormError> {
        match self.pairs.as_slice() {
            [(name, value)] if self.positional => Ok((name, FieldValue(vec![*value]))),
            _ => Err(FormError::custom("the endpoint reads it into a type without named fields")),
        }
    }
}

macro_rules! forward_only {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
            let (name, value) = self.only()?;
            value.$method(visitor).map_err(|error| error.at(name))
        }
    )*};
}

impl<'de> Deserializer<'de> for Form<'_> {
    type Error = FormError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        let mut entries: Vec<(&str, Vec<ValueText<'_>>)> = Vec::new();
        // Clients choose the number of keys: to look for each among all others would take their square.
        let mut places = HashMap::new();
        for (key, value) in self.pairs {
            let place = *places.entry(key).or_insert(entries.len());
            match entries.get_mut(place) {
                Some((_, values)) => values.push(value),
                None => entries.push((key, vec![value])),
            }
        }
        visitor.visit_map(KeyedValues { entries: entries.into_iter(), value: None })
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
        visitor.visit_seq(OrderedValues(self.pairs.into_iter()))
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
        let (key, value) = self.only()?;
        value.deserialize_enum(name, variants, visitor).map_err(|error| error.at(key))
    }

    forward_only! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_identifier
    }
}

/// The values by their order, for a tuple.
struct OrderedValues<'a>(std::vec::IntoIter<(&'a str, ValueText<'a>)>);

impl<'de> SeqAccess<'de> for OrderedValues<'_> {
    type Error = FormError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, FormError> {
        let Some((name, value)) = self.0.next() else { return Ok(None) };
        seed.deserialize(FieldValue(vec![value])).map(Some).map_err(|error| error.at(name))
    }
}

/// The values by key. A key that occurs several times has several values.
struct KeyedValues<'a> {
    entries: std::vec::IntoIter<(&'a str, Vec<ValueText<'a>>)>,
    value: Option<(&'a str, Vec<ValueText<'a>>)>,
}

impl<'de> MapAccess<'de> for KeyedValues<'_> {
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
        seed.deserialize(FieldValue(values)).map_err(|error| error.at(key))
    }
}
