//! Sells passes: a payer who has paid comes back without paying, as often and as long as the pass says, and nobody else
//! does.

mod browsers;
mod clients;
mod contracts;
mod refused;
mod survive;
mod told;

use coinslot_tests::{ServeHost, TestChain, Wallet, decode, run};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::admin::{ask, metrics, sample};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// A pass of so many requests in an hour for the paid route of a guest.
fn pass_of(guest: &str, requests: u32) -> String {
    format!("[plugin.{guest}.routes.\"POST /{guest}\"]\npass = {{ seconds = 3600, requests = {requests} }}\n")
}

async fn post(host: &ServeHost, path: &str) -> Response {
    Client::new().post(host.url(path)).send().await.expect("an answer")
}

/// Pays for an answer. Returns it whole.
async fn pay(host: &ServeHost, payer: &Wallet, path: &str) -> Response {
    let payment = payer.pay(&post(host, path).await).header();
    let paid = Client::new().post(host.url(path)).header("PAYMENT-SIGNATURE", payment).send().await;
    let paid = paid.expect("an answer");
    assert_eq!(paid.status(), 200, "{}", host.log());
    paid
}

/// Sends a request with a proof.
async fn signed_in(host: &ServeHost, path: &str, proof: &str) -> Response {
    Client::new().post(host.url(path)).header("SIGN-IN-WITH-X", proof).send().await.expect("an answer")
}

/// Comes back: asks for a challenge, signs in, and sends the request again.
async fn comes_back(host: &ServeHost, payer: &Wallet, path: &str) -> Response {
    let challenge = post(host, path).await;
    assert_eq!(challenge.status(), 402, "{}", host.log());
    signed_in(host, path, &payer.sign_in(&challenge)).await
}

fn field<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Asserts that a request got an ordinary challenge, with this error, that its client can pay.
#[track_caller]
fn is_challenged(response: &Response, error: &str) {
    assert_eq!(response.status(), 402);
    let required = decode(field(response, "payment-required"));
    assert_eq!(required["error"], error, "{required}");
    assert_eq!(required["accepts"][0]["scheme"], "exact", "{required}");
}

#[tokio::test]
async fn a_payer_comes_back_by_a_signature_as_often_as_the_pass_says_and_then_pays_again() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &format!("{ADMIN}{}", pass_of("echo", 2))).await;
    let payer = chain.payer(0);
    let paid = pay(&host, payer, "/echo").await;
    let id = field(&paid, "x-coinslot-payment-id").to_owned();
    for left in [1, 0] {
        let free = comes_back(&host, payer, "/echo").await;
        assert_eq!(free.status(), 200, "{}", host.log());
        assert_eq!(field(&free, "ratelimit-policy"), "\"pass\";q=2;w=3600");
        assert!(field(&free, "ratelimit").starts_with(&format!("\"pass\";r={left};t=3")), "{free:?}");
        assert!(field(&free, "cache-control").starts_with("private"), "no cache gives it to the next client");
        assert!(!free.headers().contains_key("payment-response"));
        let said: Value = free.json().await.expect("JSON");
        assert_eq!(said["receipt"], Value::Null, "nothing was paid for this one");
        assert!(!said["headers"].to_string().contains("sign-in-with-x"), "the plugin sees no proof: {said}");
    }
    let refused = comes_back(&host, payer, "/echo").await;
    is_challenged(&refused, "pass_used_up");
    let body: Value = refused.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&json!("pass_used_up"), &json!("no")));
    pay(&host, payer, "/echo").await;
    assert_eq!(comes_back(&host, payer, "/echo").await.status(), 200, "{}", host.log());
    assert_eq!(chain.payments_received().await, 2);

    // The books have each use at the price of zero, as a use of the payment that bought it.
    let rows = ask(&host, "/api/v1/free").await;
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.iter().filter(|row| row["paymentId"] == id.as_str()).count(), 2, "{rows:?}");
    let payer = payer.address().to_string().to_lowercase();
    for row in rows {
        assert_eq!((&row["kind"], &row["outcome"], &row["amount"]), (&json!("pass"), &json!("served"), &json!("0")));
        assert_eq!(row["who"], payer.as_str());
    }
    let story = ask(&host, &format!("/api/v1/payments/{id}/story")).await;
    assert_eq!((&story["pass"]["requests"], &story["pass"]["used"]), (&json!(2), &json!(2)), "{story}");
    let steps = story["steps"].as_array().expect("steps").iter().map(|step| step["step"].as_str().expect("a word"));
    assert_eq!(steps.rev().take(2).collect::<Vec<_>>(), ["pass_used", "pass_used"]);
    assert_eq!(ask(&host, "/api/v1/payments").await.as_array().map(Vec::len), Some(2), "a use is no payment");
    let labels = [("coinslot_kind", "pass"), ("coinslot_plugin", "echo")];
    assert!((sample(&metrics(&host).await, "coinslot_free_requests_total", &labels) - 3.0).abs() < 1e-9);
    let listed = run(&host.path(""), &["ledger", "free", "--format", "table"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("pass"), "{listed:?}");
}

