//! Sells every example plugin on one host, in Rust, JavaScript, TypeScript and Python: with overrides of all kinds, the
//! documents agree, directories and `coinslot doctor` find nothing wrong, and each published example buys its answer.
//!
//! One host for all stories, because components of interpreters take long to compile.

use coinslot_tests::{ServeHost, TestChain, guest, run};
use serde_json::Value;

use super::{columns, compared, judged};

/// The plugins of `plugins/`, and the examples of the SDK in each language.
const PLUGINS: [&str; 10] = [
    "aurora",
    "hello",
    "primes",
    "rates",
    "redact",
    "text-js",
    "stats-py",
    "examples",
    "examples-ts",
    "examples-python",
];

/// What the plugins need: grants, and paths apart. Nobody listens at the other service, so what asks it is not paid here.
const GRANTS: &str = r#"
[admin]
listen = "127.0.0.1:0"

[discover]
email = "sales@example.com"

[plugin.rates]
keyvalue = true
http = ["http://127.0.0.1:9"]

[plugin.rates.config]
source = "http://127.0.0.1:9"

[plugin.guest-examples]
file = "examples.wasm"
keyvalue = true
http = ["http://127.0.0.1:9"]

[plugin.guest-examples.config]
source = "http://127.0.0.1:9"

[plugin.examples-ts]
mount = "/ts"
keyvalue = true
http = ["http://127.0.0.1:9"]

[plugin.examples-ts.config]
source = "http://127.0.0.1:9"

[plugin.examples-ts.limits]
cpu_time = "10s"

[plugin.examples-python]
mount = "/python"
keyvalue = true
http = ["http://127.0.0.1:9"]

[plugin.examples-python.config]
source = "http://127.0.0.1:9"

[plugin.examples-python.limits]
cpu_time = "10s"

[plugin.text-js.limits]
cpu_time = "10s"

[plugin.stats-py.limits]
cpu_time = "10s"
"#;

const OVERRIDES: &str = r#"
[plugin.text-js]
mount = "/js/v1"

[plugin.text-js.routes."POST /js/markdown"]
price = "0.003"
summary = "Markdown, *made* <b>safe</b>"

[plugin.text-js.routes."GET /js/slug"]
pay_to = "0x00000000000000000000000000000000000007e5"

[plugin.stats-py]
mount = "/numbers"
pay_to = "0x00000000000000000000000000000000000007e6"

[plugin.examples-python.routes."GET /links/{code}/visits"]
enabled = false

[plugin.examples-ts.routes."POST /redact"]
max_price = "0.02"

[plugin.hello.routes."GET /hello"]
price = "free"

[plugin.aurora]
mount = "/shop"

[plugin.aurora.routes."GET /api/gitignore"]
summary = "What git leaves alone"
price = "0.004"
"#;

/// The routes of a link that somebody has made before: an example of one leads nowhere.
const OF_LINKS: &str = "/links/{code}";
/// The routes that ask another service.
const OF_SERVICES: [&str; 2] = ["/api/rates/{currency}", "/weather/{city}"];

/// The published example of every endpoint is asked to be paid, or answered, and what is paid for it is an answer.
async fn published_examples_buy_answers(host: &ServeHost, chain: &TestChain) {
    let catalog = columns::json(host, "/catalog.json").await;
    for endpoint in catalog["endpoints"].as_array().expect("a list") {
        let (path, is_free) = (endpoint["path"].as_str().expect("a path"), endpoint["price"]["kind"] == "free");
        let what = format!("{} {path}: {}", endpoint["method"], endpoint["example"]);
        let asked = columns::published(endpoint).send().await.expect("an answer");
        let status = asked.status().as_u16();
        if path.contains(OF_LINKS) {
            assert_eq!(status, if is_free { 404 } else { 402 }, "{what}");
            continue;
        }
        assert!(if is_free { status < 400 } else { status == 402 }, "{what}: {status}\n{}", host.log());
        if is_free || OF_SERVICES.iter().any(|service| path.ends_with(service)) {
            continue;
        }
        let payment = chain.payer(0).pay(&asked).header();
        let bought = columns::published(endpoint).header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
        let status = bought.status();
        let text = String::from_utf8_lossy(&bought.bytes().await.expect("a body")).into_owned();
        assert_eq!(status, 200, "{what}: {text}\n{}", host.log());
    }
}

/// `coinslot doctor` examines every paid endpoint, and pays for one.
async fn the_doctor_finds_nothing(host: &ServeHost, chain: &TestChain) {
    std::fs::write(host.path("payer"), chain.payer(1).key()).expect("a key file");
    let (dir, origin, rpc) = (host.path("."), host.url("/"), chain.rpc());
    let examined = tokio::task::spawn_blocking(move || {
        let arguments =
            ["doctor", &origin, "--strict", "--json", "--most", "100", "--rpc", &rpc, "--key-file", "payer"];
        run(&dir, &arguments)
    });
    let examined = examined.await.expect("an end");
    let said = String::from_utf8_lossy(&examined.stderr);
    let report: Value = serde_json::from_slice(&examined.stdout).unwrap_or_else(|_| panic!("{said}"));
    let endpoints = report["endpoints"].as_array().expect("a list");
    let mut bad = Vec::new();
    for endpoint in endpoints {
        let checks = endpoint["checks"].as_array().expect("checks").iter();
        let found = checks.filter(|check| check["outcome"] == "failed" || check["outcome"] == "warning");
        bad.extend(found.map(|check| format!("{}: {check}", endpoint["endpoint"])));
    }
    assert!(bad.is_empty() && examined.status.success(), "{said}\n{}\n{}", bad.join("\n"), host.log());
    let served = columns::json(host, "/catalog.json").await;
    let paid = served["endpoints"].as_array().expect("a list").iter().filter(|one| one["price"]["kind"] != "free");
    assert_eq!(endpoints.len(), paid.count(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_plugin_is_found_as_it_is_sold() {
    PLUGINS.iter().for_each(|name| drop(guest(name)));
    let chain = TestChain::start().await;
    let host = chain.serve(&PLUGINS, GRANTS).await;
    let plain = host.configuration();
    let columns = compared::agree(&host).await;
    assert!(columns[0].routes.len() > 30, "{:?}", columns[0].routes.keys());
    published_examples_buy_answers(&host, &chain).await;
    judged::directories_find_nothing_wrong(&host).await;

    host.write_configuration(&format!("{plain}{OVERRIDES}"));
    host.wait_for_log("the configuration is active", 1).await;
    let columns = compared::agree(&host).await;
    let routes = &columns[0].routes;
    let first = |route: &str| &routes[route].prices.as_ref().expect("prices")[0];
    assert_eq!(first("POST /js/v1/js/markdown").amount, 3_000);
    assert_eq!(routes["POST /js/v1/js/markdown"].summary.as_deref(), Some("Markdown, *made* <b>safe</b>"));
    assert!(first("GET /js/v1/js/slug").pay_to.to_lowercase().ends_with("7e5"));
    assert!(first("POST /numbers/py/stats").pay_to.to_lowercase().ends_with("7e6"));
    assert_eq!(first("POST /ts/redact").amount, 20_000);
    assert_eq!(first("GET /shop/api/gitignore").amount, 4_000);
    assert!(!routes.contains_key("GET /python/links/{code}/visits"));
    published_examples_buy_answers(&host, &chain).await;
    judged::directories_find_nothing_wrong(&host).await;
    the_doctor_finds_nothing(&host, &chain).await;

    host.write_configuration(&plain);
    host.wait_for_log("the configuration is active", 2).await;
    compared::agree(&host).await;
}
