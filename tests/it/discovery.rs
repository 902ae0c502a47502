//! Reads what a host publishes about what it sells, and compares every document with what its routes do.

mod columns;
mod compared;
mod declared;
mod examples;
mod hostile;
mod judged;
mod owned;

use coinslot_tests::{DevHost, TestChain, declaring};
use reqwest::StatusCode;

/// A template that happens to match takes no document of the host: what directories read there speaks for all plugins.
#[tokio::test]
async fn a_document_is_served_with_a_validator_whatever_the_templates_of_plugins_match() {
    let builder = DevHost::builder();
    std::fs::write(builder.path("plugins/words.wasm"), declaring("GET:/{word} free;POST:/{word} free"))
        .expect("a component");
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
    let posted = host.client().post(host.url("/robots")).body("x").send().await.expect("an answer");
    assert_eq!(posted.status(), StatusCode::OK, "of every method");
}

/// A plugin that named the path of a document silently took its place.
#[tokio::test]
async fn a_plugin_serves_a_document_where_the_operator_switches_off_the_hosts() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], "").await;
    for (number, (path, advice)) in [
        ("/openapi.json", "switch the host's off (`openapi = false` in [discover])"),
        ("/catalog.json", "switch the host's off (`catalog = false` in [discover])"),
        ("/llms.txt", "switch the host's off (`llms = false` in [discover])"),
        ("/favicon.ico", "serve the plugin below another path (`mount"),
        ("/robots.txt", "in [discover])"),
    ]
    .into_iter()
    .enumerate()
    {
        host.install("words.wasm", &declaring(&format!("GET:{path} free")));
        host.wait_for_log("not active file=words.wasm", number + 1).await;
        let log = host.log();
        let said = log.lines().rfind(|line| line.contains("not active file=words.wasm")).unwrap_or_default();
        assert!(said.contains(&format!("GET {path}: the host serves")) && said.contains(advice), "{said}");
        let reply = reqwest::get(host.url(path)).await.expect("an answer");
        assert!(reply.headers().contains_key("etag"), "{path} is the host's");
    }
    host.write_configuration(&format!("{}\n[discover]\nrobots = \"off\"\n", host.configuration()));
    // The lines about the refusals have the same words.
    host.wait_for_log("active file=words.wasm", 6).await;
    let own = reqwest::get(host.url("/robots.txt")).await.expect("an answer");
    assert_eq!(own.text().await.expect("a text"), "\"served\"");
}
