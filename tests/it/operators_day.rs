//! A day of mixed payments, faults and reloads: the dashboard, the API, Prometheus, the commands and the chain say the
//! same of it.

use coinslot_tests::{NodeFault, ServeHost, TestChain, component, guest, run};
use serde_json::Value;

use crate::admin::{ask, becomes, metrics, metrics_with, sample};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// The requests that the clients of this day have sent, and what came back.
#[derive(Debug, Default)]
struct Day {
    requests: u64,
    paid: u64,
    /// Atomic units.
    received: u64,
}

/// The lines of JSON that a command prints.
fn lines(host: &ServeHost, command: &[&str]) -> Vec<Value> {
    let shown = run(&host.path(""), command);
    let records = serde_json::Deserializer::from_slice(&shown.stdout).into_iter::<Value>();
    records.map(|record| record.unwrap_or_else(|error| panic!("{error}: {shown:?}"))).collect()
}

async fn page(host: &ServeHost, path: &str) -> String {
    let answer = reqwest::get(format!("{}{path}", host.admin())).await.expect("an answer");
    answer.text().await.expect("a page")
}

/// Sends one request, with or without a payment.
async fn send(day: &mut Day, request: reqwest::RequestBuilder) -> reqwest::Response {
    day.requests += 1;
    request.send().await.expect("an answer")
}

impl Day {
    /// Buys at this path with these header fields. Returns the status of the answer to the payment.
    async fn buy(&mut self, chain: &TestChain, host: &ServeHost, path: &str, order: &str) -> u16 {
        let client = reqwest::Client::new();
        let ask = || client.post(host.url(path)).header("x-do", order).body("mine");
        let challenge = send(self, ask()).await;
        assert_eq!(challenge.status(), 402, "{path}: {}", host.log());
        let payment = chain.payer(self.requests as usize % 4).pay(&challenge);
        let price =
            payment.document["accepted"]["amount"].as_str().expect("an amount").parse::<u64>().expect("a number");
        let answer = send(self, ask().header("PAYMENT-SIGNATURE", payment.header())).await;
        let status = answer.status().as_u16();
        if answer.headers().contains_key("payment-response") {
            self.received += price;
        }
        self.paid += u64::from(status == 200);
        status
    }
}

