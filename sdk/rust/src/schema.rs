//! Makes the JSON Schemas (2020-12) of an endpoint's input and output, for the manifest.

use http::HeaderName;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Largest schema that the contract takes, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Collects the schemas of an endpoint's arguments and of its answer.
#[derive(Debug)]
pub struct Schemas {
    input: SchemaGenerator,
    output: SchemaGenerator,
    path: Option<Value>,
    query: Option<Value>,
    body: Option<Value>,
    answer: Option<Value>,
    /// The header fields that arguments read and that a quote depends on.
    headers: Vec<HeaderName>,
    /// The parts of the request that are being added may be absent.
    optional: bool,
    /// The body may be absent.
    optional_body: bool,
    /// The query may be absent.
    optional_query: bool,
}

/// A mistake of the plugin's author that keeps a schema out of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// A schema is larger than the contract takes.
    TooLarge { bytes: usize },
    /// The type of the path argument has a field that the path does not name.
    UnknownParameter { field: String },
}

impl Schemas {
    pub(crate) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|s| s.meta_schema = None);
        Self {
            input: settings.clone().for_deserialize().into_generator(),
            output: settings.for_serialize().into_generator(),
            path: None,
            query: None,
            body: None,
            answer: None,
            headers: Vec::new(),
            optional: false,
            optional_body: false,
            optional_query: false,
        }
    }

    /// Adds the schema of the path's parameters, which are read as a `T`.
    pub fn path<T: JsonSchema>(&mut self) {
        self.path = Some(T::json_schema(&mut self.input).to_value());
    }

    /// Adds the schema of the query, which is read as a `T`.
    pub fn query<T: JsonSchema>(&mut self) {
        self.query = Some(T::json_schema(&mut self.input).to_value());
        self.optional_query = self.optional;
    }

    /// Adds the schema of the body, which is read as the JSON of a `T`.
    pub fn body<T: JsonSchema>(&mut self) {
        self.body = Some(T::json_schema(&mut self.input).to_value());
        self.optional_body = self.optional;
    }

    /// Adds a header field that an argument reads, so that a quote sees it, too.
    pub fn header(&mut self, name: &HeaderName) {
        self.headers.push(name.clone());
    }

    /// Takes the header fields that arguments read.
    pub(crate) fn take_headers(&mut self) -> Vec<HeaderName> {
        std::mem::take(&mut self.headers)
    }

    /// Adds the schema of the body, which is read as a `T` from the pairs of a form.
    pub fn form<T: JsonSchema>(&mut self) {
        self.body::<T>();
        if let Some(Value::Object(body)) = &mut self.body {
            body.insert("contentMediaType".to_owned(), "application/x-www-form-urlencoded".into());
        }
    }

    /// Adds what `describe` adds, as parts of the request that may be absent.
    pub(crate) fn optional(&mut self, describe: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.optional, true);
        describe(self);
        self.optional = before;
    }

    /// Adds the schema of a successful answer's body, which is the JSON of a `T`.
    pub fn output<T: JsonSchema>(&mut self) {
        self.answer = Some(T::json_schema(&mut self.output).to_value());
    }

    /// Makes the input schema of an endpoint whose path has these parameters, and the output schema.
    pub(crate) fn finish(mut self, params: &[&str]) -> Result<(Option<String>, Option<String>), SchemaError> {
        let path = self.path.map(|schema| named(schema, params)).transpose()?;
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, part) in [("path", path), ("query", self.query), ("body", self.body)] {
            let Some(part) = part else { continue };
            // A query whose every field is optional may be left out; a body may not.
            let has_required = part.get("required").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
            let is_required = match name {
                "query" => has_required && !self.optional_query,
                "body" => !self.optional_body,
                _ => true,
            };
            if is_required {
                required.push(name);
            }
            properties.insert(name.to_owned(), part);
        }
        let input = match properties.is_empty() {
            true => None,
            false => {
                let schema = json!({ "type": "object", "properties": properties, "required": required });
                Some(text(schema, &mut self.input)?)
            }
        };
        let output = self.answer.map(|schema| text(schema, &mut self.output)).transpose()?;
        Ok((input, output))
    }
}

/// Writes a schema, with the definitions that its references point to in `$defs`.
fn text(mut schema: Value, generator: &mut SchemaGenerator) -> Result<String, SchemaError> {
    let definitions = generator.take_definitions(true);
    if let (Value::Object(root), false) = (&mut schema, definitions.is_empty()) {
        root.insert("$defs".to_owned(), Value::Object(definitions));
    }
    let text = schema.to_string();
    match text.len() {
        bytes if bytes > MAX_BYTES => Err(SchemaError::TooLarge { bytes }),
        _ => Ok(text),
    }
}

/// Makes the path's schema an object with a property for each parameter, also where the endpoint reads a single value
/// or a tuple.
fn named(schema: Value, params: &[&str]) -> Result<Value, SchemaError> {
    if let Some(Value::Object(properties)) = schema.get("properties") {
        return match properties.keys().find(|field| !params.contains(&field.as_str())) {
            Some(field) if is_required(&schema, field) => Err(SchemaError::UnknownParameter { field: field.clone() }),
            _ => Ok(schema),
        };
    }
    let mut properties = Map::new();
    let items = schema.get("prefixItems").and_then(Value::as_array);
    for (index, param) in params.iter().enumerate() {
        let part = match items {
            Some(items) => items.get(index).cloned(),
            None if params.len() == 1 => Some(schema.clone()),
            None => None,
        };
        properties.insert((*param).to_owned(), part.unwrap_or_else(|| json!({ "type": "string" })));
    }
    Ok(json!({ "type": "object", "properties": properties, "required": params }))
}

fn is_required(schema: &Value, field: &str) -> bool {
    schema.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|name| name == field))
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { bytes } => {
                write!(f, "a schema of {bytes} bytes; the limit is {MAX_BYTES}")
            }
            Self::UnknownParameter { field } => {
                write!(f, "the path has no parameter {{{field}}}, but its type wants one")
            }
        }
    }
}

impl std::error::Error for SchemaError {}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;

    use super::{SchemaError, Schemas};

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is read")]
    struct Owner {
        id: u32,
        #[serde(default)]
        team: String,
    }

    fn path<T: JsonSchema>(params: &[&str]) -> Result<(Option<String>, Option<String>), SchemaError> {
        let mut schemas = Schemas::new();
        schemas.path::<T>();
        schemas.finish(params)
    }

    #[test]
    fn a_path_type_with_a_field_that_the_path_lacks_is_an_error() {
        assert!(path::<Owner>(&["id", "team"]).is_ok());
        assert!(path::<Owner>(&["id"]).is_ok());
        let unknown = SchemaError::UnknownParameter { field: "id".to_owned() };
        assert_eq!(path::<Owner>(&["user"]), Err(unknown));
    }

    #[test]
    fn a_schema_larger_than_the_contract_takes_is_an_error() {
        #[derive(JsonSchema)]
        #[schemars(description = "x".repeat(70_000))]
        struct Large {}
        let mut schemas = Schemas::new();
        schemas.output::<Large>();
        assert!(matches!(schemas.finish(&[]), Err(SchemaError::TooLarge { bytes }) if bytes > 70_000));
    }
}
