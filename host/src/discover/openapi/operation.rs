//! Describes one endpoint as an operation of OpenAPI.

use coinslot_plugin::{Segment, Template};
use serde_json::{Map, Value, json};

use super::SIGN_IN;
use crate::discover::listing::ListedEndpoint;
use crate::discover::schema_texts::common_mark_texts;
use crate::discover::{price, text};
use crate::endpoint::Access;
use crate::schema::{DescribedField, DescribedInput, PlacedSchema, describe_input, essence};

/// The most bytes of a text.
const MAX_TEXT: usize = 8_000;

/// The most bytes of an example.
const MAX_EXAMPLE: usize = 8 << 10;

/// An operation, with the schemas that it refers to by name.
pub(super) struct Operation {
    pub(super) value: Value,
    pub(super) definitions: Map<String, Value>,
}

impl Operation {
    pub(super) fn of(listed: &ListedEndpoint) -> Self {
        let mut definitions = Map::new();
        let (endpoint, id) = (&listed.endpoint, &listed.id);
        let mut value = json!({ "operationId": id, "tags": [listed.plugin()] });
        let resource = &endpoint.resource;
        if !resource.summary.is_empty() {
            value["summary"] = text::line(&resource.summary, MAX_TEXT).into();
        }
        value["description"] = text::common_mark(&text::lines(&description(listed), MAX_TEXT)).into();
        value["security"] = if listed.takes_sign_in { json!([{}, { SIGN_IN: [] }]) } else { json!([]) };
        let place = format!("{id}_input");
        let described = listed.info.input_schema.as_ref().map(common_mark_texts);
        let described =
            described.as_ref().and_then(|schema| describe_input(schema, &format!("#/components/schemas/{place}")));
        let mut described = described.unwrap_or_default();
        if let Some(whole) = described.definitions.take() {
            definitions.insert(place, whole);
        }
        let parameters = parameters(listed, &described);
        if !parameters.is_empty() {
            value["parameters"] = parameters.into();
        }
        if let Some(body) = body(listed, &described) {
            value["requestBody"] = body;
        }
        value["responses"] = responses(listed, &mut definitions);
        if let Access::Paid(paid) = &endpoint.access {
            value["x-payment-info"] = price::payment_info(paid);
            value["x-prices"] = price::catalog(&endpoint.access);
        }
        if let Some(pass) = endpoint.pass() {
            value["x-pass"] = json!(pass);
        }
        Self { value, definitions }
    }

    /// The operation under a path with other names of parameters.
    pub(super) fn renamed(mut self, from: &str, to: &str) -> Self {
        let names: Vec<(&str, &str)> = parameters_of(from).zip(parameters_of(to)).collect();
        for parameter in self.value.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let renamed = names.iter().find(|(from, _)| parameter["in"] == "path" && parameter["name"] == **from);
            if let Some((_, to)) = renamed {
                parameter["name"] = (*to).into();
            }
        }
        self
    }
}

/// A template in the notation of OpenAPI, which has none for a rest.
pub(super) fn shape(path: &Template) -> String {
    let mut shape = String::new();
    for segment in path.segments() {
        match segment {
            Segment::Literal(text) => shape.push_str(&format!("/{text}")),
            Segment::Parameter(name) | Segment::Rest(name) => shape.push_str(&format!("/{{{name}}}")),
        }
    }
    shape
}

/// True if two paths differ in the names of parameters at most.
pub(super) fn same_shape(one: &str, other: &str) -> bool {
    let parts = |path: &str| -> Vec<String> {
        path.split('/').map(|part| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() }).collect()
    };
    parts(one) == parts(other)
}

fn parameters_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The description, and what OpenAPI has no place for.
fn description(listed: &ListedEndpoint) -> String {
    let mut description = listed.endpoint.resource.description.clone();
    if listed.endpoint.path.segments().iter().any(|segment| matches!(segment, Segment::Rest(_))) {
        description.push_str("\n\nThe last parameter of the path may have slashes.");
    }
    if let Access::Paid(_) = &listed.endpoint.access {
        description.push_str(&format!("\n\nPrice: {}.", price::sentence(&listed.endpoint.access)));
    }
    description
}

