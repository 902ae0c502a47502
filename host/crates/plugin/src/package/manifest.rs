//! Writes a manifest as JSON, as a package holds it.

use serde_json::{Map, Value, json};

use crate::contract::{DeclaredPrice, EndpointInfo, PluginInfo};

/// The manifest of a plugin. A member without a value is left out.
pub(super) fn to_value(info: &PluginInfo) -> Value {
    let endpoints: Vec<Value> = info.endpoints.iter().map(endpoint).collect();
    json!({ "name": info.name, "version": info.version, "endpoints": endpoints })
}

fn endpoint(endpoint: &EndpointInfo) -> Value {
    let mut members = Map::new();
    let mut add = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
    add("method", endpoint.method.as_str().into());
    add("path", endpoint.path.as_str().into());
    add("price", price(&endpoint.price));
    for (name, text) in
        [("summary", &endpoint.summary), ("description", &endpoint.description), ("mimeType", &endpoint.mime_type)]
    {
        if !text.is_empty() {
            add(name, text.as_str().into());
        }
    }
    for (name, schema) in [("inputSchema", &endpoint.input_schema), ("outputSchema", &endpoint.output_schema)] {
        if let Some(schema) = schema {
            add(name, schema.clone());
        }
    }
    if !endpoint.quote_headers.is_empty() {
        add("quoteHeaders", json!(endpoint.quote_headers));
    }
    if !endpoint.extensions.is_empty() {
        // Pairs, because a name may stand twice.
        add("extensions", json!(endpoint.extensions));
    }
    members.into()
}

/// A price as the variant of the contract: `"free"`, or `{ "exact": "0.01" }`.
fn price(price: &DeclaredPrice) -> Value {
    match price {
        DeclaredPrice::Free => json!("free"),
        DeclaredPrice::Exact(amount) => json!({ "exact": amount }),
        DeclaredPrice::UpTo(amount) => json!({ "up-to": amount }),
        DeclaredPrice::Quoted(amount) => json!({ "quoted": amount }),
    }
}
