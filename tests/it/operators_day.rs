//! A day of mixed payments, gifts, faults, reloads and a refund: the chain, the ledger, the API, the commands, Prometheus
//! and every number of the dashboard say the same of it.

mod day;
mod page;

use std::collections::BTreeMap;

use alloy::primitives::U256;
use coinslot_evm::Ether;
use coinslot_tests::{SELLER, ServeHost, run};
use serde_json::{Value, json};

use self::day::{CENT, Day, WALLET_HAS};
use self::page::{Page, number};
use crate::admin::{ask, metrics, metrics_with, sample};

/// The lines of JSON that a command prints.
fn lines(host: &ServeHost, command: &[&str]) -> Vec<Value> {
    let shown = run(&host.path(""), command);
    let records = serde_json::Deserializer::from_slice(&shown.stdout).into_iter::<Value>();
    records.map(|record| record.unwrap_or_else(|error| panic!("{error}: {shown:?}"))).collect()
}

/// The rows of a list of the API.
async fn list(host: &ServeHost, path: &str) -> Vec<Value> {
    let answer = ask(host, path).await;
    answer.as_array().cloned().unwrap_or_else(|| panic!("{path} is no list: {answer}"))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn whole(value: f64) -> u64 {
    assert!(value >= 0.0 && value.fract().abs() < 1e-9, "{value} is no count");
    format!("{value:.0}").parse().expect("a number")
}

/// An amount in atomic units of a token with six decimals, as pages write it.
fn dollars(atomic: u64) -> String {
    let decimal = format!("{}.{:06}", atomic / 1_000_000, atomic % 1_000_000);
    format!("{} USDC", decimal.trim_end_matches('0').trim_end_matches('.'))
}

/// The amount of a record, as pages write it.
fn money(record: &Value) -> String {
    format!("{} {}", text(&record["amount"]), text(&record["symbol"]))
}

#[tokio::test]
async fn every_number_of_a_day_is_the_same_wherever_it_is_shown() {
    let mut day = Day::begin().await;
    day.morning().await;
    day.changes().await;
    day.gifts().await;
    day.failures().await;
    day.settlements().await;
    day.refund().await;
    day.ends().await;

    assert_eq!(day.chain.balance(SELLER).await, day.received, "the chain\n{}", day.host.log());
    let paid =
        metrics_with(&day.host, &[("coinslot_state", "paid")], f64::from(u32::try_from(day.moved).expect("few"))).await;
    let amount = sample(&paid, "coinslot_payments_amount_total", &[("coinslot_state", "paid")]);
    assert_eq!(whole(amount * 1e6), day.received, "Prometheus\n{paid}");
    the_books_agree(&day).await;
    now(&day).await;
    money_page(&day).await;
    payments(&day).await;
    plugins(&day).await;
    chain(&day).await;
}

/// API and commands say the same, and their sums are those of the day.
async fn the_books_agree(day: &Day) {
    for by in ["asset", "endpoint", "plugin", "day"] {
        let rows = list(&day.host, &format!("/api/v1/revenue?by={by}")).await;
        let sum: u64 = rows.iter().map(|row| number(&text(&row["atomicAmount"]))).sum();
        let payments: u64 = rows.iter().map(|row| row["payments"].as_u64().expect("a number")).sum();
        assert_eq!((sum, payments), (day.received, day.moved), "by {by}: {rows:?}");
        let of_command = lines(&day.host, &["ledger", "revenue", "--by", by, "--format", "json"]);
        assert_eq!(of_command, rows, "the command says the same by {by}");
    }
    let owed = list(&day.host, "/api/v1/owed").await;
    assert_eq!((owed.len(), lines(&day.host, &["ledger", "owed", "--format", "json"]).len()), (1, 1));
    assert_eq!(list(&day.host, "/api/v1/failed").await.len(), 2);
    let alerts = ask(&day.host, "/api/v1/status").await["alerts"].to_string();
    for kind in ["answers_owed", "reload_failed"] {
        assert!(alerts.contains(kind), "{alerts}");
    }
}

/// The series of Prometheus by one label.
fn by_label(metrics: &str, name: &str, label: &str) -> BTreeMap<String, u64> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name)) {
        let (_, rest) = line.split_once(&format!("{label}=\"")).unwrap_or_else(|| panic!("no {label}: {line}"));
        let value = whole(line.rsplit(' ').next().expect("a value").parse().expect("a number"));
        *sums.entry(rest.split('"').next().expect("a label").to_owned()).or_default() += value;
    }
    sums.retain(|_, sum| *sum > 0);
    sums
}

