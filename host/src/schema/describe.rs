//! Describes a schema for documents that hold it as a part: OpenAPI, and the extension `bazaar`.
//!
//! There a reference within the schema has to lead to its place in the document, and parameters of a path and of a query
//! stand by themselves. A schema whose references lead nowhere, or out of it, is not described.

use serde_json::{Value, json};

use super::body::BodyKind;
use super::compile::{fragment, without_names};
use super::document::SchemaDocument;
use super::types::TypeReader;

/// Keywords that say nothing of which values fit.
const ANNOTATIONS: [&str; 6] = ["title", "description", "examples", "example", "default", "$comment"];

/// The parts of an endpoint's input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DescribedInput {
    pub path: Vec<DescribedField>,
    pub query: Vec<DescribedField>,
    pub body: Option<DescribedBody>,
    /// The whole schema, if the parts refer to places in it.
    pub definitions: Option<Value>,
}

/// A parameter of a path or of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedField {
    pub name: String,
    pub schema: Value,
    pub is_required: bool,
}

/// A body.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedBody {
    pub schema: Value,
    /// The media type that the schema means.
    pub media_type: String,
    pub is_required: bool,
}

/// A schema whose references lead to its own place in a document.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedSchema {
    pub schema: Value,
    /// True if it has any reference: then it has to stand at its place.
    pub refers: bool,
}

impl PlacedSchema {
    /// Places a schema at a URI fragment such as `#/components/schemas/x`. None if it cannot be followed.
    pub fn new(schema: &Value, place: &str) -> Option<Self> {
        SchemaDocument::read(schema).ok().map(|document| Self::of(schema, &document, place))
    }

    fn of(schema: &Value, document: &SchemaDocument<'_>, place: &str) -> Self {
        let (mut placed, mut refers) = (schema.clone(), false);
        for node in &document.nodes {
            let Some(Value::Object(fields)) = placed.pointer_mut(&node.pointer) else { continue };
            without_names(fields);
            fields.shift_remove("$schema");
            for (keyword, pointer) in &node.references {
                refers = true;
                fields.shift_remove(*keyword);
                let reference = Value::from(format!("{place}{}", fragment(pointer)));
                if !fields.contains_key("$ref") {
                    fields.insert("$ref".to_owned(), reference);
                } else if let Value::Array(all) = fields.entry("allOf").or_insert_with(|| json!([])) {
                    all.push(json!({ "$ref": reference }));
                }
            }
        }
        Self { schema: placed, refers }
    }
}

/// Describes the schema of an input whose definitions will stand at a place, as for [`PlacedSchema::new`].
pub fn describe_input(schema: &Value, place: &str) -> Option<DescribedInput> {
    let document = SchemaDocument::read(schema).ok()?;
    let placed = PlacedSchema::of(schema, &document, place);
    let mut reader = TypeReader::new(&document);
    let [path, query, body] = ["path", "query", "body"].map(|name| reader.property(schema, name));
    let describer = Describer { document: &document, placed: &placed.schema };
    let (path, query) = (describer.fields(&mut reader, &path), describer.fields(&mut reader, &query));
    let kind = BodyKind::of(&document, &body, &mut reader);
    let (media_type, is_required) = (kind.media_type(reader.media_type(&body)), document.requires(schema, "body"));
    let body = describer.joined(&body).map(|schema| DescribedBody { schema, media_type, is_required });
    Some(DescribedInput { path, query, body, definitions: placed.refers.then_some(placed.schema) })
}

/// A schema without its titles, descriptions, examples and defaults.
pub fn without_annotations(schema: &Value) -> Value {
    let Ok(document) = SchemaDocument::read(schema) else { return Value::Bool(true) };
    let mut bare = schema.clone();
    // An annotation is no schema, so no node stands below one.
    for node in &document.nodes {
        if let Some(Value::Object(fields)) = bare.pointer_mut(&node.pointer) {
            ANNOTATIONS.iter().for_each(|keyword| drop(fields.shift_remove(*keyword)));
        }
    }
    bare
}

/// Finds the parts of a placed schema by those of the original.
struct Describer<'d, 's> {
    document: &'d SchemaDocument<'s>,
    placed: &'d Value,
}