fn parameters(listed: &ListedEndpoint, described: &DescribedInput) -> Vec<Value> {
    let example = listed.example.as_ref().map(|example| &example.input);
    let of = |field: &DescribedField, place: &str| {
        let schema = field.schema.clone();
        let mut parameter =
            json!({ "name": field.name, "in": place, "required": place == "path" || field.is_required });
        if let Some(about) = field.schema.get("description").and_then(Value::as_str) {
            // As in the schema, where it is escaped already.
            parameter["description"] = about.into();
        }
        // A value that is an object is sent as JSON.
        if schema.get("type") == Some(&json!("object")) {
            parameter["content"] = json!({ "application/json": { "schema": schema } });
            return parameter;
        }
        parameter["schema"] = schema;
        if let Some(value) =
            example.and_then(|example| example.get(place)?.get(&field.name)).filter(|value| is_short(value))
        {
            parameter["example"] = value.clone();
        }
        parameter
    };
    let names = listed.endpoint.path.segments().iter().filter_map(Segment::name);
    let path = names.map(|name| {
        let declared = described.path.iter().find(|field| field.name == name).cloned();
        let undeclared =
            || DescribedField { name: name.to_owned(), schema: json!({ "type": "string" }), is_required: true };
        of(&declared.unwrap_or_else(undeclared), "path")
    });
    let query = described.query.iter().map(|field| of(field, "query"));
    let payment = matches!(listed.endpoint.access, Access::Paid(_))
        .then(|| json!({ "$ref": "#/components/parameters/PaymentSignature" }));
    path.chain(query).chain(payment).collect()
}

fn body(listed: &ListedEndpoint, described: &DescribedInput) -> Option<Value> {
    let example = listed.example.as_ref();
    let sent = example.and_then(|example| Some(essence(example.media_type.as_ref()?.to_str().ok()?)));
    let takes_body = matches!(listed.endpoint.method.as_str(), "POST" | "PUT" | "PATCH");
    let Some(body) = &described.body else {
        // Nothing is said of the body, so it may be anything.
        return takes_body.then(|| json!({ "content": { "*/*": { "schema": {} } }, "required": false }));
    };
    let media = sent.unwrap_or_else(|| body.media_type.clone());
    let mut content = json!({ "schema": body.schema });
    if let Some(value) = example.and_then(|example| example.input.get("body")).filter(|value| is_short(value)) {
        content["example"] = value.clone();
    }
    Some(json!({ "required": body.is_required, "content": { media: content } }))
}

fn responses(listed: &ListedEndpoint, definitions: &mut Map<String, Value>) -> Value {
    let place = format!("{}_output", listed.id);
    let declared = listed.info.output_schema.as_ref().map(common_mark_texts);
    let placed =
        declared.as_ref().and_then(|schema| PlacedSchema::new(schema, &format!("#/components/schemas/{place}")));
    let schema = placed.map_or_else(
        || json!({}),
        |placed| {
            if placed.refers {
                definitions.insert(place.clone(), placed.schema);
                json!({ "$ref": format!("#/components/schemas/{place}") })
            } else {
                placed.schema
            }
        },
    );
    let media = essence(&listed.endpoint.resource.mime_type);
    let mut content = json!({ "schema": schema });
    let written = declared.as_ref().and_then(|schema| schema.get("examples")?.get(0)).filter(|value| is_short(value));
    if let Some(value) = written {
        content["example"] = value.clone();
    }
    let refers = |name: &str| json!({ "$ref": format!("#/components/responses/{name}") });
    let mut answer = json!({ "description": "The answer.", "content": { media: content } });
    let is_paid = matches!(listed.endpoint.access, Access::Paid(_));
    if is_paid {
        answer["headers"] = json!({ "PAYMENT-RESPONSE": { "$ref": "#/components/headers/PaymentResponse" } });
    }
    let mut responses = json!({ "200": answer });
    if is_paid {
        responses["402"] = refers("PaymentRequired");
    }
    responses["4XX"] = refers("Refused");
    responses["5XX"] = refers("Unavailable");
    responses
}

fn is_short(value: &Value) -> bool {
    value.to_string().len() <= MAX_EXAMPLE
}