/// `/`: the counters of Prometheus, by outcome, stage and state.
async fn now(day: &Day) {
    const MEANINGS: [(&str, &str); 11] = [
        ("paid", "Paid and answered"),
        ("paid_before", "Answered again for an earlier payment"),
        ("free", "Answered without a payment"),
        ("challenged", "Told the price"),
        ("refused", "Refused before anything was paid"),
        ("failed", "The plugin failed; nothing was charged"),
        ("owed", "Paid, and the answer is owed"),
        ("unknown", "It is not known whether the payment was charged"),
        ("broken_off", "The plugin failed in the middle of its answer"),
        ("hung_up", "The client left before it had the whole answer"),
        ("host", "Answered by the host itself"),
    ];
    let text = metrics(&day.host).await;
    let outcomes = by_label(&text, "http_server_request_duration_seconds_count", "coinslot_outcome");
    assert_eq!((outcomes.values().sum::<u64>(), outcomes["paid"]), (day.requests, day.paid), "{outcomes:?}");
    let page = Page::open(&day.host, "/").await;
    let shown = page.table("Requests by outcome");
    for (outcome, meaning) in MEANINGS {
        let expected = outcomes.get(outcome).copied().unwrap_or_default();
        let shown = shown.cell(meaning, "Requests").map_or(0, |text| number(&text));
        assert_eq!(shown, expected, "{outcome}");
    }
    assert_eq!(shown.cell("All requests", "Requests"), Some(day.requests.to_string()));

    // The host is younger than an hour: its last hour is all that it did.
    let sum = |outcomes_of: &[&str]| outcomes_of.iter().filter_map(|one| outcomes.get(*one)).sum::<u64>();
    let payments = by_label(&text, "coinslot_payments_total", "coinslot_state");
    let hour = [
        ("Requests", day.requests),
        ("Challenges", sum(&["challenged"])),
        ("Payments", day.moved),
        ("Refusals", sum(&["refused"])),
        ("Errors", sum(&["failed", "owed", "unknown", "broken_off"])),
    ];
    let steps = page.table("Requests in steps of five minutes");
    for (title, expected) in hour {
        let of_steps: u64 =
            steps.column(title).iter().filter(|cell| *cell != "not running").map(|cell| number(cell)).sum();
        let of_chart = page.fact(&format!("{title}, on the axis"));
        assert_eq!(of_steps, expected, "{title} in steps");
        assert!(of_chart.starts_with(&format!("{expected} in ")), "{title}: {of_chart}, not {expected}");
        // A rate is a number of the same samples by their seconds.
        page.fact(title);
    }
    for state in ["paid", "owed", "unknown", "refused", "failed"] {
        let expected = payments.get(state).copied().unwrap_or_default();
        assert_eq!(number(&page.fact(&format!("payments {state}"))), expected, "{state}");
    }
    let stages = by_label(&text, "coinslot_stage_duration_seconds_count", "coinslot_stage");
    let shown = page.table("Durations of the stages of requests in the last hour");
    for (stage, times) in &stages {
        let mut title = stage.clone();
        title[..1].make_ascii_uppercase();
        if let Some(cell) = shown.cell(&title, "Times") {
            assert_eq!(number(&cell), *times, "{stage}");
        }
    }
    let status = ask(&day.host, "/api/v1/status").await;
    assert_eq!(page.fact("Plugins"), format!("{} active", status["plugins"]["active"]));
    assert_eq!(page.fact("Endpoints"), status["plugins"]["endpoints"].to_string());
    assert_eq!(page.fact("Payments at work"), "0");
    page.is_read_but_for(&[("Started", "is a time")]);
}

