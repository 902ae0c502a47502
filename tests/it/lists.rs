//! Checks that no list of the listener for operators ends unnoticed: each part says where the list goes on.

use std::time::Duration;

use coinslot_tests::{ServeHost, TestChain, run};
use serde_json::Value;

use crate::admin::{becomes, metrics, sample};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
const MINUTE: Duration = Duration::from_secs(60);

/// A host with three payments, two that were given back, and two whose answers are owed.
async fn busy(chain: &TestChain) -> ServeHost {
    let host = chain.serve(&["status", "unruly", "upfront"], ADMIN).await;
    for _ in 0..3 {
        host.buy(chain.payer(0), "/status", MINUTE).await;
    }
    for _ in 0..2 {
        assert_eq!(host.buy(chain.payer(1), "/unruly?recurse", MINUTE).await.statuses, [500]);
        let client = reqwest::Client::new();
        let ask = || client.post(host.url("/upfront")).header("x-do", "trap").body("mine");
        let payment = chain.payer(2).pay(&ask().send().await.expect("a challenge"));
        let answer = ask().header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
        assert_eq!(answer.status(), 500);
    }
    becomes(&host, "/api/v1/owed", |rows| rows.as_array().is_some_and(|rows| rows.len() == 2)).await;
    host
}

/// A part of a list, and the address of the part that follows.
async fn part(host: &ServeHost, path: &str) -> (Vec<Value>, Option<String>) {
    let answer = reqwest::get(format!("{}{path}", host.admin())).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    let next = answer.headers().get("link").map(|link| link.to_str().expect("ASCII").to_owned());
    let next = next.map(|link| {
        let address = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        address.unwrap_or_else(|| panic!("{link}")).to_owned()
    });
    (answer.json().await.expect("JSON"), next)
}

/// `/api/v1/owed` ended at a thousand payments and `/api/v1/failed` at a hundred, and neither said so.
#[tokio::test]
async fn every_list_says_where_it_goes_on_until_its_end() {
    let chain = TestChain::start().await;
    let host = busy(&chain).await;
    for (list, id, least) in [
        ("/api/v1/payments?state=settled,delivered,owed", "paymentId", 5),
        ("/api/v1/owed", "paymentId", 2),
        ("/api/v1/failed", "paymentId", 2),
        ("/api/v1/audit?kind=plugin_loaded", "number", 3),
    ] {
        let (whole, next) = part(&host, list).await;
        assert!(whole.len() == least && next.is_none(), "{list}: {whole:?}, {next:?}");
        let mut found: Vec<Value> = Vec::new();
        let separator = if list.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{list}{separator}limit=1"));
        while let Some(address) = next {
            let (rows, following) = part(&host, &address).await;
            assert_eq!(rows.len(), 1, "{address}");
            found.extend(rows);
            next = following;
        }
        assert_eq!(found, whole, "{list}: each {id} once, in the same order");
    }
    // The commands go on by themselves, and say where they stop.
    let url = host.admin();
    let shown = run(&host.path("."), &["failed", "--url", &url, "--format", "table", "--limit", "1"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("POST /unruly") && text.contains("there are more"), "{text}");
    let shown = run(&host.path("."), &["failed", "--url", &url]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout).lines().count(), 2, "{shown:?}");
    let shown = run(&host.path("."), &["payments", "--url", &url, "--limit", "2"]);
    assert!(String::from_utf8_lossy(&shown.stderr).contains("there are more"), "{shown:?}");
}

/// A list that was to follow a payment without a row was empty, as if it were at its end.
#[tokio::test]
async fn a_list_that_cannot_go_on_says_so_and_a_place_stays_valid_without_its_payment() {
    let chain = TestChain::start().await;
    let host = busy(&chain).await;
    let client = reqwest::Client::new();
    let given_back = part(&host, "/api/v1/failed").await.0[0]["paymentId"].as_str().expect("an id").to_owned();
    for (after, says) in [(&*given_back, "was given back or pruned"), ("yesterday", "`after` is the value of")] {
        for list in ["payments", "owed"] {
            let url = format!("{}/api/v1/{list}?after={after}", host.admin());
            let answer = client.get(url).send().await.expect("an answer");
            assert_eq!(answer.status(), 400, "{after}");
            let body: Value = answer.json().await.expect("JSON");
            let message = body["message"].as_str().expect("a message");
            assert!(body["error"] == "invalid_request" && message.contains(says), "{body}");
        }
    }
    // A place that no payment has any more: between two of them.
    let (rows, next) = part(&host, "/api/v1/payments?limit=4").await;
    let next = next.expect("more than four");
    let (place, number) = next.rsplit_once('-').expect("a place");
    let gone = format!("{place}-{}", number.parse::<u64>().expect("a number") + 1_000);
    let (rest, _) = part(&host, &gone.replace("limit=4", "limit=100")).await;
    let ids: Vec<&str> = rest.iter().map(|row| row["paymentId"].as_str().expect("an id")).collect();
    let last = rows[3]["paymentId"].as_str().expect("an id");
    assert!(!ids.is_empty() && ids.contains(&last), "the list goes on from the place: {ids:?}");
}

#[tokio::test]
async fn the_page_of_failed_calls_has_them_and_the_codes_have_the_numbers_of_prometheus() {
    let chain = TestChain::start().await;
    let host = busy(&chain).await;
    let page =
        async |path: &str| reqwest::get(format!("{}{path}", host.admin())).await.expect("it").text().await.expect("it");
    assert_eq!(reqwest::get(host.url("/nowhere")).await.expect("an answer").status(), 404);
    let bad = reqwest::Client::new().post(host.url("/status")).header("PAYMENT-SIGNATURE", "bm90IGpzb24=");
    assert_eq!(bad.send().await.expect("an answer").status(), 400);
    let text = metrics(&host).await;
    let codes = text.lines().filter(|line| line.starts_with("coinslot_errors_total{"));
    let codes: std::collections::BTreeSet<&str> = codes
        .map(|line| line.split("error_type=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a code"))
        .collect();
    assert!(codes.len() >= 3, "a failure, a bad payment and a path that is not there: {text}");
    // A path that is not there is no way to a payment.
    for (path, attribute, left_out) in [("/failed", "error", ""), ("/money", "reason", "not_found")] {
        let shown = page(path).await;
        for code in codes.iter().filter(|code| **code != left_out) {
            let number = sample(&text, "coinslot_errors_total", &[("error_type", code)]);
            let cell = format!("data-{attribute}=\"{code}\">");
            let rows = shown.split(&*cell).skip(1);
            let rows: Vec<&str> = rows.filter_map(|rest| rest.split('<').next()).collect();
            let sum: u32 = rows.iter().map(|number| number.parse::<u32>().expect("a number")).sum();
            assert_eq!(f64::from(sum), number, "{code} on {path}: {rows:?}");
        }
        assert!(shown.contains("POST /unruly"), "{shown}");
    }
    assert!(page("/").await.contains("<a href=\"/failed\">Errors</a>"));
}
