//! Makes the tools that agents call by MCP: one for each active endpoint, with its schemas and its price.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use coinslot_plugin::EndpointInfo;
use http::Method;
use rmcp::model::{MetaObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::listing::{ListedEndpoint, Listing};
use super::pass::{self, PassText};
use super::schema_texts::plain_texts;
use super::tool_schemas::{body_schema, input_schema, is_binary, output_schema};
use super::{text, tool_names};
use crate::endpoint::{Access, Endpoint};
use crate::schema::{AnswerSchema, SchemaCompiler};

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

/// The price of a call, the pass that its payment buys, and the work that it does. The host's own words come first: a
/// plugin could write another price into its own.
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

#[cfg(test)]
mod tests {
    use rmcp::model::JsonObject;

    use super::*;
    use crate::endpoint::testing::free_endpoint;

    fn tool(name: &str) -> Arc<EndpointTool> {
        let definition = Tool::new(name.to_owned(), "", JsonObject::new());
        let info = free_endpoint(Method::GET, "/");
        Arc::new(EndpointTool { info, definition, answers: OnceLock::new() })
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
}
