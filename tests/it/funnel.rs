//! Counts the way from the price to the payment as an operator sees it: over restarts, after a kill, by period, and
//! without a commit for each challenge.

use std::time::{Duration, Instant};

use coinslot_tests::{ServeHost, TestChain};
use serde_json::Value;

use crate::admin::{ask, metrics, sample};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

const MINUTE: Duration = Duration::from_secs(60);

/// The number of requests or payments that ended so, at every endpoint.
fn number(report: &Value, subject: &str, outcome: &str) -> u64 {
    let totals = report["totals"].as_array().expect("totals").iter();
    let found = totals.filter(|total| total["subject"] == subject && total["outcome"] == outcome);
    found.map(|total| total["number"].as_u64().expect("a number")).sum()
}

async fn funnel(host: &ServeHost) -> Value {
    ask(host, "/api/v1/funnel").await
}

async fn page(host: &ServeHost, period: &str) -> String {
    let answer = reqwest::get(format!("{}/money?period={period}", host.admin())).await.expect("an answer");
    answer.text().await.expect("a page")
}

/// The number of a step on the page of money.
fn step(page: &str, title: &str) -> u64 {
    let (_, rest) = page.split_once(&format!("data-step=\"{title}\">")).unwrap_or_else(|| panic!("no {title}: {page}"));
    rest.split('<').next().expect("a text").replace(',', "").parse().expect("a number")
}

async fn told_the_price(host: &ServeHost, times: usize) {
    for _ in 0..times {
        let ask = reqwest::Client::new().post(host.url("/status")).body("mine");
        assert_eq!(ask.send().await.expect("an answer").status(), 402);
    }
}

fn file(host: &ServeHost) -> rusqlite::Connection {
    let file = rusqlite::Connection::open(host.path(".coinslot/ledger.db")).expect("the ledger");
    file.busy_timeout(Duration::from_secs(5)).expect("a time");
    file
}

#[tokio::test]
async fn the_way_to_a_payment_outlives_restarts_and_a_kill() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status", "unruly"], ADMIN).await;
    let empty = page(&host, "7d").await;
    assert!(empty.contains("Nobody was told a price in this time"), "{empty}");
    told_the_price(&host, 3).await;
    for payer in 0..2 {
        host.buy(chain.payer(payer), "/status", MINUTE).await;
    }
    assert_eq!(host.buy(chain.payer(2), "/unruly?recurse", MINUTE).await.statuses, [500]);
    let bad = reqwest::Client::new().post(host.url("/status")).header("PAYMENT-SIGNATURE", "bm90IGpzb24=");
    assert_eq!(bad.send().await.expect("an answer").status(), 400);

    let is_whole = |report: &Value| {
        let requests = ["challenged", "refused", "failed"].map(|outcome| number(report, "request", outcome));
        let payments = ["claimed", "paid", "failed"].map(|state| number(report, "payment", state));
        assert_eq!((requests, payments), ([6, 1, 1], [3, 2, 1]), "{report}");
        let totals = report["totals"].as_array().expect("totals").iter();
        assert!(totals.clone().all(|total| total["testnet"] == true), "{report}");
        let codes: Vec<_> = totals.filter_map(|total| total["code"].as_str()).collect();
        assert!(codes.contains(&"plugin_failed") && codes.len() == 2, "{report}");
    };
    is_whole(&funnel(&host).await);
    host.signal("TERM");
    host.wait_for_exit().await;
    host.restart(&[]).await;
    is_whole(&funnel(&host).await);

    // A page shows what the counters of the process, which are at zero, do not.
    let shown = page(&host, "7d").await;
    assert_eq!(
        ["Told the price", "Sent a payment that was claimed", "Paid"].map(|title| step(&shown, title)),
        [6, 3, 2]
    );
    let parts = ["Test networks", "POST /status", "plugin_failed", "The plugin failed, and the payment was given back"];
    assert!(parts.iter().all(|part| shown.contains(part)), "{shown}");

    // What is killed loses seconds: the host writes by itself.
    told_the_price(&host, 2).await;
    let begun = Instant::now();
    let told = "SELECT coalesce(sum(number), 0) FROM funnel_total WHERE outcome = 'challenged'";
    while file(&host).query_row(told, [], |row| row.get::<_, i64>(0)).expect("a sum") != 8 {
        assert!(begun.elapsed() < MINUTE, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    host.signal("KILL");
    host.wait_for_exit().await;
    host.restart(&[]).await;
    assert_eq!(number(&funnel(&host).await, "request", "challenged"), 8);
}

#[tokio::test]
async fn the_way_to_a_payment_follows_the_chosen_time() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], ADMIN).await;
    host.buy(chain.payer(0), "/status", MINUTE).await;
    told_the_price(&host, 4).await;
    assert_eq!(number(&funnel(&host).await, "request", "challenged"), 5);
    host.signal("TERM");
    host.wait_for_exit().await;
    file(&host).execute("UPDATE funnel_total SET day = day - 29", []).expect("an older file");
    host.restart(&[]).await;
    told_the_price(&host, 1).await;
    for (period, told) in [("7d", 1), ("30d", 6), ("90d", 6), ("all", 6)] {
        let shown = page(&host, period).await;
        assert_eq!(step(&shown, "Told the price"), told, "{period}");
        assert_eq!(step(&shown, "Paid"), u64::from(period != "7d"), "{period}");
        // The chosen time begins on the first day that was counted, or before it.
        assert_eq!(shown.contains("Counted since"), ["90d", "all"].contains(&period), "{period}");
    }
    let late = ask(&host, "/api/v1/funnel?since=7d").await;
    assert_eq!((number(&late, "request", "challenged"), number(&late, "payment", "paid")), (1, 0), "{late}");
    let wrong = reqwest::get(format!("{}/api/v1/funnel?since=long", host.admin())).await.expect("an answer");
    assert_eq!(wrong.status(), 400);
}

#[tokio::test]
async fn challenges_cost_no_commits_of_their_own() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], ADMIN).await;
    let commits = async || sample(&metrics(&host).await, "coinslot_ledger_commit_duration_seconds_count", &[]);
    told_the_price(&host, 1).await;
    funnel(&host).await;
    let (before, begun) = (commits().await, Instant::now());
    told_the_price(&host, 300).await;
    assert_eq!(number(&funnel(&host).await, "request", "challenged"), 301);
    // One for the report, one for each five seconds, and few of the host's own tasks.
    let most = 4.0 + begun.elapsed().as_secs_f64();
    let made = commits().await - before;
    assert!(made >= 1.0 && made <= most, "{made} commits for 300 challenges in {:?}", begun.elapsed());
}
