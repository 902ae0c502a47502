//! Reads what a host publishes about what it sells, and compares every document with what its routes do.

mod columns;
mod compared;
mod declared;
mod examples;
mod hostile;
mod judged;
mod owned;

use std::time::Duration;

use coinslot_tests::{DevHost, declaring};
use reqwest::StatusCode;

/// A document is the host's until a plugin names its very path.
#[tokio::test]
async fn a_document_is_served_with_a_validator_unless_a_plugin_names_its_path() {
    let builder = DevHost::builder();
    let file = builder.path("plugins/words.wasm");
    std::fs::write(&file, declaring("GET:/{word} free")).expect("a component");
    let host = builder.start().await;
    let url = host.url("/robots.txt");
    let get = |tag: &str| host.client().get(&url).header("if-none-match", tag).header("origin", "https://page.example");
    let first = get("\"other\"").send().await.expect("an answer");
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(first.headers()["access-control-allow-origin"], "*");
    let etag = first.headers()["etag"].to_str().expect("ASCII").to_owned();
    let text = first.text().await.expect("a text");
    assert_eq!(text, "User-agent: *\nDisallow: /\n");
    let again = get(&format!("\"other\", W/{etag}")).send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()["etag"], etag.as_str());
    let head = host.client().head(&url).send().await.expect("an answer");
    assert_eq!(head.headers()["content-length"], text.len().to_string().as_str());
    let posted = host.client().post(&url).body("x").send().await.expect("an answer");
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(posted.headers()["allow"], "GET, HEAD, OPTIONS");
    let word = host.client().get(host.url("/robots")).send().await.expect("an answer");
    assert!(word.headers().get("etag").is_none(), "the template answers all other words");
    std::fs::write(file, declaring("GET:/robots.txt free")).expect("a component");
    while get("\"other\"").send().await.expect("an answer").headers().contains_key("etag") {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
