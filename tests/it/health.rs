//! A plugin that fails again and again is left alone: nobody waits for it, and nobody pays for a 503.

use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{Market, SELLER, Shop};
use serde_json::Value;

/// Left alone after two failures, for longer than a test takes.
const PATIENT: &str = "[plugin.upfront.health]\nfailures = 2\npause_ms = 3000000\nlongest_pause_ms = 3000000\n";

async fn free(shop: &Shop, order: &str) -> reqwest::Response {
    let request = reqwest::Client::new().get(shop.url("/upfront"));
    let request = if order.is_empty() { request } else { request.header("x-do", order) };
    request.send().await.expect("an answer")
}

/// A refusal that says that nothing was charged and when to come back, and asks for no money.
async fn is_left_alone(reply: reqwest::Response) {
    assert_eq!(reply.status(), 503);
    let wait: u64 = reply.headers()["retry-after"].to_str().expect("ASCII").parse().expect("seconds");
    assert!(wait > 1000, "{wait}");
    assert!(!reply.headers().contains_key("payment-required"), "no challenge");
    let body: Value = reply.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"plugin_unhealthy".into(), &"no".into()));
    assert!(body.get("accepts").is_none(), "{body}");
}

#[tokio::test]
async fn a_plugin_that_keeps_failing_is_left_alone_and_sells_nothing() {
    let market = Market::open().await;
    let shop = market.shop(&["upfront", "echo"], PATIENT).await;
    let client = reqwest::Client::new();
    let challenge = client.post(shop.url("/upfront")).send().await.expect("a challenge");
    let payment = market.payer(0).pay(&challenge).header();
    for _ in 0..2 {
        assert_eq!(free(&shop, "trap").await.status(), 500);
    }
    is_left_alone(free(&shop, "").await).await;
    is_left_alone(client.post(shop.url("/upfront")).send().await.expect("an answer")).await;
    is_left_alone(client.post(shop.url("/upfront?query")).send().await.expect("an answer")).await;
    let paid = client.post(shop.url("/upfront")).header("PAYMENT-SIGNATURE", &payment);
    is_left_alone(paid.send().await.expect("an answer")).await;
    assert_eq!(shop.runs_of("upfront"), 2, "nothing ran any more");
    assert_eq!((market.balance(SELLER).await, shop.ledger().len()), (0, 0));
    assert_eq!(shop.log().matches("is left alone").count(), 1, "the log says it once:\n{}", shop.log());
    let neighbour = reqwest::get(shop.url("/echo")).await.expect("an answer");
    assert_eq!(neighbour.status(), 200);
}

#[tokio::test]
async fn what_was_bought_before_is_given_out_while_the_plugin_is_left_alone() {
    let market = Market::open().await;
    let shop = market.shop(&["upfront"], PATIENT).await;
    let client = reqwest::Client::new();
    let ask = || client.post(shop.url("/upfront"));
    let sign = async |payer| market.payer(payer).pay(&ask().send().await.expect("a challenge")).header();
    let (bought, owed) = (sign(0).await, sign(1).await);
    let first = ask().header("PAYMENT-SIGNATURE", &bought).send().await.expect("an answer");
    assert_eq!(first.status(), 200);
    let failed = ask().header("PAYMENT-SIGNATURE", &owed).header("x-do", "trap").send().await.expect("an answer");
    assert_eq!(failed.status(), 500);
    assert_eq!(free(&shop, "trap").await.status(), 500);
    let again = ask().header("PAYMENT-SIGNATURE", &bought).send().await.expect("an answer");
    assert_eq!(again.status(), 200);
    assert_eq!(again.text().await.expect("a body"), first.text().await.expect("a body"));
    // A debt stays one.
    let still = ask().header("PAYMENT-SIGNATURE", &owed).send().await.expect("an answer");
    assert_eq!(still.status(), 503);
    assert!(still.headers().contains_key("retry-after") && still.headers().contains_key("payment-response"));
    let body: Value = still.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"plugin_unhealthy".into(), &"yes".into()));
    assert_eq!(shop.count("owed"), 1);
    assert_eq!(market.balance(SELLER).await, U256::from(20_000).to::<u64>());
}

#[tokio::test]
async fn one_success_after_the_pause_is_enough() {
    let market = Market::open().await;
    let health = "[plugin.upfront.health]\nfailures = 2\npause_ms = 200\nlongest_pause_ms = 400\n";
    let shop = market.shop(&["upfront"], health).await;
    for _ in 0..2 {
        assert_eq!(free(&shop, "trap").await.status(), 500);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    // It is tried, fails again, is left alone again, and is tried again.
    for (order, end) in [("trap", 500), ("", 200)] {
        while free(&shop, order).await.status() != end {
            assert!(Instant::now() < deadline, "it is not tried:\n{}", shop.log());
        }
    }
    for expected in ["is left alone again", "the plugin answers again"] {
        assert!(shop.log().contains(expected), "{expected}:\n{}", shop.log());
    }
    let challenge = reqwest::Client::new().post(shop.url("/upfront")).send().await.expect("an answer");
    assert_eq!(challenge.status(), 402, "it sells again");
}

#[tokio::test]
async fn a_new_build_begins_well() {
    let market = Market::open().await;
    let shop = market.shop(&["upfront"], PATIENT).await;
    for _ in 0..2 {
        assert_eq!(free(&shop, "trap").await.status(), 500);
    }
    assert_eq!(free(&shop, "").await.status(), 503);
    shop.rebuild("upfront");
    let deadline = Instant::now() + Duration::from_secs(60);
    while free(&shop, "").await.status() != 200 {
        assert!(Instant::now() < deadline, "the new build is not asked:\n{}", shop.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_new_build_that_keeps_failing_is_taken_back_once() {
    let market = Market::open().await;
    let shop = market.shop(&["upfront"], "[health]\nfailures = 2\nrollback = true\n").await;
    shop.rebuild("upfront");
    shop.says("active file=upfront.wasm", 2).await;
    let builds = || -> Vec<String> {
        let log = shop.log();
        let lines = log.lines().filter(|line| line.contains("active file=upfront.wasm"));
        lines.filter_map(|line| Some(line.split_once("sha256=")?.1.to_owned())).collect()
    };
    for _ in 0..2 {
        assert_eq!(free(&shop, "trap").await.status(), 500);
    }
    shop.says("the build before it is put back", 1).await;
    shop.says("active file=upfront.wasm", 3).await;
    assert_eq!(builds()[0], builds()[2], "{}", shop.log());
    assert_eq!(free(&shop, "").await.status(), 200);
    // It was not the build: now there is nothing better to go back to.
    for _ in 0..2 {
        assert_eq!(free(&shop, "trap").await.status(), 500);
    }
    assert_eq!(free(&shop, "").await.status(), 503);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!((builds().len(), shop.log().matches("is put back").count()), (3, 1), "{}", shop.log());
}
