//! Compares what every document says of each route with the challenges of the routes themselves: before and after a
//! reload of the configuration, with everything in it that changes what is sold.

use std::collections::{BTreeMap, BTreeSet};

use coinslot_tests::{ServeHost, TestChain, guest};

use super::columns::{self, Among, Column, Said};

/// The example plugins in Rust, and guests with templates, schemas of all kinds, quotes, and settlement before the
/// answer.
const PLUGINS: [&str; 9] = ["aurora", "hello", "primes", "rates", "redact", "echo", "quoter", "schemas", "upfront"];

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

const FIRST: &str = "\
[plugin.echo]\nmount = \"/v1\"\n\
[plugin.echo.routes.\"POST /echo\"]\nprice = \"0.003\"\nsummary = \"An *echo* <b>of</b> [it](https://evil.example)\"\n\
[plugin.aurora.routes.\"GET /api/gitignore\"]\nenabled = false\n\
[plugin.aurora.routes.\"POST /api/code-review\"]\npay_to = \"0x00000000000000000000000000000000000007e5\"\n\
pass = { seconds = 60, requests = 4 }\n\
[plugin.quoter.routes.\"POST /quoter/{kind}\"]\nmax_price = \"0.5\"\n\
[plugin.hello.routes.\"GET /hello\"]\nprice = \"free\"\n";

const SECOND: &str = "\
[plugin.echo.routes.\"POST /echo\"]\nprice = \"free\"\n\
[plugin.echo.routes.\"GET /echo\"]\nprice = \"0.0005\"\n\
[plugin.aurora]\nmount = \"/shop\"\npay_to = \"0x00000000000000000000000000000000000007e6\"\n\
[plugin.aurora.routes.\"GET /api/agent-insights\"]\nenabled = false\n\
[plugin.redact.routes.\"POST /api/redact\"]\nmax_price = \"0.02\"\n\
[plugin.schemas.routes.\"POST /schemas/free\"]\nprice = \"0.007\"\n";

/// Asserts that all columns say of each route the same, and what the route itself asks for.
pub(super) async fn agree(host: &ServeHost) -> Vec<Column> {
    let columns = columns::all(host).await;
    let named = |name: &str| columns.iter().find(|column| column.name == name).expect("it is one");
    let (challenge, catalog) = (named("challenge"), named("/catalog.json"));
    let served: BTreeSet<String> = columns::served(host).await.into_iter().collect();
    for column in &columns {
        let is_in = |route: &&String| match column.among {
            Among::All => true,
            Among::Paid => !prices(challenge, route).is_empty(),
            Among::PaidGets => !prices(challenge, route).is_empty() && route.starts_with("GET "),
        };
        let expected: BTreeSet<&String> = served.iter().filter(is_in).collect();
        let found: BTreeSet<&String> = column.routes.keys().collect();
        assert_eq!(found, expected, "the routes of {}", column.name);
        for (route, said) in &column.routes {
            let what = format!("{route} in {}", column.name);
            agree_about(&what, said, &challenge.routes[route], is_quoted(&columns, route));
            agree_in_words(&what, said, &catalog.routes[route], route);
            let pass = columns[0].routes[route].pass;
            assert!(said.pass.is_none_or(|said| Some(said) == pass), "{what}: {said:?}");
        }
    }
    columns
}

fn prices<'c>(column: &'c Column, route: &str) -> &'c [columns::SaidPrice] {
    column.routes.get(route).and_then(|said| said.prices.as_deref()).unwrap_or_default()
}

fn is_quoted(columns: &[Column], route: &str) -> bool {
    columns.iter().filter_map(|column| column.routes.get(route)?.is_quoted).any(|is_quoted| is_quoted)
}

fn agree_about(what: &str, said: &Said, asked: &Said, is_quoted: bool) {
    if let Some(claimed) = said.is_quoted {
        assert_eq!(claimed, is_quoted, "{what}");
    }
    if let (Some(url), Some(asked)) = (&said.url, &asked.url) {
        assert_eq!(url, asked, "{what}");
    }
    let asked_prices = asked.prices.as_deref().unwrap_or_default();
    if let Some(prices) = &said.prices {
        assert_eq!(prices.len(), asked_prices.len(), "{what}: {prices:?}, and asked {asked_prices:?}");
        for (price, asked) in prices.iter().zip(asked_prices) {
            let same = (&price.network, &price.asset, &price.pay_to) == (&asked.network, &asked.asset, &asked.pay_to);
            let in_price = if is_quoted { asked.amount <= price.amount } else { asked.amount == price.amount };
            assert!(same && in_price, "{what}: {price:?}, and asked {asked:?}");
        }
    }
    if let (Some(dollars), Some(first)) = (&said.dollars, asked_prices.first()) {
        let atomic = dollars.parse::<f64>().expect("a number") * 1e6;
        let asked = first.amount as f64;
        assert!(if is_quoted { asked <= atomic } else { (asked - atomic).abs() < 0.5 }, "{what}: {dollars}");
    }
}