#[tokio::test]
async fn every_number_of_a_day_is_the_same_wherever_it_is_shown() {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let mut host = chain.serve_seller(&guest("status"), &node, 0, "").await;
    host.write_configuration(&format!("{}{ADMIN}", host.configuration()));
    host.restart(&[]).await;
    for name in ["upfront", "unruly"] {
        host.install(&format!("{name}.wasm"), &component(name));
    }
    becomes(&host, "/api/v1/plugins", |files| files.as_array().map(Vec::len) == Some(3)).await;
    let mut day = Day::default();
    let file = ask(&host, "/api/v1/plugins").await;
    let file =
        file.as_array().expect("files").iter().find(|one| one["active"]["name"] == "status").expect("it")["file"]
            .clone();
    let file = file.as_str().expect("a name").to_owned();

    // Morning: people look, and some pay.
    for _ in 0..3 {
        let ask = reqwest::Client::new().post(host.url("/status"));
        assert_eq!(send(&mut day, ask).await.status(), 402);
    }
    for _ in 0..3 {
        assert_eq!(day.buy(&chain, &host, "/status", "").await, 200);
    }
    assert_eq!(send(&mut day, reqwest::Client::new().get(host.url("/nowhere"))).await.status(), 404);

    // A new build comes while payments do, and then another price.
    let mut build = component("status");
    build.extend([0, 3, 1, b'x', 0]);
    host.install(&file, &build);
    for _ in 0..3 {
        assert_eq!(day.buy(&chain, &host, "/status", "").await, 200);
    }
    becomes(&host, "/api/v1/plugins", |files| {
        files
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["file"] == file.as_str() && !one["previous"].is_null()))
    })
    .await;
    let price = "[plugin.status.routes.\"POST /status\"]\nprice = \"0.003\"\n";
    host.write_configuration(&format!("{}{price}", host.configuration()));
    becomes(&host, "/api/v1/plugins", |files| files.to_string().contains("0.003 USDC")).await;
    for _ in 0..2 {
        assert_eq!(day.buy(&chain, &host, "/status", "").await, 200);
    }

    // Noon: a plugin fails, one owes its answer, a broken file is dropped in, and a payment is bad.
    for _ in 0..2 {
        assert_eq!(day.buy(&chain, &host, "/unruly?recurse", "").await, 500);
    }
    assert_eq!(day.buy(&chain, &host, "/upfront", "trap").await, 500);
    assert_eq!(day.buy(&chain, &host, "/upfront", "").await, 200);
    host.install("broken.wasm", b"not a component");
    let bad = reqwest::Client::new().post(host.url("/status")).header("PAYMENT-SIGNATURE", "bm90IGpzb24=");
    assert_eq!(send(&mut day, bad).await.status(), 400);

    // Evening: the node loses the answer to a settlement that it has passed on.
    node.next("eth_sendRawTransaction", NodeFault::LoseReply, 1);
    let status = day.buy(&chain, &host, "/status", "").await;
    assert!([200, 503].contains(&status), "{status}");
    let settled = becomes(&host, "/api/v1/payments", |rows| {
        rows.as_array().is_some_and(|rows| {
            rows.iter().all(|row| {
                ["settled", "delivered", "owed", "refused"].contains(&row["state"].as_str().unwrap_or_default())
            })
        })
    })
    .await;
    if status == 503 {
        day.received += 3_000;
    }

    // The books are compared.
    let received = format!("{}", f64::from(u32::try_from(day.received).expect("a small sum")) / 1e6);
    assert_eq!(chain.balance(coinslot_tests::SELLER).await, day.received, "the chain\n{settled}\n{}", host.log());
    let moved = settled.as_array().expect("rows").iter().filter(|row| row["state"] != "refused").count();
    let prometheus = metrics_with(&host, &[("coinslot_state", "failed")], 2.0).await;
    let amount = |text: &str, state: &str| sample(text, "coinslot_payments_amount_total", &[("coinslot_state", state)]);
    // A payment whose answer is owed was paid before.
    let shown = amount(&prometheus, "paid");
    assert!(
        (shown - received.parse::<f64>().expect("a number")).abs() < 1e-9,
        "Prometheus: {shown} of {received}\n{prometheus}"
    );
    for by in ["asset", "endpoint", "plugin", "day"] {
        let api = ask(&host, &format!("/api/v1/revenue?by={by}")).await;
        let rows = api.as_array().expect("rows");
        let sum: u64 = rows
            .iter()
            .map(|row| row["atomicAmount"].as_str().expect("a text").parse::<u64>().expect("a number"))
            .sum();
        let payments: u64 = rows.iter().map(|row| row["payments"].as_u64().expect("a number")).sum();
        assert_eq!((sum, payments), (day.received, moved as u64), "by {by}: {api}");
        assert_eq!(
            lines(&host, &["ledger", "revenue", "--by", by, "--format", "json"]),
            *rows,
            "the command says the same by {by}"
        );
    }
    let money = page(&host, "/money?period=all").await;
    assert!(money.contains(&received), "{received} is missing from\n{money}");
    let funnel = ask(&host, "/api/v1/funnel").await;
    let totals = funnel["totals"].as_array().expect("totals");
    let ended = |subject: &str, outcome: &str| -> u64 {
        let found = totals.iter().filter(|one| one["subject"] == subject && one["outcome"] == outcome);
        found.map(|one| one["number"].as_u64().expect("a number")).sum()
    };
    let of = |name: &str, label: &str| sample(&prometheus, name, &[(label, "challenged")]);
    let told = of("http_server_request_duration_seconds_count", "coinslot_outcome");
    assert_eq!(f64::from(u32::try_from(ended("request", "challenged")).expect("few")), told, "{funnel}");
    assert_eq!(ended("payment", "paid"), moved as u64, "{funnel}");
    let claimed = settled.as_array().expect("rows").len() as u64 + ended("payment", "failed");
    assert_eq!(ended("payment", "claimed"), claimed, "{funnel}");
    let owed = ask(&host, "/api/v1/owed").await;
    assert_eq!(
        (owed.as_array().map(Vec::len), lines(&host, &["ledger", "owed", "--format", "json"]).len()),
        (Some(1), 1)
    );
    let alerts = ask(&host, "/api/v1/status").await["alerts"].to_string();
    for kind in ["answers_owed", "reload_failed"] {
        assert!(alerts.contains(kind), "{alerts}");
    }

    // The requests are those that were sent, on the page as in Prometheus.
    let prometheus = metrics(&host).await;
    let requests = |labels: &[(&str, &str)]| sample(&prometheus, "http_server_request_duration_seconds_count", labels);
    assert_eq!(requests(&[]), f64::from(u32::try_from(day.requests).expect("few")), "{prometheus}");
    assert_eq!(requests(&[("coinslot_outcome", "paid")]), f64::from(u32::try_from(day.paid).expect("few")));
    let now = page(&host, "/").await;
    let (_, rest) = now.split_once("data-outcome=\"all\"").expect("the sum of requests");
    let (_, rest) = rest.split_once('>').expect("the end of a tag");
    assert_eq!(rest.split('<').next(), Some(&*day.requests.to_string()));
}
