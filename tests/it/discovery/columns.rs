//! Reads what each document, each page, each tool and each challenge says of the routes of a host, in one form.

mod pages;
mod tools;

use std::collections::BTreeMap;

use coinslot_tests::{ServeHost, decode};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

/// The routes of one document, by method and path.
#[derive(Debug)]
pub(super) struct Column {
    pub name: &'static str,
    pub among: Among,
    pub routes: BTreeMap<String, Said>,
}

/// The routes that a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    All,
    Paid,
    /// What a browser opens.
    PaidGets,
}

/// What a document says of a route. None: it does not say.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub url: Option<String>,
    pub text: Option<String>,
    pub summary: Option<String>,
    /// Empty: it is free.
    pub prices: Option<Vec<SaidPrice>>,
    pub is_quoted: Option<bool>,
    /// The price in dollars, or the most of it.
    pub dollars: Option<String>,
    /// The further requests that a payment buys, zero for none.
    pub pass: Option<u64>,
    pub input: Option<Value>,
    pub output: Option<Value>,
}

/// A price in one asset, in its atomic units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SaidPrice {
    pub network: String,
    pub asset: String,
    pub pay_to: String,
    pub amount: u64,
}

/// All columns. A further document that says what is sold is added here.
pub(super) async fn all(host: &ServeHost) -> Vec<Column> {
    let catalog = json(host, "/catalog.json").await;
    let answers = answers(host, &catalog).await;
    let mut columns = vec![
        by_catalog(&catalog),
        by_challenge(&answers),
        by_legacy_challenge(&answers),
        by_openapi(&json(host, "/openapi.json").await),
        by_well_known(&json(host, "/.well-known/x402").await, &catalog),
        by_llms(&text(host, "/llms.txt").await),
        tools::by_tools(host).await,
    ];
    columns.extend(pages::by_pages(host, &catalog).await);
    columns
}

/// The routes that the host says it serves, to its operator.
pub(super) async fn served(host: &ServeHost) -> Vec<String> {
    let list: Value =
        reqwest::get(format!("{}/api/v1/plugins", host.admin())).await.expect("a list").json().await.expect("JSON");
    let endpoints =
        list.as_array().expect("files").iter().flat_map(|file| file["endpoints"].as_array().expect("a list"));
    endpoints.map(|one| key(text_of(&one["method"]), text_of(&one["path"]))).collect()
}

pub(super) async fn text(host: &ServeHost, path: &str) -> String {
    let answer = reqwest::get(host.url(path)).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}\n{}", host.log());
    answer.text().await.expect("a text")
}

