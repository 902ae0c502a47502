//! Declares what is sold to facilitators, in challenges and in what clients echo of them; and switches parts off.

use coinslot_tests::{TestChain, decode, guest};
use serde_json::{Value, json};

use super::columns;

/// A client may echo what it likes: the facilitator reads what the host declares.
#[tokio::test]
async fn a_facilitator_reads_the_hosts_own_declaration() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("schemas"), &[&facilitator]).await;
    let client = reqwest::Client::new();
    let ask = || client.get(host.url("/schemas/items/7"));
    for echo in [0, 1, 2] {
        let challenge = ask().send().await.expect("an answer");
        let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
        let own = &required["extensions"]["bazaar"];
        assert_eq!(own["routeTemplate"], "/schemas/items/:id", "{required:#}");
        assert_eq!(own["info"]["input"]["pathParams"], json!({ "id": "7" }));
        let mut payment = chain.payer(echo).pay(&challenge);
        match echo {
            0 => payment.document["extensions"] = required["extensions"].clone(),
            1 => payment.document["extensions"] = json!({ "bazaar": { "info": { "input": { "method": "EVIL" } } } }),
            _ => {}
        }
        let bought = ask().header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
        assert_eq!(bought.status(), 200, "{}", host.log());
        let settled: Value = serde_json::from_slice(facilitator.settles().last().expect("a settlement")).expect("JSON");
        let told = &settled["paymentPayload"]["extensions"]["bazaar"];
        if echo == 2 {
            assert!(told.is_null(), "what the client does not echo is not told");
        } else {
            assert_eq!(told["info"]["input"]["pathParams"], json!({ "id": "7" }), "{settled:#}");
            assert_eq!(told["info"]["input"]["method"], "GET");
        }
    }
}

#[tokio::test]
async fn parts_are_switched_off_and_on_by_a_reload() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let plain = host.configuration();
    let status = async |path: &str| reqwest::get(host.url(path)).await.expect("an answer").status().as_u16();
    let challenge = async || {
        let asked = reqwest::Client::new().post(host.url("/echo")).send().await.expect("an answer");
        let required = decode(asked.headers()["payment-required"].to_str().expect("ASCII"));
        (required, asked.json::<Value>().await.expect("JSON"))
    };
    let parts = [
        ("openapi", "/openapi.json"),
        ("well_known", "/.well-known/x402"),
        ("catalog", "/catalog.json"),
        ("llms", "/llms.txt"),
    ];
    for (index, (key, path)) in parts.iter().enumerate() {
        assert_eq!(status(path).await, 200, "{path}");
        host.write_configuration(&format!("{plain}[discover]\n{key} = false\n"));
        host.wait_for_log("the configuration is active", index + 1).await;
        assert_eq!(status(path).await, 404, "{path}");
        for (_, other) in parts.iter().filter(|(other, _)| other != key) {
            assert_eq!(status(other).await, 200, "{other}");
        }
        for document in ["/openapi.json", "/llms.txt"].iter().filter(|document| *document != path) {
            let text = columns::text(&host, document).await;
            assert!(*key == "well_known" || !text.contains(path), "{document} leads nowhere: {path}");
        }
    }
    let (required, legacy) = challenge().await;
    assert!(required["extensions"]["bazaar"].is_object() && legacy["accepts"][0]["outputSchema"].is_object());
    host.write_configuration(&format!("{plain}[discover]\nbazaar = false\n"));
    host.wait_for_log("the configuration is active", parts.len() + 1).await;
    let (required, legacy) = challenge().await;
    assert!(required["extensions"]["bazaar"].is_null() && legacy["accepts"][0]["outputSchema"].is_null(), "{required}");
}

#[tokio::test]
async fn the_catalogue_tells_health_and_the_usual_duration() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    let of_echo = async || {
        let catalog = columns::json(&host, "/catalog.json").await;
        let mut endpoints = catalog["endpoints"].as_array().expect("a list").iter();
        endpoints.find(|endpoint| endpoint["method"] == "POST").expect("it is listed").clone()
    };
    let before = of_echo().await;
    assert_eq!((&before["health"], before.get("medianMilliseconds")), (&json!("ok"), None), "{before}");
    let bought = host.buy(chain.payer(0), "/echo", std::time::Duration::from_secs(20)).await;
    assert_eq!(bought.statuses, [200], "{}", host.log());
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert!(of_echo().await["medianMilliseconds"].as_u64().is_some_and(|median| median < 20_000));
    let pause = reqwest::Client::new().post(format!("{}/api/v1/plugins/pause", host.admin()));
    let paused = pause.json(&json!({ "plugin": "echo", "dryRun": false })).send().await.expect("an answer");
    assert_eq!(paused.status(), 200);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(of_echo().await["health"], "paused");
}