/// `/money`: sums, groups, the way to the payment, gas, debts, refunds, gifts and keys, as the API and the chain have them.
async fn money_page(day: &Day) {
    let page = Page::open(&day.host, "/money?period=all").await;
    let asset = &list(&day.host, "/api/v1/revenue?by=asset").await[0];
    let figure = page.fact("USDC on base-sepolia (test)");
    let refunded = format!("of which {} went back by 1 refund", dollars(CENT));
    assert_eq!(figure, format!("{} by {} payments, {refunded}", dollars(day.received), day.moved));
    assert_eq!(
        (money(asset), day.chain.balance(day.wallet.address()).await),
        (dollars(day.received), WALLET_HAS - CENT)
    );
    let groups = [("By route", "Route", "endpoint"), ("By plugin", "Plugin", "plugin")];
    for (name, column, by) in groups {
        let shown = page.table(name).of_columns(&[column, "Payments", "Amount"]);
        same_rows(name, shown, list(&day.host, &format!("/api/v1/revenue?by={by}")).await.iter().map(earnings));
    }
    let days = list(&day.host, "/api/v1/revenue?by=day").await;
    let shown = page.table("USDC on eip155:84532 by day, the last 90 days").of_columns(&["Day", "Payments", "Amount"]);
    same_rows("by day", shown, days.iter().map(earnings));
    the_way_to_the_payment(day, &page).await;
    gas(day, &page).await;

    let debts = page.table("Owed answers").of_columns(&["Amount", "Endpoint"]);
    let owed = list(&day.host, "/api/v1/owed").await;
    same_rows("owed", debts, owed.iter().map(|one| vec![money(one), text(&one["endpoint"])]));
    let failed = list(&day.host, "/api/v1/failed").await;
    let shown = page.table("Payments that were given back").of_columns(&["Amount", "Endpoint"]);
    same_rows("given back", shown, failed.iter().map(|one| vec![money(one), text(&one["endpoint"])]));
    let refunds = ask(&day.host, "/api/v1/refunds").await["refunds"].clone();
    let refunds = refunds.as_array().expect("refunds");
    let shown = page.table("The newest refunds").of_columns(&["State", "Amount"]);
    same_rows("refunds", shown, refunds.iter().map(|one| vec![format!("● {}", text(&one["state"])), money(one)]));

    let shown = page.table("Free requests by route").of_columns(&["Route", "By", "Answered", "Not answered"]);
    let of = |route: &str, by: &str, served: &str| [route, by, served, "0"].map(str::to_owned).to_vec();
    same_rows("gifts", shown, [of("POST /echo", "address", "2"), of("POST /status", "key", "3")].into_iter());
    let free = metrics(&day.host).await;
    let by_kind = by_label(&free, "coinslot_free_requests_total", "coinslot_kind");
    assert_eq!((by_kind.get("address"), by_kind.get("key")), (Some(&2), Some(&3)), "{by_kind:?}");
    let keys = lines(&day.host, &["keys", "list"]);
    let shown = page.table("Keys of customers").of_columns(&["Name", "Left", "Answered"]);
    same_rows("keys", shown, keys.iter().map(|key| ["name", "left", "served"].map(|one| text(&key[one])).to_vec()));
    page.is_read_but_for(&[]);
}

/// A group of earnings, as pages write it.
fn earnings(record: &Value) -> Vec<String> {
    vec![text(&record["key"]), text(&record["payments"]), money(record)]
}

