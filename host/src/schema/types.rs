//! Collects the types that a schema declares for the texts of paths, queries and forms.
//!
//! A schema declares them in many ways: behind references, in alternatives, for names that match a pattern. Whatever is
//! applied to a value may declare types of it, under a condition or not, so the types of all are joined.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::document::SchemaDocument;

/// The schemas that are looked at for the types of one input. Others declare nothing: their texts stay texts.
const MAX_LOOKS: usize = 20_000;

/// The types that a schema allows, as far as they matter for a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TextTypes {
    pub(super) integer: bool,
    pub(super) number: bool,
    pub(super) boolean: bool,
    pub(super) string: bool,
    pub(super) array: bool,
    object: bool,
    /// The types of the items of an array.
    pub(super) items: Option<Box<TextTypes>>,
}

/// The types of the fields of one part of the input.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldTypes {
    by_name: HashMap<String, TextTypes>,
    /// The types of the fields that `by_name` does not list.
    others: TextTypes,
}

/// Collects types from a document. The number of its steps is bounded: references may lead to the same schema often.
pub(super) struct TypeReader<'d, 's> {
    document: &'d SchemaDocument<'s>,
    looks: usize,
}

impl<'d, 's> TypeReader<'d, 's> {
    pub(super) fn new(document: &'d SchemaDocument<'s>) -> Self {
        Self { document, looks: 0 }
    }

    /// The schemas of the property with this name.
    pub(super) fn property(&mut self, schema: &'s Value, name: &str) -> Vec<&'s Value> {
        let mut found = Vec::new();
        self.each(schema, &mut |_, schema| found.extend(schema.get("properties").and_then(|fields| fields.get(name))));
        found
    }

    /// The names of the properties of an object that has these schemas, in their order, each once.
    pub(super) fn names(&mut self, schemas: &[&'s Value]) -> Vec<&'s str> {
        let (mut names, mut known) = (Vec::new(), HashSet::new());
        for schema in schemas {
            self.each(schema, &mut |_, schema| {
                let fields = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
                names.extend(fields.map(String::as_str).filter(|name| known.insert(*name)));
            });
        }
        names
    }

    /// The types that these schemas of one value allow.
    pub(super) fn types(&mut self, schemas: &[&'s Value]) -> TextTypes {
        schemas.iter().fold(TextTypes::default(), |types, schema| types.joined(self.types_to(schema, true)))
    }

    /// The first media type that these schemas of one string name.
    pub(super) fn media_type(&mut self, schemas: &[&'s Value]) -> Option<&'s str> {
        let mut named = None;
        for schema in schemas {
            self.each(schema, &mut |_, schema| {
                named = named.or_else(|| schema.get("contentMediaType").and_then(Value::as_str));
            });
        }
        named
    }

    /// The types of the fields of an object that has these schemas.
    pub(super) fn fields(&mut self, schemas: &[&'s Value]) -> FieldTypes {
        let mut fields = FieldTypes::default();
        for schema in schemas {
            self.each(schema, &mut |reader, schema| {
                for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    let types = reader.types_to(field, true);
                    fields.by_name.entry(name.clone()).or_default().join(types);
                }
                let patterns = schema.get("patternProperties").and_then(Value::as_object);
                let rest =
                    ["additionalProperties", "unevaluatedProperties"].iter().filter_map(|name| schema.get(*name));
                for others in patterns.into_iter().flat_map(Map::values).chain(rest) {
                    fields.others.join(reader.types_to(others, true));
                }
            });
        }
        fields
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
            let rest = ["items", "contains", "unevaluatedItems"].iter().filter_map(|name| schema.get(*name));
            for items in listed.chain(rest).filter(|_| with_items) {
                let items = reader.types_to(items, false);
                types.items.get_or_insert_default().join(items);
            }
        });
        types
    }

    /// Visits a schema and all that may be applied to the same value with it, but for what the value must not fit.
    fn each(&mut self, schema: &'s Value, visit: &mut dyn FnMut(&mut Self, &'s Map<String, Value>)) {
        let mut open = vec![schema];
        while let Some(value) = open.pop() {
            let Value::Object(schema) = value else { continue };
            self.looks += 1;
            if self.looks > MAX_LOOKS {
                return;
            }
            visit(self, schema);
            open.extend(self.document.applied_with(value));
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

    fn joined(mut self, other: Self) -> Self {
        self.join(other);
        self
    }

    /// True if a string is all that fits.
    pub(super) fn is_string(&self) -> bool {
        *self == Self { string: true, ..Self::default() }
    }
}

impl FieldTypes {
    /// The types of a field.
    pub(super) fn of(&self, name: &str) -> &TextTypes {
        self.by_name.get(name).unwrap_or(&self.others)
    }

    /// True if the schema says anything about a field.
    pub(super) fn describes(&self, name: &str) -> bool {
        self.by_name.contains_key(name) || self.others != TextTypes::default()
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