#[tokio::test]
async fn of_a_hundred_requests_at_once_a_pass_of_ten_serves_ten() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &pass_of("echo", 10)).await;
    pay(&host, chain.payer(0), "/echo").await;
    let mut proofs = Vec::new();
    for _ in 0..100 {
        proofs.push(chain.payer(0).sign_in(&post(&host, "/echo").await));
    }
    let runs = host.runs_of("echo");
    let asked = proofs.into_iter().map(|proof| {
        let request = Client::new().post(host.url("/echo")).header("SIGN-IN-WITH-X", proof);
        tokio::spawn(async move { request.send().await.expect("an answer").status().as_u16() })
    });
    let mut statuses = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        statuses.push(asked.await.expect("no panic"));
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 402)), "{statuses:?}");
    assert_eq!(host.runs_of("echo") - runs, 10);
}

/// A plugin that fails is not paid, and so it uses up nothing of a pass.
#[tokio::test]
async fn a_failed_call_does_not_use_up_a_pass() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["upfront"], &pass_of("upfront", 3)).await;
    pay(&host, chain.payer(0), "/upfront").await;
    for (order, status) in [("trap", 500), ("500", 500), ("404", 404)] {
        let proof = chain.payer(0).sign_in(&post(&host, "/upfront").await);
        let request = Client::new().post(host.url("/upfront")).header("SIGN-IN-WITH-X", proof);
        let failed = request.header("x-do", order).send().await.expect("an answer");
        assert_eq!(failed.status(), status, "{}", host.log());
    }
    let served = comes_back(&host, chain.payer(0), "/upfront").await;
    assert_eq!(served.status(), 200, "{}", host.log());
    assert!(field(&served, "ratelimit").starts_with("\"pass\";r=2"), "{served:?}");
}

/// What is free anyway comes before what was paid for, and a payment before both.
#[tokio::test]
async fn payments_keys_and_allowances_come_before_a_pass() {
    let chain = TestChain::start().await;
    let allow = "[[allow]]\nper = \"payer\"\nrequests = 1\nevery = \"1d\"\n";
    let host = chain.serve(&["echo"], &format!("{ADMIN}{allow}{}", pass_of("echo", 5))).await;
    let payer = chain.payer(0);
    pay(&host, payer, "/echo").await;
    let kind = async |response: Response| {
        assert_eq!(response.status(), 200, "{}", host.log());
        field(&response, "ratelimit").split(';').next().unwrap_or_default().trim_matches('"').to_owned()
    };
    assert_eq!(kind(comes_back(&host, payer, "/echo").await).await, "payer");
    assert_eq!(kind(comes_back(&host, payer, "/echo").await).await, "pass");
    let made = run(&host.path(""), &["keys", "add", "acme", "--quota", "5", "--every", "1d"]);
    let key: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let key = key["key"].as_str().expect("a key").to_owned();
    let with = async |fields: &[(&str, &str)]| {
        let proof = payer.sign_in(&post(&host, "/echo").await);
        let request = Client::new().post(host.url("/echo")).header("SIGN-IN-WITH-X", proof);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.expect("an answer")
    };
    assert_eq!(kind(with(&[("X-API-Key", &key)]).await).await, "key");
    let payment = payer.pay(&post(&host, "/echo").await).header();
    let paid = with(&[("PAYMENT-SIGNATURE", &payment)]).await;
    assert!(paid.status() == 200 && paid.headers().contains_key("payment-response"), "{}", host.log());
    assert_eq!(chain.payments_received().await, 2);
}