/// Asserts that a page has these rows, in any order.
fn same_rows(of: &str, mut shown: Vec<Vec<String>>, expected: impl Iterator<Item = Vec<String>>) {
    let mut expected: Vec<Vec<String>> = expected.collect();
    shown.sort();
    expected.sort();
    assert!(!expected.is_empty(), "the day has no {of}");
    assert_eq!(shown, expected, "{of}");
}

/// The way from the price to the payment is what the requests and payments of Prometheus sum up to.
async fn the_way_to_the_payment(day: &Day, page: &Page) {
    let text = metrics(&day.host).await;
    let outcomes = by_label(&text, "http_server_request_duration_seconds_count", "coinslot_outcome");
    let payments = by_label(&text, "coinslot_payments_total", "coinslot_state");
    let of_state = |state: &str| payments.get(state).copied().unwrap_or_default();
    // Every payment that was claimed moved money, was given back, or was refused.
    let claimed = day.moved + of_state("failed") + day.refused;
    let steps = page.table("From the price to the payment, test networks");
    let expected =
        [("Told the price", outcomes["challenged"]), ("Sent a payment that was claimed", claimed), ("Paid", day.moved)];
    for (step, number_of) in expected {
        assert_eq!(steps.cell(step, "Number").map(|cell| number(&cell)), Some(number_of), "{step}");
        let share = (number_of * 100 + expected[0].1 / 2) / expected[0].1;
        assert_eq!(steps.cell(step, "Of the first"), Some(format!("{share} %")), "{step}");
    }
    let by_route = page.table("From the price to the payment by route, test networks");
    for (column, sum) in [("Told the price", expected[0].1), ("Claimed", claimed), ("Paid", day.moved)] {
        // A share stands behind the number of payments.
        let shown = by_route.column(column).into_iter().map(|cell| number(cell.split(' ').next().unwrap_or_default()));
        assert_eq!(shown.sum::<u64>(), sum, "{column} by route");
    }
    let unserved = page.table("Requests that were not served, test networks");
    let shown: u64 = unserved.column("Number").iter().map(|cell| number(cell)).sum();
    // The page that is not there is of no route.
    let expected: u64 =
        ["refused", "failed", "owed", "unknown", "broken_off"].iter().filter_map(|one| outcomes.get(*one)).sum();
    assert_eq!(shown, expected, "{unserved:?}");
    let why_not = page.table("Payments that did not end plainly, test networks");
    for (state, reason) in [
        ("failed", "The plugin failed, and the payment was given back"),
        ("refused", "The settlement was refused"),
        ("owed", "Paid, and the answer was owed at first"),
        ("refunded", "Owed, and paid back"),
    ] {
        let shown = why_not.cell(reason, "Number").map_or(0, |cell| number(&cell));
        assert_eq!(shown, of_state(state), "{reason}: {why_not:?}");
    }
}

/// What gas cost is what the wallets have less than before.
async fn gas(day: &Day, page: &Page) {
    let row = page.table("Gas and what it brought");
    let shown = row.of_columns(&["For settling", "For refunds", "Received there", "Payments"]).swap_remove(0);
    assert_eq!(shown[2..], [dollars(day.received), day.moved.to_string()]);
    let text = metrics(&day.host).await;
    for (cell, purpose) in shown.iter().zip(["settlement", "refund"]) {
        let spent = sample(&text, "coinslot_gas_spent_total", &[("coinslot_purpose", purpose)]);
        let cell: f64 = cell.trim_end_matches(" ether").trim_end_matches('…').parse().expect("an amount");
        assert!(spent > 0.0 && (cell - spent).abs() < 1e-6, "{purpose}: {cell} on the page, {spent} in Prometheus");
    }
    let left = day.chain.client().call("eth_getBalance", json!([day.wallet.address(), "latest"])).await;
    let left: U256 = serde_json::from_value(left).expect("a number");
    let spent = U256::from(10).pow(U256::from(18)) - left;
    let refunds = ask(&day.host, "/api/v1/refunds").await;
    assert_eq!(refunds["refunds"][0]["feeWei"], spent.to_string(), "the wallet of refunds paid {spent} wei");
}

