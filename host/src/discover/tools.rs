//! Makes the tools that agents call by MCP: one for each active endpoint, with its schemas and its price.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use coinslot_plugin::{EndpointInfo, Segment};
use http::Method;
use rmcp::model::{JsonObject, MetaObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::listing::{ListedEndpoint, Listing};
use super::pass::{self, PassText};
use super::schema_texts::plain_texts;
use super::{text, tool_names};
use crate::endpoint::{Access, Endpoint};
use crate::example::ExampleRequest;
use crate::schema::{AnswerSchema, SchemaCompiler};

/// The dialect of JSON Schema that MCP assumes where a schema names none.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The most bytes of a text of a plugin.
const MAX_TEXT: usize = 8_000;
/// The most characters of a title.
const MAX_TITLE: usize = 100;

/// The tools of one generation of the catalogue, by name.
#[derive(Debug, Default)]
pub struct ToolList {
    tools: Vec<Arc<EndpointTool>>,
    by_name: HashMap<String, usize>,
    /// The hash of all definitions: another one means that clients have to list anew.
    pub fingerprint: [u8; 32],
}

/// A tool that calls an endpoint.
#[derive(Debug)]
pub struct EndpointTool {
    /// The declaration, with the operator's path and texts.
    pub info: EndpointInfo,
    /// The tool as clients see it.
    pub definition: Tool,
    /// The check of answers, compiled when it is first needed. None within: there is nothing to check.
    answers: OnceLock<Option<AnswerSchema>>,
}

impl ToolList {
    pub(super) fn new(listing: &Listing) -> Self {
        let mut names: HashMap<&str, Vec<String>> = HashMap::new();
        let mut tools: Vec<Arc<EndpointTool>> = Vec::new();
        for listed in &listing.endpoints {
            let plugin = listed.endpoint.plugin.info();
            let of_plugin =
                names.entry(&plugin.name).or_insert_with(|| tool_names::names(&plugin.name, &plugin.endpoints));
            let name = of_plugin[listed.endpoint.index].clone();
            tools.push(Arc::new(EndpointTool::new(name, listed)));
        }
        Self::of(tools)
    }

    fn of(mut tools: Vec<Arc<EndpointTool>>) -> Self {
        tools.sort_by(|one, other| one.definition.name.cmp(&other.definition.name));
        // Names are apart, and clients refuse a list in which two are the same.
        tools.dedup_by(|one, other| one.definition.name == other.definition.name);
        let mut hash = Sha256::new();
        for tool in &tools {
            hash.update(serde_json::to_vec(&tool.definition).unwrap_or_default());
        }
        let name_of = |(index, tool): (usize, &Arc<EndpointTool>)| (tool.definition.name.to_string(), index);
        let by_name = tools.iter().enumerate().map(name_of).collect();
        Self { tools, by_name, fingerprint: hash.finalize().into() }
    }

    /// The tool of this name.
    pub fn find(&self, name: &str) -> Option<&Arc<EndpointTool>> {
        self.by_name.get(name).map(|index| &self.tools[*index])
    }

    /// At most so many tools after this name, in the order of names, and whether there are more.
    pub fn after(&self, name: Option<&str>, most: usize) -> (&[Arc<EndpointTool>], bool) {
        let start = name.map_or(0, |name| self.tools.partition_point(|tool| *tool.definition.name <= *name));
        let end = self.tools.len().min(start + most);
        (&self.tools[start..end], end < self.tools.len())
    }
}

impl EndpointTool {
    fn new(name: String, listed: &ListedEndpoint) -> Self {
        let ListedEndpoint { endpoint, info, .. } = listed;
        let schema = plain_texts(&Value::Object(input_schema(info)));
        let schema = schema.as_object().cloned().unwrap_or_default();
        let mut definition = Tool::new(name, description(endpoint, info), schema);
        definition.title = Some(title(info));
        let is_paid = matches!(endpoint.access, Access::Paid(_));
        definition.output_schema = output_schema(info, is_paid).map(Arc::new);
        definition.annotations = Some(annotations(&info.method));
        definition.meta = Some(meta(endpoint));
        Self { info: info.clone(), definition, answers: OnceLock::new() }
    }

    /// The reason why an answer does not fit the schema that the tool promises. Compiles the schema when it is called
    /// first, so call it where threads may work.
    pub fn misfit(&self, answer: &[u8]) -> Option<String> {
        let compiled = self.answers.get_or_init(|| {
            let schema = self.definition.output_schema.as_ref().and(self.info.output_schema.as_ref())?;
            let label = self.info.label();
            let compiled = SchemaCompiler::run(|compiler| AnswerSchema::compile(compiler, &label, schema));
            compiled.ok()?.ok().map(|(schema, _)| schema)
        });
        compiled.as_ref()?.misfit(answer)
    }

    /// True if the body of a request is bytes, which a tool takes as Base64.
    pub fn takes_base64(&self) -> bool {
        body_schema(&self.info).is_some_and(is_binary)
    }
}

fn title(info: &EndpointInfo) -> String {
    let text = if info.summary.is_empty() { info.label() } else { info.summary.clone() };
    coinslot_base::text::excerpt(&text, MAX_TITLE)
}

/// What a call costs, what the payment buys beside its answer, and what it does. The host's own words come first: a plugin
/// could write another price into its own.
fn description(endpoint: &Endpoint, info: &EndpointInfo) -> String {
    let price = match &endpoint.access {
        Access::Free => "Free of charge.".to_owned(),
        Access::Paid(paid) if paid.quoted => {
            format!("Each call is priced by its input and is paid by x402: {}.", endpoint.access.terms())
        }
        Access::Paid(_) => format!("Each call is paid by x402: {}.", endpoint.access.terms()),
    };
    let pass = PassText::of(endpoint).map(|text| format!("{} {}", text.offer(), pass::BY_ACCOUNT)).unwrap_or_default();
    let mut parts = vec![price, pass, text::lines(&info.summary, MAX_TEXT), text::lines(&info.description, MAX_TEXT)];
    // A plugin without a description has its summary in the place of one.
    parts.dedup();
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn annotations(method: &Method) -> ToolAnnotations {
    let is_read = *method == Method::GET;
    let annotations = ToolAnnotations::new().read_only(is_read).open_world(true);
    if is_read {
        return annotations;
    }
    let annotations = annotations.destructive(*method == Method::DELETE);
    annotations.idempotent([Method::PUT, Method::DELETE].contains(method))
}

/// The route and the price, for programs.
fn meta(endpoint: &Endpoint) -> MetaObject {
    let mut meta = Map::new();
    meta.insert("coinslot/endpoint".to_owned(), json!({ "method": endpoint.method.as_str(), "url": endpoint.url }));
    let price = match &endpoint.access {
        Access::Free => json!({ "access": "free" }),
        Access::Paid(paid) => {
            let prices = paid.offer.prices().iter().map(|price| {
                json!({
                    "network": price.asset.network,
                    "asset": price.asset.address,
                    "symbol": price.asset.symbol,
                    "decimals": price.asset.decimals,
                    "amount": price.amount.to_string(),
                    "payTo": &*price.pay_to,
                })
            });
            let prices: Vec<Value> = prices.collect();
            let mut price = json!({ "access": "paid", "text": endpoint.access.to_string(), "quoted": paid.quoted, "prices": prices });
            if let Some(pass) = paid.pass {
                price["pass"] = json!(pass);
            }
            price
        }
    };
    meta.insert("coinslot/price".to_owned(), price);
    MetaObject(meta)
}

/// The declared schema, whose properties are the parts of a request: `path`, `query` and `body`. What it leaves out and
/// a request needs is added.
fn input_schema(info: &EndpointInfo) -> JsonObject {
    let declared = info.input_schema.as_ref().and_then(Value::as_object).cloned();
    let is_declared = declared.is_some();
    let mut schema = rooted(declared.unwrap_or_default());
    let mut added = Map::new();
    let params: Vec<&str> = info.path.segments().iter().filter_map(Segment::name).collect();
    if !params.is_empty() {
        let texts: Map<String, Value> =
            params.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
        added.insert("path".to_owned(), json!({ "type": "object", "properties": texts, "required": params }));
    }
    if !is_declared {
        let about = "the parameters of the query";
        added.insert("query".to_owned(), json!({ "type": "object", "description": about }));
    }
    if ExampleRequest::makes_up_body(info) {
        let about = "the body: a text is sent as plain text, and every other value as JSON";
        added.insert("body".to_owned(), json!({ "description": about }));
    }
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        for (name, value) in added {
            properties.entry(name).or_insert(value);
        }
        if let Some(body) = properties.get_mut("body").filter(|body| is_binary(body)) {
            *body = as_base64(body);
        }
    }
    if !params.is_empty() {
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(required) = required
            && !required.iter().any(|name| name == "path")
        {
            required.push("path".into());
        }
    }
    schema
}

/// The declared schema, if all that it describes are objects: MCP has no place for other structured answers.
///
/// The result of a call that is not paid for is structured, too, and clients check every structure by this schema. So that
/// of a paid tool allows the payment requirements.
fn output_schema(info: &EndpointInfo, is_paid: bool) -> Option<JsonObject> {
    let declared = info.output_schema.as_ref()?;
    if declared.get("type").and_then(Value::as_str) != Some("object") {
        return None;
    }
    let mut answer = plain_texts(declared);
    leave_formats_out(&mut answer);
    let mut answer = rooted(answer.as_object()?.clone());
    if !is_paid {
        return Some(answer);
    }
    // One level below, references to the root would lead elsewhere.
    if answer.contains_key("$id") || refers_to_root(declared) {
        return None;
    }
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), "object".into());
    for definitions in ["$schema", "$defs", "definitions"] {
        if let Some(definitions_of) = answer.shift_remove(definitions) {
            schema.insert(definitions.to_owned(), definitions_of);
        }
    }
    let required = json!({ "title": "Payment requirements (x402)", "required": ["x402Version", "accepts"] });
    schema.insert("anyOf".to_owned(), json!([answer, required]));
    Some(schema)
}