impl<'s> Describer<'_, 's> {
    /// The fields of an object that has these schemas.
    fn fields(&self, reader: &mut TypeReader<'_, 's>, part: &[&'s Value]) -> Vec<DescribedField> {
        let is_required = |name: &str| part.iter().any(|schema| self.document.requires(schema, name));
        let names = reader.names(part);
        let described = names.into_iter().filter_map(|name| {
            let schemas: Vec<&'s Value> = part.iter().flat_map(|schema| reader.property(schema, name)).collect();
            let schema = self.joined(&schemas)?;
            Some(DescribedField { name: name.to_owned(), schema, is_required: is_required(name) })
        });
        described.collect()
    }

    /// The placed schema of a value that has all of these.
    fn joined(&self, schemas: &[&'s Value]) -> Option<Value> {
        let mut placed: Vec<Value> = schemas.iter().map(|schema| self.placed(schema)).collect();
        if placed.len() > 1 { Some(json!({ "allOf": placed })) } else { placed.pop() }
    }

    fn placed(&self, schema: &Value) -> Value {
        let node = self.document.node(schema).map(|index| &self.document.nodes[index]);
        // What is no object is `true` or `false`.
        node.and_then(|node| self.placed.pointer(&node.pointer)).unwrap_or(schema).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "#/components/schemas/x";

    #[test]
    fn an_input_is_described_part_by_part() {
        let schema = json!({ "type": "object", "required": ["body"], "properties": {
            "path": { "properties": { "who": { "type": "string" } }, "required": ["who"] },
            "query": { "$ref": "#/$defs/Query" },
            "body": { "type": "object", "properties": { "next": { "$ref": "#/properties/body" } } },
        }, "$defs": { "Query": { "required": ["n"], "properties": {
            "n": { "type": "integer", "description": "How many." }, "kind": { "$ref": "#Kind" } } },
            "Kind": { "$anchor": "Kind", "enum": ["a", "b"] } } });
        let described = describe_input(&schema, PLACE).expect("a description");
        let field =
            |name: &str, schema: Value, is_required| DescribedField { name: name.to_owned(), schema, is_required };
        assert_eq!(described.path, [field("who", json!({ "type": "string" }), true)]);
        let kind = json!({ "$ref": format!("{PLACE}/$defs/Kind") });
        assert_eq!(
            described.query,
            [field("n", json!({ "type": "integer", "description": "How many." }), true), field("kind", kind, false)]
        );
        let body = described.body.expect("a body");
        assert_eq!((body.media_type.as_str(), body.is_required), ("application/json", true));
        assert_eq!(body.schema["properties"]["next"]["$ref"], format!("{PLACE}/properties/body"));
        let definitions = described.definitions.expect("it refers to itself");
        assert_eq!(definitions["$defs"]["Kind"], json!({ "enum": ["a", "b"] }), "an anchor would clash with another's");
    }

    #[test]
    fn the_media_type_of_a_body_is_the_one_that_is_read() {
        let media = |body: Value| {
            let described = describe_input(&json!({ "properties": { "body": body } }), PLACE).expect("a description");
            described.body.expect("a body").media_type
        };
        assert_eq!(media(json!({ "type": "string" })), "text/plain");
        assert_eq!(media(json!({ "type": "string", "contentMediaType": "image/png" })), "image/png");
        assert_eq!(media(json!({ "type": "object" })), "application/json");
        let form = "application/x-www-form-urlencoded";
        assert_eq!(media(json!({ "type": "object", "contentMediaType": form })), form);
    }

    #[test]
    fn a_schema_without_annotations_takes_the_same_values() {
        let schema = json!({ "title": "A", "properties": { "title": { "type": "string", "description": "b" },
            "default": { "default": 1 } }, "examples": [{ "title": "x" }], "enum": [{ "description": "kept" }] });
        let bare = json!({ "properties": { "title": { "type": "string" }, "default": {} },
            "enum": [{ "description": "kept" }] });
        assert_eq!(without_annotations(&schema), bare);
    }

    #[test]
    fn what_leads_out_of_the_schema_is_not_described() {
        let schema = json!({ "properties": { "query": { "$ref": "https://a.example/schema" } } });
        assert_eq!(describe_input(&schema, PLACE), None);
        assert_eq!(PlacedSchema::new(&schema, PLACE), None);
    }
}