/// The payment of a pass for a quoted route is the most that its requests may cost.
#[tokio::test]
async fn a_pass_of_a_quoted_route_serves_what_costs_no_more_than_was_paid() {
    let chain = TestChain::start().await;
    let table = "[plugin.quoter.routes.\"POST /quoter/{kind}\"]\npass = { seconds = 3600, requests = 5 }\n";
    let host = chain.serve(&["quoter"], table).await;
    let payer = chain.payer(0);
    let send = async |body: &str, field: Option<(&str, String)>| {
        let request = Client::new().post(host.url("/quoter/x")).body(body.to_owned());
        let request = field.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.expect("an answer")
    };
    let payment = payer.pay(&send("12345", None).await).header();
    assert_eq!(send("12345", Some(("PAYMENT-SIGNATURE", payment))).await.status(), 200, "{}", host.log());
    for (body, status) in [("12345", 200), ("1", 200), ("123456", 402)] {
        let proof = payer.sign_in(&send(body, None).await);
        let answer = send(body, Some(("SIGN-IN-WITH-X", proof))).await;
        assert_eq!(answer.status(), status, "{body}: {}", host.log());
        if status == 402 {
            is_challenged(&answer, "pass_below_price");
            assert_eq!(decode(field(&answer, "payment-required"))["accepts"][0]["amount"], "6000", "its own price");
        }
    }
}

/// `check` shows the passes, and the configuration stands before the plugin.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_decides_about_passes_and_sees_them() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &format!("{ADMIN}{}", pass_of("echo", 100))).await;
    let check = |config: &str| {
        std::fs::write(host.path("other.toml"), config).expect("a file");
        let output = run(&host.path(""), &["check", "-c", "other.toml"]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let good = host.configuration();
    let said = check(&good);
    assert!(said.contains("POST /echo: a payment buys a pass, 100 requests in 1h"), "{said}");
    let route = ask(&host, "/api/v1/plugins").await[0]["endpoints"]
        .as_array()
        .expect("routes")
        .iter()
        .find(|route| route["method"] == "POST")
        .cloned()
        .expect("the route");
    assert_eq!(route["pass"], "100 requests in 1h");
    let page = Client::new().get(format!("{}/plugins", host.admin())).send().await.expect("a page");
    assert!(page.text().await.expect("text").contains("100 requests in 1h"));
    let document = async |path: &str| Client::new().get(host.url(path)).send().await.expect("an answer");
    let openapi: Value = document("/openapi.json").await.json().await.expect("JSON");
    let pass = json!({ "seconds": 3600, "requests": 100 });
    assert_eq!(openapi["paths"]["/echo"]["post"]["x-pass"], pass, "{openapi}");
    let catalog: Value = document("/catalog.json").await.json().await.expect("JSON");
    let passes = catalog["endpoints"].as_array().expect("endpoints").iter().map(|endpoint| &endpoint["pass"]);
    assert_eq!(passes.collect::<Vec<_>>(), [&Value::Null, &pass], "{catalog}");
    assert!(document("/llms.txt").await.text().await.expect("text").contains("100 more requests within 1h"));
    let terms = "pass = { seconds = 3600, requests = 100 }";
    for (other, reason) in [
        ("pass = \"on\"", "pass: write `{ seconds = 3600, requests = 100 }`, or \"off\""),
        ("pass = { seconds = 3600 }", "pass.requests: is missing"),
        ("pass = { seconds = 0, requests = 1 }", "pass: `seconds` is from 1 to 31622400"),
        ("pass = { seconds = 1, requests = 1000001 }", "pass: `requests` is from 1 to 1000000"),
        ("pass = { seconds = 1, requests = 1 }\nprice = \"free\"", "the route is free, and nobody buys a pass"),
    ] {
        let said = check(&good.replace(terms, other));
        assert!(said.contains(reason), "{other}: {said}");
    }
    let said = check(&good.replace(terms, "pass = \"off\""));
    assert!(!said.contains("buys a pass"), "{said}");
}