/// Removes the formats of texts and numbers. Some clients check those that the host takes for notes, and throw away an
/// answer that is paid for; and they complain about each that they do not know, such as `uint`.
fn leave_formats_out(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            if keywords.get("format").is_some_and(Value::is_string) {
                keywords.shift_remove("format");
            }
            // What is below the others is data, and no schema.
            let is_data = |word: &str| ["const", "default", "enum", "example", "examples"].contains(&word);
            let inner = keywords.iter_mut().filter(|(word, _)| !is_data(word));
            inner.for_each(|(_, value)| leave_formats_out(value));
        }
        Value::Array(items) => items.iter_mut().for_each(leave_formats_out),
        _ => {}
    }
}

/// True if a schema refers to another part of itself than its definitions.
fn refers_to_root(schema: &Value) -> bool {
    match schema {
        Value::Object(keywords) => {
            let targets =
                ["$ref", "$dynamicRef", "$recursiveRef"].iter().filter_map(|word| keywords.get(*word)?.as_str());
            targets.into_iter().any(|target| !is_definition(target)) || keywords.values().any(refers_to_root)
        }
        Value::Array(items) => items.iter().any(refers_to_root),
        _ => false,
    }
}

fn is_definition(target: &str) -> bool {
    ["#/$defs/", "#/definitions/"].iter().any(|start| target.starts_with(start))
}

