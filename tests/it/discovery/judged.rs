//! Has directories and a validator of OpenAPI judge a host.

use coinslot_tests::{ServeHost, TestChain, guest, judge_api, judge_discovery};
use serde_json::{Value, json};

use super::columns;

/// Asserts that neither directories nor a validator of OpenAPI find a fault in what a host publishes, whose address for
/// sellers is `sales@example.com`.
pub(super) async fn directories_find_nothing_wrong(host: &ServeHost) {
    let catalog = columns::json(host, "/catalog.json").await;
    let endpoints = catalog["endpoints"].as_array().expect("a list");
    let paid = endpoints.iter().filter(|endpoint| endpoint["price"]["kind"] != "free");
    let url = |endpoint: &Value| {
        let is_template = endpoint["path"].as_str().expect("a path").contains('{');
        let url = if is_template { &endpoint["example"]["url"] } else { &endpoint["url"] };
        url.as_str().expect("a URL").split('?').next().expect("a path").to_owned()
    };
    let urls: Vec<String> = paid.map(url).collect();
    let job = json!({ "origin": host.url(""), "urls": urls });
    let (found, faults) = tokio::task::spawn_blocking(move || judge_discovery(&job)).await.expect("a judgement");
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), host.log());
    assert_eq!(found["probed"], urls.len(), "{found}");
    assert_eq!(found["trustTier"], "origin_hosted");
    assert_eq!(found["info"]["contactEmail"], "sales@example.com");
    is_valid(&columns::json(host, "/openapi.json").await).await;
}

/// Asserts that a description is valid OpenAPI.
async fn is_valid(description: &Value) {
    let job = json!({ "description": description, "exchanges": [] });
    let faults = tokio::task::spawn_blocking(move || judge_api(&job)).await.expect("a judgement");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Guests with all kinds of schemas, bodies and templates, and an allowance that is taken by signing in.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_valid_whatever_plugins_declare() {
    let plugins = ["aurora", "redact", "schemas", "quoter", "upfront", "visits", "boastful"];
    plugins.iter().for_each(|name| drop(guest(name)));
    let chain = TestChain::start().await;
    let allow = "[[allow]]\nplugin = \"schemas\"\nrequests = 2\nper = \"payer\"\nevery = \"1d\"\n";
    let host = chain.serve(&plugins, allow).await;
    let description = columns::json(&host, "/openapi.json").await;
    is_valid(&description).await;
    let security = |path: &str, method: &str| description["paths"][path][method]["security"].clone();
    assert_eq!(security("/schemas/order", "post"), json!([{}, { "siwx": [] }]));
    assert_eq!(security("/schemas/free", "post"), json!([]));
    assert_eq!(security("/api/redact", "post"), json!([]));
    let scheme = &description["components"]["securitySchemes"]["siwx"];
    assert_eq!((&scheme["type"], &scheme["in"]), (&json!("apiKey"), &json!("header")));
    let item = &description["paths"]["/schemas/items/{id}"]["get"];
    assert_eq!(item["parameters"][0]["in"], "path", "{item:#}");
    assert_eq!(item["operationId"], "schemas_get_schemas_items_id");
    let names =
        description["paths"].as_object().expect("paths").values().flat_map(|path| path.as_object().expect("methods"));
    let mut ids: Vec<&str> = names.map(|(_, operation)| operation["operationId"].as_str().expect("an id")).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}
