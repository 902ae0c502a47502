//! Gives the texts of paths, queries and forms the types that a schema declares.
//!
//! A URL has no numbers: `limit=5` is a text. A schema that declares an integer means the number, so a text is converted
//! if it is one in the declared type, and stays a text otherwise, which the schema then refuses. Nothing is guessed: no
//! default is filled in, and a name that the schema does not know stays a text.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Number, Value};

use super::document::Document;

/// The schemas that are looked at for the types of one part. Others declare nothing: their texts stay texts.
const MAX_LOOKS: usize = 20_000;

/// The types that a schema allows, as far as they matter for a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TextTypes {
    pub(super) integer: bool,
    pub(super) number: bool,
    pub(super) boolean: bool,
    pub(super) string: bool,
    pub(super) array: bool,
    pub(super) object: bool,
    /// Of the items, if it may be an array.
    items: Option<Box<TextTypes>>,
}

/// The types of the fields of one part of the input.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldTypes {
    by_name: HashMap<String, TextTypes>,
    /// Of the names that are not listed.
    others: TextTypes,
}

/// Collects types from a document. The number of its steps is bounded: references may lead to the same schema often.
pub(super) struct TypeReader<'d, 's> {
    document: &'d Document<'s>,
    looks: usize,
}

impl<'d, 's> TypeReader<'d, 's> {
    pub(super) fn new(document: &'d Document<'s>) -> Self {
        Self { document, looks: 0 }
    }

    /// The types that a schema allows.
    pub(super) fn types(&mut self, schema: &'s Value) -> TextTypes {
        self.types_to(schema, true)
    }

    /// The types that a schema allows, and those of its items, but not those of the items of items: no text is a list
    /// of lists.
    fn types_to(&mut self, schema: &'s Value, with_items: bool) -> TextTypes {
        let mut types = TextTypes::default();
        self.each(schema, &mut |reader, schema| {
            match schema.get("type") {
                Some(Value::String(name)) => types.allow(name),
                Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(|name| types.allow(name)),
                _ => {
                    let options = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
                    options.chain(schema.get("const")).for_each(|option| types.allow(kind(option)));
                }
            }
            let listed = schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
            for items in listed.chain(schema.get("items")).filter(|_| with_items) {
                let items = reader.types_to(items, false);
                types.items.get_or_insert_default().join(items);
            }
        });
        types
    }

    /// The types of the fields of an object.
    pub(super) fn fields(&mut self, schema: &'s Value) -> FieldTypes {
        let mut fields = FieldTypes::default();
        self.each(schema, &mut |reader, schema| {
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let types = reader.types(field);
                fields.by_name.entry(name.clone()).or_default().join(types);
            }
            let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::values);
            for others in patterns.chain(schema.get("additionalProperties")) {
                let types = reader.types(others);
                fields.others.join(types);
            }
        });
        fields
    }

    /// Visits a schema and all that may be applied to the same value with it.
    fn each(&mut self, schema: &'s Value, visit: &mut dyn FnMut(&mut Self, &'s Map<String, Value>)) {
        let mut open = vec![schema];
        while let Some(value) = open.pop() {
            let Value::Object(schema) = value else { continue };
            self.looks += 1;
            if self.looks > MAX_LOOKS {
                return;
            }
            visit(self, schema);
            let lists = ["allOf", "anyOf", "oneOf"].iter().filter_map(|keyword| schema.get(*keyword)?.as_array());
            open.extend(lists.flatten());
            open.extend(["then", "else"].iter().filter_map(|keyword| schema.get(*keyword)));
            if let (Some(reference), Some(node)) =
                (schema.get("$ref").and_then(Value::as_str), self.document.node(value))
            {
                open.extend(self.document.resolve(node, reference));
            }
        }
    }
}

impl TextTypes {
    fn allow(&mut self, name: &str) {
        match name {
            "integer" => self.integer = true,
            "number" => self.number = true,
            "boolean" => self.boolean = true,
            "string" => self.string = true,
            "array" => self.array = true,
            "object" => self.object = true,
            _ => {}
        }
    }

    fn join(&mut self, other: Self) {
        self.integer |= other.integer;
        self.number |= other.number;
        self.boolean |= other.boolean;
        self.string |= other.string;
        self.array |= other.array;
        self.object |= other.object;
        if let Some(items) = other.items {
            self.items.get_or_insert_default().join(*items);
        }
    }

    /// True if a string is all that fits.
    pub(super) fn is_string(&self) -> bool {
        *self == Self { string: true, ..Self::default() }
    }

    /// The values of one name.
    fn value(&self, mut texts: Vec<String>) -> Value {
        let is_scalar = self.integer || self.number || self.boolean || self.string;
        if texts.len() == 1 && (!self.array || is_scalar) {
            return self.scalar(texts.swap_remove(0));
        }
        // A name that occurs twice where one value is wanted is an array, too, which the schema refuses.
        let none = Self::default();
        let items = self.items.as_deref().unwrap_or(&none);
        Value::Array(texts.into_iter().map(|text| items.scalar(text)).collect())
    }

    /// One text in the first of the types that it is in.
    fn scalar(&self, text: String) -> Value {
        let number = (self.integer || self.number).then(|| self.parsed(&text)).flatten();
        match text.as_str() {
            "true" if self.boolean => Value::Bool(true),
            "false" if self.boolean => Value::Bool(false),
            _ => number.map_or(Value::String(text), Value::Number),
        }
    }

    /// A text as a number: a whole one where no fraction is allowed.
    fn parsed(&self, text: &str) -> Option<Number> {
        let signed = || text.parse::<i64>().map(Number::from);
        if let Ok(whole) = text.parse::<u64>().map(Number::from).or_else(|_| signed()) {
            return Some(whole);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let begins_as_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        // `inf` and `NaN` are numbers for Rust, and not for JSON.
        let may_be = is_whole || (self.number && begins_as_number);
        may_be.then(|| text.parse().ok().and_then(Number::from_f64)).flatten()
    }
}

impl FieldTypes {
    /// The object that names and values stand for. A name that occurs several times has an array.
    pub(super) fn object(&self, pairs: impl IntoIterator<Item = (String, String)>) -> Map<String, Value> {
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, text) in pairs {
            texts.entry(name).or_default().push(text);
        }
        let typed = |name: &str| self.by_name.get(name).unwrap_or(&self.others);
        let field = |(name, texts): (String, Vec<String>)| {
            let value = typed(&name).value(texts);
            (name, value)
        };
        texts.into_iter().map(field).collect()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