/// A schema of objects, as MCP has it: without the name of the dialect that it assumes, which some clients do not know.
fn rooted(mut schema: JsonObject) -> JsonObject {
    let names_dialect =
        schema.get("$schema").and_then(Value::as_str).is_some_and(|dialect| dialect.trim_end_matches('#') == DIALECT);
    if names_dialect {
        schema.shift_remove("$schema");
    }
    schema.entry("type").or_insert_with(|| "object".into());
    schema
}

fn body_schema(info: &EndpointInfo) -> Option<&Value> {
    info.input_schema.as_ref()?.pointer("/properties/body")
}

/// True for the schema of a body that is bytes: a text cannot hold them.
fn is_binary(schema: &Value) -> bool {
    let text = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
    let media = text("contentMediaType").unwrap_or_default();
    let is_bytes = ["image/", "audio/", "video/", "font/"].iter().any(|kind| media.starts_with(kind))
        || ["application/octet-stream", "application/pdf", "application/zip", "application/wasm"].contains(&media);
    text("type") == Some("string") && (text("format") == Some("binary") || is_bytes)
}

fn as_base64(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(keywords) = &mut schema {
        keywords.shift_remove("format");
        keywords.insert("contentEncoding".to_owned(), "base64".into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use coinslot_plugin::{DeclaredPrice, Template};

    use super::*;

    fn info(method: Method, path: &str, input: Option<Value>) -> EndpointInfo {
        EndpointInfo {
            method,
            path: Template::parse(path).expect("a template"),
            price: DeclaredPrice::Free,
            summary: String::new(),
            description: String::new(),
            mime_type: String::new(),
            input_schema: input,
            output_schema: None,
            quote_headers: Vec::new(),
            extensions: Vec::new(),
        }
    }

    fn tool(name: &str) -> Arc<EndpointTool> {
        let definition = Tool::new(name.to_owned(), "", JsonObject::new());
        Arc::new(EndpointTool { info: info(Method::GET, "/", None), definition, answers: OnceLock::new() })
    }

    fn names(page: &[Arc<EndpointTool>]) -> Vec<&str> {
        page.iter().map(|tool| &*tool.definition.name).collect()
    }

    /// A page that begins after a name is right also where tools came and went meanwhile.
    #[test]
    fn pages_follow_each_other_by_name() {
        let list = ToolList::of(["d", "b", "a", "c"].into_iter().map(tool).collect());
        let (first, has_more) = list.after(None, 2);
        assert_eq!((names(first), has_more), (vec!["a", "b"], true));
        assert_eq!((names(list.after(Some("b"), 2).0), list.after(Some("b"), 2).1), (vec!["c", "d"], false));
        let without = ToolList::of(["a", "c", "d"].into_iter().map(tool).collect());
        assert_eq!(names(without.after(Some("b"), 2).0), ["c", "d"]);
        assert!(list.after(Some("z"), 2).0.is_empty() && list.after(None, 9).0.len() == 4);
        assert!(list.fingerprint != without.fingerprint && list.find("c").is_some() && list.find("e").is_none());
    }

    #[test]
    fn an_input_is_what_is_declared_and_what_a_request_needs() {
        let bare = Value::from(input_schema(&info(Method::POST, "/a/{id}/{*rest}", None)));
        assert_eq!(bare["required"], json!(["path"]));
        assert_eq!(bare["properties"]["path"]["required"], json!(["id", "rest"]));
        assert!(bare["properties"]["query"].is_object() && bare["properties"]["body"].is_object());
        let declared = json!({ "$schema": DIALECT, "$defs": { "n": { "type": "integer" } }, "required": ["query"],
            "properties": { "query": { "properties": { "n": { "$ref": "#/$defs/n" } } } } });
        let kept = Value::from(input_schema(&info(Method::GET, "/a/{id}", Some(declared.clone()))));
        assert_eq!(
            (&kept["$defs"], &kept["properties"]["query"]),
            (&declared["$defs"], &declared["properties"]["query"])
        );
        assert_eq!((&kept["required"], &kept["type"]), (&json!(["query", "path"]), &json!("object")));
        assert!(kept.get("$schema").is_none() && kept["properties"].get("body").is_none());
        let image = json!({ "properties": { "body": { "type": "string", "contentMediaType": "image/png" } } });
        let taken = Value::from(input_schema(&info(Method::PUT, "/a", Some(image))));
        assert_eq!(taken["properties"]["body"]["contentEncoding"], "base64");
    }

    #[test]
    fn an_output_schema_is_one_of_objects() {
        let of = |schema: Value, is_paid: bool| {
            let info = EndpointInfo { output_schema: Some(schema), ..info(Method::GET, "/", None) };
            output_schema(&info, is_paid).map(Value::from)
        };
        let object = json!({ "type": "object", "properties": { "n": { "$ref": "#/$defs/n" } }, "$defs": { "n": {} } });
        assert_eq!(of(object.clone(), false), Some(object.clone()));
        for other in
            [json!({ "type": "array" }), json!({ "type": ["object", "null"] }), json!({}), json!({ "$ref": "#/x" })]
        {
            assert!(of(other.clone(), false).is_none(), "{other}");
        }
        let paid = of(object, true).expect("a schema");
        assert_eq!((&paid["type"], &paid["$defs"]), (&json!("object"), &json!({ "n": {} })));
        assert_eq!(paid["anyOf"][0]["properties"]["n"]["$ref"], "#/$defs/n");
        assert_eq!(paid["anyOf"][1]["required"], json!(["x402Version", "accepts"]));
        let counted = json!({ "type": "object", "properties": { "format": { "type": "integer", "format": "uint" } } });
        let plain = of(counted, false).expect("a schema");
        assert_eq!(plain["properties"], json!({ "format": { "type": "integer" } }));
        let tree = json!({ "type": "object", "properties": { "child": { "$ref": "#" } } });
        assert!(of(tree.clone(), true).is_none() && of(tree, false).is_some());
    }
}
