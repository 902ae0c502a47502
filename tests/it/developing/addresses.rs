//! `coinslot dev` opens with the addresses of what a person and an agent may open.

use std::time::{Duration, Instant};

use coinslot_tests::{DevHost, McpClient, guest, run};

/// The address in the line of this name.
fn address<'l>(log: &'l str, name: &str) -> &'l str {
    let line = log.lines().find(|line| line.starts_with(&format!("{name:<11} ")));
    let rest = &line.unwrap_or_else(|| panic!("no line {name}\n{log}"))[12..];
    rest.split("  ").next().expect("an address")
}

/// The log, once this is in it.
async fn logged(host: &DevHost, what: &str) -> String {
    let begun = Instant::now();
    while !host.log().contains(what) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    host.log()
}

#[tokio::test]
async fn dev_opens_with_the_addresses_of_its_pages_its_dashboard_and_mcp() {
    let host = DevHost::builder().plugin("hello.wasm", &guest("hello")).start().await;
    let log = logged(&host, "now pay for one").await;
    let page = async |url: &str| {
        let request = reqwest::Client::new().get(url).header("user-agent", "Mozilla/5.0 Firefox/140.0");
        let answer = request.header("accept", "text/html").send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    };
    let (status, index) = page(address(&log, "index")).await;
    assert!(status == 200 && index.contains("Coinslot on this machine"), "{index}");
    let paid_page = address(&log, "paid page");
    assert_eq!(paid_page, host.url("/hello?name=example"));
    let (status, paid) = page(paid_page).await;
    assert!(status == 402 && paid.contains("\"testWallet\":{"), "{paid}");
    let dashboard = address(&log, "dashboard");
    assert_eq!(dashboard.trim_end_matches('/'), host.dev_json()["admin"].as_str().expect("an address"));
    let (status, dashboard) = page(dashboard).await;
    assert!(status == 200 && dashboard.contains("<title>"), "{dashboard}");
    assert_eq!(host.dev_json()["mcp"], address(&log, "MCP"));
    let tools = McpClient::connect(address(&log, "MCP")).await.tools().await;
    assert!(tools.contains_key("hello"), "{tools:?}");
}

#[tokio::test]
async fn dev_shows_the_shop_of_the_configuration_that_is_named() {
    let builder = DevHost::builder().plugin("hello.wasm", &guest("hello"));
    let shop = "[discover]\nname = \"Ada's greetings\"\naccent = \"#ffcc00\"\nmcp = \"/agents\"\n";
    std::fs::write(builder.path("coinslot.toml"), shop).expect("a file");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    let log = logged(&host, "now pay for one").await;
    assert_eq!(address(&log, "MCP"), host.url("/agents"));
    let request = reqwest::Client::new().get(host.url("/")).header("accept", "text/html");
    let index = request.send().await.expect("an answer").text().await.expect("a text");
    assert!(index.contains("Ada&#39;s greetings") || index.contains("Ada's greetings"), "{index}");
    assert!(index.contains("--button:#ffcc00"), "{index}");
    let robots = reqwest::get(host.url("/robots.txt")).await.expect("an answer").text().await.expect("a text");
    assert!(robots.contains("Disallow: /"), "nothing here is for search engines: {robots}");
}

#[test]
fn the_dashboard_of_dev_is_for_this_machine_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = run(dir.path(), &["dev", "--expose", "--admin-listen", "0.0.0.0:0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("--admin-listen 0.0.0.0:0"), "{said}");
}
