//! Reads what people are told of the routes: the index, the page of each endpoint that it leads to, and the page that
//! answers a browser with 402.

use std::collections::BTreeMap;

use coinslot_tests::ServeHost;
use scraper::{ElementRef, Html, Selector};
use serde_json::Value;

use super::{Among, Column, Said, SaidPrice, decimal, entries, key, price, text, text_of};

/// An entry of the index.
struct IndexEntry {
    route: String,
    said: Said,
    /// The address of its page.
    link: String,
}

/// The index, the pages of endpoints, and the pages of challenges.
pub(super) async fn by_pages(host: &ServeHost, catalog: &Value) -> [Column; 3] {
    let examples: BTreeMap<String, &Value> = entries(catalog).map(|(key, entry)| (key, &entry["example"])).collect();
    let (mut index, mut endpoints, mut paywalls) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for entry in index_entries(&text(host, "/").await) {
        let (route, said) = endpoint(&text(host, &entry.link).await, examples[&entry.route]);
        assert_eq!(route, entry.route, "{} is the page of another route", entry.link);
        if route.starts_with("GET ") && !prices(&said).is_empty() {
            let (of_paywall, said) = endpoint(&opened(examples[&route]).await, examples[&route]);
            assert_eq!(of_paywall, route);
            // It names the price of this request, not the most of any.
            assert_eq!(said.is_quoted, Some(false), "{route}");
            paywalls.insert(of_paywall, Said { is_quoted: None, ..said });
        }
        endpoints.insert(route, said);
        let former = index.insert(entry.route, entry.said);
        assert!(former.is_none(), "a route stands twice in the index");
    }
    [
        Column { name: "the index", among: Among::All, routes: index },
        Column { name: "the page of the endpoint", among: Among::All, routes: endpoints },
        Column { name: "the paywall", among: Among::PaidGets, routes: paywalls },
    ]
}

/// The page of a browser that opens the example of a paid route.
async fn opened(example: &Value) -> String {
    let request = reqwest::Client::new().get(text_of(&example["url"])).header("accept", "text/html,*/*;q=0.8");
    let answer = request.header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)").send().await.expect("an answer");
    assert_eq!(answer.status(), 402);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    answer.text().await.expect("a page")
}

fn index_entries(html: &str) -> Vec<IndexEntry> {
    let page = Html::parse_document(html);
    let mut found = Vec::new();
    for article in page.select(&selector("ul.endpoints > li > article")) {
        let link = one(article, "a.button").attr("href").expect("a link").to_owned();
        let said = Said { summary: Some(words(article, "h3, h4")), ..priced(&words(article, ".price")) };
        found.push(IndexEntry { route: route(article), said, link });
    }
    let count: usize = words(page.root_element(), "#sold .count").parse().expect("a number");
    assert_eq!(found.len(), count, "the index counts what it lists");
    found
}

/// The route of a page, and what it says of it.
fn endpoint(html: &str, example: &Value) -> (String, Said) {
    let page = Html::parse_document(html);
    let root = page.root_element();
    let data: Value = serde_json::from_str(&one(root, "#data").inner_html()).expect("JSON");
    let route = route(one(root, "main"));
    let (method, path) = text_of(&data["route"]).split_once(' ').expect("a method and a path");
    assert_eq!(key(method, path), route, "the script calls another route");
    let summary = words(root, "h1");
    let text = root.select(&selector(".lead")).next().map(|lead| lead.text().collect::<Vec<_>>().join(" "));
    let prices: Vec<SaidPrice> =
        data["prices"].as_array().expect("a list").iter().map(|entry| price(entry, "amount")).collect();
    assert_eq!(data["isPaid"], !prices.is_empty());
    facts_show(root, &prices);
    let calls = words(root, ".ways-to-pay");
    let url = text_of(&example["url"]);
    assert!(calls.contains(&format!("'{url}'")), "{route}: no call of {url} is shown in {calls}");
    let said = priced(&words(root, "[data-price]"));
    assert_eq!(said.is_quoted, Some(data["atMost"] == true), "{data:#}");
    // The host takes the summary in the place of a description that is missing. Without either there is only the route.
    let instead = if summary.replace("{*", "{") == route { String::new() } else { summary.clone() };
    let text = text.unwrap_or(instead);
    (route, Said { text: Some(text), summary: Some(summary), prices: Some(prices), ..said })
}

/// Asserts that a person reads of each price what the script pays.
fn facts_show(root: ElementRef<'_>, prices: &[SaidPrice]) {
    let lists: Vec<_> = root.select(&selector("dl.facts")).collect();
    assert_eq!(lists.len(), prices.len());
    for (facts, price) in lists.into_iter().zip(prices) {
        let shown = facts.text().collect::<Vec<_>>().join(" ");
        let amount = format!("{} USDC", decimal(price.amount));
        for part in [&amount, &price.network, &price.asset, &price.pay_to] {
            assert!(shown.contains(part), "{shown:?} does not say {part}");
        }
    }
}

/// `Free`, `0.01 USDC` or `up to 0.50 USDC`.
fn priced(text: &str) -> Said {
    let most = text.strip_prefix("up to ");
    let dollars = most.unwrap_or(text).strip_suffix(" USDC").map(str::to_owned);
    assert_eq!(dollars.is_none(), text == "Free", "{text}");
    let prices = dollars.is_none().then(Vec::new);
    Said { dollars, is_quoted: Some(most.is_some()), prices, ..Said::default() }
}

fn prices(said: &Said) -> &[SaidPrice] {
    said.prices.as_deref().unwrap_or_default()
}

fn route(element: ElementRef<'_>) -> String {
    key(&words(element, ".route .method"), &words(element, ".route code"))
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).expect("a selector")
}

fn one<'h>(element: ElementRef<'h>, text: &str) -> ElementRef<'h> {
    element.select(&selector(text)).next().unwrap_or_else(|| panic!("no {text} in {}", element.html()))
}

fn words(element: ElementRef<'_>, text: &str) -> String {
    one(element, text).text().collect::<Vec<_>>().join("").trim().to_owned()
}
