//! Deserializes the values of one key.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, SeqAccess, Visitor};

use super::error::FormError;

use super::decode::FormField;

/// The text of a value.
#[derive(Clone, Copy)]
pub(super) struct ValueText<'a> {
    pub(super) text: &'a str,
    /// The request has it as percent-encoded UTF-8, or need not encode it.
    pub(super) is_encoded: bool,
}

impl<'a> ValueText<'a> {
    pub(super) fn of(field: &'a FormField) -> Self {
        Self { text: &field.text, is_encoded: field.is_encoded }
    }
}

/// The values of a list or a tuple.
pub(super) struct ValueList<'a>(pub(super) std::vec::IntoIter<ValueText<'a>>);

impl<'de> SeqAccess<'de> for ValueList<'_> {
    type Error = FormError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, FormError> {
        self.0.next().map(|value| seed.deserialize(FieldValue(vec![value]))).transpose()
    }
}

/// The values of one key: at least one.
pub(super) struct FieldValue<'a>(pub(super) Vec<ValueText<'a>>);

impl<'a> FieldValue<'a> {
    /// The value, if the key occurs once and can be decoded.
    fn one(&self) -> Result<&'a str, FormError> {
        match self.0.as_slice() {
            [ValueText { text, is_encoded: true }] => Ok(text),
            [_] => Err(FormError::new("encoding", "it is not percent-encoded UTF-8: write %25 for a percent sign")),
            _ => Err(FormError::new("type", "it stands more than once")),
        }
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty, $want:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
            let text = self.one()?;
            match text.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(FormError::new("type", format_args!("{text:?} is not {}", $want))),
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
                _ => Err(FormError::new("type", format_args!("{text:?} is not a number"))),
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
            visitor.visit_seq(ValueList(self.0.into_iter()))
        }
    )*};
}

impl<'de> Deserializer<'de> for FieldValue<'_> {
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