/// `/payments` and the page of each payment: the rows of the ledger.
async fn payments(day: &Day) {
    let rows = list(&day.host, "/api/v1/payments?limit=50").await;
    let page = Page::open(&day.host, "/payments").await;
    let shown = page.table("Payments, the newest first").of_columns(&["Amount", "Endpoint"]);
    same_rows("payments", shown, rows.iter().map(|row| vec![money(row), text(&row["endpoint"])]));
    page.is_read_but_for(&[]);
    for row in &rows {
        let id = text(&row["paymentId"]);
        let shown = reqwest::get(format!("{}/payments/{id}", day.host.admin())).await.expect("an answer");
        let shown = shown.text().await.expect("a page");
        for part in [text(&row["amount"]), id, text(&row["requestId"])] {
            assert!(shown.contains(&part), "{part} is not on the page of {row}");
        }
    }
}

/// `/plugins`: prices, limits and use, as the API has them; nothing is at work any more.
async fn plugins(day: &Day) {
    let page = Page::open(&day.host, "/plugins").await;
    let files = list(&day.host, "/api/v1/plugins").await;
    assert_eq!(files.len(), 5, "four plugins and a broken file");
    for file in files.iter().filter(|file| !file["active"].is_null()) {
        let name = text(&file["file"]);
        let routes = file["endpoints"].as_array().expect("routes").iter();
        let route = |one: &Value| vec![format!("{} {}", text(&one["method"]), text(&one["path"])), text(&one["price"])];
        let shown = page.table(&format!("Routes of {name}")).of_columns(&["Route", "Price"]);
        same_rows(&name, shown, routes.map(route));
        page.table(&format!("Builds of {name}"));
    }
    let cpu = by_plugin(&metrics(&day.host).await, "coinslot_plugin_cpu_seconds_total");
    for file in files.iter().filter(|file| !file["usage"].is_null()) {
        let of_api = file["usage"]["cpuMicroseconds"].as_f64().expect("a number") / 1e6;
        let name = text(&file["active"]["name"]);
        assert!((cpu[&name] - of_api).abs() < 1e-5, "{name}: {of_api} s in the API, {} s in Prometheus", cpu[&name]);
    }
}

/// Seconds by plugin.
fn by_plugin(metrics: &str, name: &str) -> BTreeMap<String, f64> {
    let of_it = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    let series = of_it.filter_map(|line| {
        let (_, rest) = line.split_once("coinslot_plugin=\"")?;
        Some((rest.split('"').next()?.to_owned(), line.rsplit(' ').next()?.parse().ok()?))
    });
    series.collect()
}

/// `/chain`: what the wallets have, as the chain has it.
async fn chain(day: &Day) {
    // The wallet of refunds is read again when a refund has ended.
    let page = loop {
        let page = Page::open(&day.host, "/chain").await;
        let shown = page.table("The wallet that pays owed answers back").column("Balance of tokens");
        if shown == [dollars(WALLET_HAS - CENT)] {
            break page;
        }
        day.has_time(&format!("the wallet has {shown:?}")).await;
    };
    let record = &ask(&day.host, "/api/v1/chain").await[0];
    let wallet = &record["wallets"][0];
    let left = day.chain.client().call("eth_getBalance", json!([wallet["address"], "latest"])).await;
    let left: U256 = serde_json::from_value(left).expect("a number");
    let shown = page.table("Gas wallets of own").of_columns(&["Balance", "Pending"]).swap_remove(0);
    let written = Ether(left).to_string();
    let begins = shown[0].trim_end_matches(" ether").trim_end_matches('…');
    assert!(written.starts_with(begins), "{shown:?} on the page, {written} on the chain");
    assert_eq!(shown[1], "0");
    page.is_read_but_for(&[("Assets that are taken", "has names and no number but addresses")]);
}