/// Compares texts and schemas with those of the catalogue. How a text is broken into lines is a matter of the document.
fn agree_in_words(what: &str, said: &Said, listed: &Said, route: &str) {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(summary) = &said.summary {
        // Where there is none, people and agents read the route.
        let same = listed
            .summary
            .as_ref()
            .map_or_else(|| summary.replace("{*", "{") == route, |listed| words(listed) == words(summary));
        assert!(same, "{what}: {summary:?}, and listed {:?}", listed.summary);
    }
    if let (Some(text), Some(whole)) = (&said.text, &listed.text) {
        let summary = listed.summary.as_deref().unwrap_or_default();
        // A challenge has the summary where it has no room for more.
        let is_short = text == summary && what.ends_with("in challenge");
        assert!(words(text) == words(whole) || is_short, "{what}: {text:?}, and listed {whole:?}");
    }
    for (said, listed) in [(&said.input, &listed.input), (&said.output, &listed.output)] {
        if let (Some(said), Some(listed)) = (said, listed) {
            assert!(columns::holds(said, listed), "{what}: {said:#}, and listed {listed:#}");
        }
    }
}

/// The tag of each document that is of a generation as a whole: durations change within one.
async fn tags(host: &ServeHost) -> BTreeMap<&'static str, String> {
    let mut tags = BTreeMap::new();
    for path in ["/openapi.json", "/.well-known/x402", "/llms.txt"] {
        let answer = reqwest::get(host.url(path)).await.expect("an answer");
        tags.insert(path, answer.headers()["etag"].to_str().expect("ASCII").to_owned());
    }
    tags
}

#[tokio::test(flavor = "multi_thread")]
async fn every_document_says_what_the_routes_ask_for_before_and_after_a_reload() {
    PLUGINS.iter().for_each(|name| drop(guest(name)));
    let chain = TestChain::start().await;
    let host = chain.serve(&PLUGINS, ADMIN).await;
    let plain = host.configuration();
    let columns = agree(&host).await;
    assert!(columns[0].routes.len() > 15, "{:?}", columns[0].routes.keys());
    let first_tags = tags(&host).await;
    assert_eq!(tags(&host).await, first_tags, "nothing has changed");

    host.write_configuration(&format!("{plain}{FIRST}"));
    host.wait_for_log("the configuration is active", 1).await;
    let columns = agree(&host).await;
    let routes = &columns[0].routes;
    assert_eq!(routes["POST /v1/echo"].prices.as_ref().expect("prices")[0].amount, 3_000);
    assert_eq!(routes["GET /hello"].prices.as_deref(), Some(&[][..]));
    assert!(!routes.contains_key("GET /api/gitignore"));
    assert_eq!(routes["POST /api/code-review"].pass, Some(4));
    let code_review = &routes["POST /api/code-review"].prices.as_ref().expect("prices")[0];
    assert!(code_review.pay_to.to_lowercase().ends_with("7e5"), "{code_review:?}");
    assert_eq!(routes["POST /quoter/{kind}"].prices.as_ref().expect("prices")[0].amount, 500_000);
    for (path, tag) in tags(&host).await {
        assert_ne!(tag, first_tags[path], "{path}");
    }

    host.write_configuration(&format!("{plain}{SECOND}"));
    host.wait_for_log("the configuration is active", 2).await;
    let columns = agree(&host).await;
    let routes = &columns[0].routes;
    assert_eq!(routes["GET /echo"].prices.as_ref().expect("prices")[0].amount, 500);
    assert!(!routes.contains_key("GET /shop/api/agent-insights") && routes.contains_key("GET /shop/api/gitignore"));

    host.write_configuration(&plain);
    host.wait_for_log("the configuration is active", 3).await;
    agree(&host).await;
    for (path, tag) in tags(&host).await {
        assert_eq!(tag, first_tags[path], "{path} is as it was, and a client knows it");
    }
}
