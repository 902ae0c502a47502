//! Looks at the pages and states of the dashboard that a day of an operator brings: a paused plugin and one with a build
//! before it, its lines and limits; free requests, keys, gas and the reasons of refusals; the log of changes.

use std::time::Duration;

use coinslot_tests::{SeenPage, ServeHost, TestChain, look_at, look_at_opened, run};
use serde_json::Value;

use crate::admin::becomes;

const MINUTE: Duration = Duration::from_secs(60);

/// A host after a day: sales, free requests, failures, refusals, another build and another price.
async fn after_a_day(chain: &TestChain) -> ServeHost {
    let config = "[admin]\nlisten = \"127.0.0.1:0\"\n[[allow]]\nplugin = \"echo\"\nrequests = 2\nper = \"address\"\nevery = \"1d\"\n\
                  [plugin.unruly.routes.\"POST /unruly\"]\nprice = \"0.005\"\nsummary = \"Fails in any way that is asked for\"\n";
    let host = chain.serve(&["status", "unruly", "upfront", "echo"], config).await;
    for name in ["acme", "a-customer-with-a-name-that-is-rather-long"] {
        let added = run(&host.path(""), &["keys", "add", name, "--quota", "100", "--every", "1d"]);
        assert!(added.status.success(), "{added:?}");
    }
    for payer in 0..3 {
        host.buy(chain.payer(payer), "/status", MINUTE).await;
    }
    let client = reqwest::Client::new();
    for _ in 0..3 {
        let free = client.post(host.url("/echo?a=1")).body("mine").send().await.expect("an answer");
        assert!([200, 402].contains(&free.status().as_u16()), "{}", free.status());
    }
    for path in ["/unruly?recurse", "/unruly?panic"] {
        host.buy(chain.payer(3), path, MINUTE).await;
    }
    let ask = || client.post(host.url("/upfront")).header("x-do", "trap").body("mine");
    let payment = chain.payer(2).pay(&ask().send().await.expect("a challenge"));
    let owed = ask().header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
    assert_eq!(owed.status(), 500);
    let bad = client.post(host.url("/status")).header("PAYMENT-SIGNATURE", "bm90IGpzb24=");
    assert_eq!(bad.send().await.expect("an answer").status(), 400);
    assert_eq!(client.get(host.url("/nowhere")).send().await.expect("an answer").status(), 404);

    host.install_another_build("status");
    host.install("broken.wasm", b"no component");
    let is_there = |files: &Value| {
        let files = files.as_array().expect("files");
        files.len() == 5 && files.iter().any(|file| !file["previous"].is_null())
    };
    becomes(&host, "/api/v1/plugins", is_there).await;
    let paused = client
        .post(format!("{}/api/v1/plugins/pause", host.admin()))
        .json(&serde_json::json!({ "plugin": "upfront" }))
        .send();
    assert!(paused.await.expect("an answer").status().is_success());
    host.write_configuration(&format!("{}[server]\nkeep_alive = \"7s\"\n", host.configuration()));
    becomes(&host, "/api/v1/audit?kind=restart_needed", |found| found != &Value::Array(Vec::new())).await;
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_day_look_right_closed_and_opened() {
    let chain = TestChain::start().await;
    let host = after_a_day(&chain).await;
    let named = |state: &str, paths: &[(&str, &str)]| -> Vec<(String, String)> {
        let url = host.admin();
        paths.iter().map(|(name, path)| (format!("{state}-{name}"), format!("{url}{path}"))).collect()
    };
    let pages = [
        ("now", "/"),
        ("money", "/money?period=all"),
        ("plugins", "/plugins"),
        ("changes", "/changes"),
        ("changes-none", "/changes?kind=refund"),
        ("failed", "/failed"),
        ("chain", "/chain"),
    ];
    let mut seen = look_at(&named("day", &pages), None);
    let text = |name: &str| -> &str {
        &seen.iter().find(|page| page.name == format!("day-{name}-1440-light")).expect("it").text
    };
    for (name, parts) in [
        (
            "money",
            &["base-sepolia", "Served free of charge", "Keys of customers", "acme", "Why not", "Gas", "Owed answers"][..],
        ),
        ("plugins", &["paused", "Roll back…", "Pause…", "Resume…", "Instances now", "nothing serves"]),
        ("changes", &["plugin paused", "plugin replaced", "restart needed", "configuration"]),
        ("failed", &["Given back", "plugin_failed", "not_found"]),
    ] {
        for part in parts {
            assert!(text(name).contains(part), "{part} is missing from {name}:\n{}", text(name));
        }
    }
    let everything = "details:not(.confirm)";
    seen.extend(look_at_opened(
        &named("day-opened", &[("plugins", "/plugins"), ("money", "/money?period=all")]),
        everything,
    ));
    seen.extend(look_at_opened(&named("day-rollback", &[("plugins", "/plugins")]), "details.confirm[id^=rollback]"));
    seen.extend(look_at_opened(&named("day-pause", &[("plugins", "/plugins")]), "details.confirm[id^=pause]"));
    faultless(&seen);
}

fn faultless(seen: &[SeenPage]) {
    let faults: Vec<String> = seen
        .iter()
        .filter(|page| page.status != 200 || !page.faults.is_empty())
        .map(|page| format!("{} ({}): {}", page.name, page.status, page.faults.join("\n    ")))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