pub(super) async fn json(host: &ServeHost, path: &str) -> Value {
    serde_json::from_str(&text(host, path).await).expect("JSON")
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// A rest is a parameter in the notation of OpenAPI.
fn key(method: &str, path: &str) -> String {
    format!("{} {}", method.to_uppercase(), path.replace("{*", "{"))
}

fn decimal(amount: u64) -> String {
    let text = format!("{}.{:06}", amount / 1_000_000, amount % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn entries(catalog: &Value) -> impl Iterator<Item = (String, &Value)> {
    let entries = catalog["endpoints"].as_array().expect("a list").iter();
    entries.map(|entry| (key(text_of(&entry["method"]), text_of(&entry["path"])), entry))
}

/// The request that the catalogue shows for an endpoint.
pub(super) fn published(entry: &Value) -> RequestBuilder {
    let example = &entry["example"];
    assert!(example.is_object(), "no example: {entry}");
    let method: Method = text_of(&example["method"]).parse().expect("a method");
    let request = reqwest::Client::new().request(method, text_of(&example["url"]));
    match example["body"].as_str() {
        Some(body) => request.header("content-type", text_of(&example["contentType"])).body(body.to_owned()),
        None => request,
    }
}

/// The answer to the example of each route, without a payment: the 402 as a document of each version.
async fn answers(host: &ServeHost, catalog: &Value) -> BTreeMap<String, Option<(Value, Value)>> {
    let mut answers = BTreeMap::new();
    for (key, entry) in entries(catalog) {
        let answer = published(entry).send().await.expect("an answer");
        let challenge = match answer.status().as_u16() {
            402 => Some(challenge(answer).await),
            // What the example names may be unknown to a plugin. To the host no route is.
            404 => {
                let refusal: Value = answer.json().await.expect("JSON");
                assert_ne!(refusal["error"], "not_found", "{key}: {refusal}");
                None
            }
            status => {
                assert!(status < 400, "{key}: {answer:?}\n{}", host.log());
                None
            }
        };
        answers.insert(key, challenge);
    }
    answers
}

async fn challenge(answer: Response) -> (Value, Value) {
    let required = decode(answer.headers()["payment-required"].to_str().expect("ASCII"));
    (required, answer.json().await.expect("JSON"))
}

fn by_challenge(answers: &BTreeMap<String, Option<(Value, Value)>>) -> Column {
    let said = |(key, answer): (&String, &Option<(Value, Value)>)| {
        let Some((required, _)) = answer else {
            return (key.clone(), Said { prices: Some(Vec::new()), ..Said::default() });
        };
        let (method, path) = key.split_once(' ').expect("a method and a path");
        let bazaar = &required["extensions"]["bazaar"];
        assert_eq!(bazaar["info"]["input"]["method"], method, "{required}");
        assert_eq!(bazaar["routeTemplate"].is_string(), path.contains('{'), "{bazaar}");
        let prices = required["accepts"].as_array().expect("a list").iter().map(|entry| price(entry, "amount"));
        let url = text_of(&required["resource"]["url"]).split('?').next().map(str::to_owned);
        let url = url.filter(|_| !path.contains('{'));
        let text = required["resource"]["description"].as_str().map(str::to_owned);
        (key.clone(), Said { url, text, prices: Some(prices.collect()), ..Said::default() })
    };
    Column { name: "challenge", among: Among::All, routes: answers.iter().map(said).collect() }
}

fn by_legacy_challenge(answers: &BTreeMap<String, Option<(Value, Value)>>) -> Column {
    let said = |(key, answer): (&String, &Option<(Value, Value)>)| {
        let (_, body) = answer.as_ref()?;
        let prices = body["accepts"].as_array().expect("a list").iter().map(|entry| {
            assert_eq!(entry["outputSchema"]["input"]["method"], key.split(' ').next().expect("a method"));
            SaidPrice { network: "eip155:84532".to_owned(), ..price(entry, "maxAmountRequired") }
        });
        Some((key.clone(), Said { prices: Some(prices.collect()), ..Said::default() }))
    };
    Column { name: "challenge of version 1", among: Among::Paid, routes: answers.iter().filter_map(said).collect() }
}

fn price(entry: &Value, amount: &str) -> SaidPrice {
    SaidPrice {
        network: text_of(&entry["network"]).to_owned(),
        asset: text_of(&entry["asset"]).to_owned(),
        pay_to: text_of(&entry["payTo"]).to_owned(),
        amount: text_of(&entry[amount]).parse().expect("an amount"),
    }
}

/// `price` of the catalogue, and `x-prices` of OpenAPI.
fn with_prices(said: Said, prices: &Value) -> Said {
    let options = match text_of(&prices["kind"]) {
        "free" => return Said { prices: Some(Vec::new()), is_quoted: Some(false), ..said },
        "exact" => &prices["options"],
        "quoted" => &prices["atMost"],
        other => panic!("what is {other}?"),
    };
    let all = options.as_array().expect("a list").iter();
    for option in all.clone() {
        assert_eq!(option["decimal"], decimal(text_of(&option["amount"]).parse().expect("an amount")), "{option}");
    }
    Said {
        prices: Some(all.map(|option| price(option, "amount")).collect()),
        is_quoted: Some(prices["kind"] == "quoted"),
        ..said
    }
}

fn by_catalog(catalog: &Value) -> Column {
    let said = |(key, entry): (String, &Value)| {
        let said = Said {
            url: Some(text_of(&entry["url"]).to_owned()).filter(|url| !url.contains('{')),
            text: Some(text_of(&entry["description"]).to_owned()),
            pass: Some(entry["pass"]["requests"].as_u64().unwrap_or(0)),
            summary: Some(text_of(&entry["summary"]).to_owned()).filter(|summary| !summary.is_empty()),
            input: entry.get("inputSchema").cloned(),
            output: entry.get("outputSchema").cloned(),
            ..Said::default()
        };
        assert_eq!(entry["health"], "ok", "{entry}");
        (key, with_prices(said, &entry["price"]))
    };
    Column { name: "/catalog.json", among: Among::All, routes: entries(catalog).map(said).collect() }
}

fn by_openapi(document: &Value) -> Column {
    let base = text_of(&document["servers"][0]["url"]);
    let mut routes = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let info = &operation["x-payment-info"];
            let dollars = info["price"]["amount"].as_str().or(info["price"]["max"].as_str()).map(str::to_owned);
            let pass = Some(operation["x-pass"]["requests"].as_u64().unwrap_or(0));
            let url = (!path.contains('{')).then(|| format!("{base}{path}"));
            let summary = operation["summary"].as_str().map(str::to_owned);
            let said = Said { url, summary, dollars, pass, ..Said::default() };
            let said = if info.is_null() {
                assert_eq!(operation["responses"].get("402"), None);
                Said { prices: Some(Vec::new()), ..said }
            } else {
                let prices = &operation["x-prices"];
                assert_eq!(info["price"]["mode"] == "dynamic", prices["kind"] == "quoted", "{operation}");
                with_prices(said, prices)
            };
            routes.insert(key(method, path), said);
        }
    }
    Column { name: "/openapi.json", among: Among::All, routes }
}

fn by_well_known(document: &Value, catalog: &Value) -> Column {
    let mut resources: Vec<&str> = document["resources"].as_array().expect("a list").iter().map(text_of).collect();
    let listed = resources.clone();
    let mut routes = BTreeMap::new();
    for (key, entry) in entries(catalog) {
        let of_template = text_of(&entry["url"]).contains('{');
        let url = if of_template { text_of(&entry["example"]["url"]) } else { text_of(&entry["url"]) };
        let url = url.split('?').next().expect("a URL");
        if listed.contains(&url) && entry["price"]["kind"] != "free" {
            let said = Said { url: Some(url.to_owned()).filter(|_| !of_template), ..Said::default() };
            routes.insert(key, said);
        }
        resources.retain(|resource| *resource != url);
    }
    assert!(resources.is_empty(), "nothing is sold at {resources:?}");
    Column { name: "/.well-known/x402", among: Among::Paid, routes }
}

fn by_llms(text: &str) -> Column {
    let mut routes = BTreeMap::new();
    let entries = text.lines().filter(|line| line.starts_with("- [") && line.contains("Price: "));
    for line in entries {
        let line = line.replace('\\', "");
        let (label, rest) = line["- [".len()..].split_once("](<").expect("a link");
        let (url, rest) = rest.split_once(">): ").expect("its end");
        let (_, price) = rest.rsplit_once("Price: ").expect("a price");
        let (method, path) = label.split_once(' ').expect("a method and a path");
        let most = price.strip_prefix("quoted for each request, at most ");
        let number = most.unwrap_or(price).split(' ').next().expect("a word").to_owned();
        let is_free = price == "free.";
        let pass = price.split_once("buys a pass: ").and_then(|(_, pass)| pass.split(' ').next()?.parse().ok());
        let said = Said {
            url: Some(url.to_owned()).filter(|url| !url.contains('{')),
            dollars: (!is_free).then_some(number),
            is_quoted: Some(most.is_some()),
            prices: is_free.then(Vec::new),
            pass: Some(pass.unwrap_or(0)),
            ..Said::default()
        };
        routes.insert(key(method, path), said);
    }
    Column { name: "/llms.txt", among: Among::All, routes }
}

/// True if a schema has all that another one says. Formats are notes, and the dialect is that of the document.
pub(super) fn holds(schema: &Value, other: &Value) -> bool {
    match (schema, other) {
        (Value::Object(schema), Value::Object(other)) => other
            .iter()
            .filter(|(key, value)| *key != "$schema" && !(*key == "format" && value.is_string()))
            .all(|(key, value)| schema.get(key).is_some_and(|own| holds(own, value))),
        (Value::Array(items), Value::Array(others)) => {
            others.iter().all(|other| items.iter().any(|item| holds(item, other)))
        }
        _ => schema == other,
    }
}
