//! Checks free requests: how many there are, for whom, and that no race, crash, replay or slip makes more of them.

use std::time::Duration;

use alloy::primitives::B256;
use coinslot_devnet::wallet1271_runtime_code;
use coinslot_tests::{ServeHost, TestChain, Wallet, decode};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::admin::{ask, metrics, sample};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// So many free requests of this kind in a day.
fn allow(per: &str, requests: u32) -> String {
    format!("[[allow]]\nrequests = {requests}\nper = \"{per}\"\nevery = \"1d\"\n")
}

async fn post(host: &ServeHost, path: &str) -> Response {
    Client::new().post(host.url(path)).send().await.expect("an answer")
}

/// Sends a request with a proof.
async fn signed_in(host: &ServeHost, path: &str, proof: &str) -> Response {
    Client::new().post(host.url(path)).header("SIGN-IN-WITH-X", proof).send().await.expect("an answer")
}

/// Asks for a challenge, signs in, and sends the request again.
async fn sign_in(host: &ServeHost, wallet: &Wallet, path: &str) -> Response {
    let challenge = post(host, path).await;
    assert_eq!(challenge.status(), 402, "{}", host.log());
    signed_in(host, path, &wallet.sign_in(&challenge)).await
}

fn field<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The outcomes of free requests in the books, the oldest first.
async fn outcomes(host: &ServeHost) -> Vec<String> {
    let rows = ask(host, "/api/v1/free").await;
    let mut rows: Vec<_> =
        rows.as_array().expect("rows").iter().map(|row| row["outcome"].as_str().expect("text").to_owned()).collect();
    rows.reverse();
    rows
}

/// Waits until the books say this: an end that leaves no answer is written a moment later.
async fn wait_for_outcomes(host: &ServeHost, expected: &[&str]) {
    for _ in 0..500 {
        if outcomes(host).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not {expected:?}: {:?}\n{}", outcomes(host).await, host.log());
}

#[tokio::test]
async fn an_address_has_so_many_free_requests_and_pays_for_the_next() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "status"], &format!("{ADMIN}{}", allow("address", 2))).await;
    for left in [1, 0] {
        let free = post(&host, "/echo").await;
        assert_eq!(free.status(), 200, "{}", host.log());
        assert_eq!(field(&free, "ratelimit-policy"), "\"address\";q=2;w=86400");
        assert!(field(&free, "ratelimit").starts_with(&format!("\"address\";r={left};t=86")), "{free:?}");
        assert!(field(&free, "cache-control").starts_with("private"), "no cache gives it to the next client");
        assert!(!free.headers().contains_key("payment-response"));
        let said: Value = free.json().await.expect("JSON");
        assert_eq!(said["receipt"], Value::Null, "nothing was paid");
    }
    // One allowance for all plugins: the host counts its clients, not the plugins.
    assert_eq!(post(&host, "/status").await.status(), 402, "{}", host.log());
    let challenge = post(&host, "/echo").await;
    assert_eq!(challenge.status(), 402, "{}", host.log());
    let payment = chain.payer(0).pay(&challenge).header();
    let paid = Client::new().post(host.url("/echo")).header("PAYMENT-SIGNATURE", &payment).send().await;
    assert_eq!(paid.expect("an answer").status(), 200, "{}", host.log());
    assert_eq!(outcomes(&host).await, ["served", "served"]);
    let rows = ask(&host, "/api/v1/free").await;
    let row = &rows[0];
    assert_eq!((&row["kind"], &row["who"], &row["amount"]), (&json!("address"), &json!("127.0.0.1"), &json!("0")));
    assert_eq!((&row["plugin"], &row["endpoint"]), (&json!("echo"), &json!("POST /echo")));
    let totals = ask(&host, "/api/v1/free/totals").await;
    assert_eq!((&totals[0]["requests"], &totals[0]["outcome"]), (&json!(2), &json!("served")));
    let labels = [("coinslot_kind", "address"), ("coinslot_plugin", "echo")];
    assert!((sample(&metrics(&host).await, "coinslot_free_requests_total", &labels) - 2.0).abs() < 1e-9);
    assert_eq!(ask(&host, "/api/v1/payments").await.as_array().map(Vec::len), Some(1), "free requests are no payments");
}

/// Behind a proxy that is named, each client has its own, and a /64 of IPv6 is one client.
#[tokio::test]
async fn clients_are_told_apart_by_what_a_trusted_proxy_says_and_by_nothing_else() {
    let chain = TestChain::start().await;
    let config = format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{}", allow("address", 1));
    let host = chain.serve(&["echo"], &config).await;
    for (client, forwarded, status) in [
        ("127.0.0.1", "192.0.2.1", 200),
        ("127.0.0.1", "192.0.2.1", 402),
        ("127.0.0.1", "192.0.2.2", 200),
        ("127.0.0.1", "2001:db8::1", 200),
        ("127.0.0.1", "2001:db8::2", 402),
        ("127.0.0.2", "192.0.2.3", 200),
        ("127.0.0.2", "192.0.2.4", 402),
    ] {
        let address: std::net::IpAddr = client.parse().expect("an address");
        let client = Client::builder().local_address(address).build().expect("a client");
        let answer = client.post(host.url("/echo")).header("X-Forwarded-For", forwarded).send().await;
        assert_eq!(answer.expect("an answer").status(), status, "{address} for {forwarded}");
    }
}

#[tokio::test]
async fn of_parallel_requests_for_the_last_free_one_a_single_one_is_served() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &format!("{ADMIN}{}", allow("everyone", 1))).await;
    let asked = (0..40).map(|_| {
        let url = host.url("/echo");
        tokio::spawn(async move { Client::new().post(url).send().await.expect("an answer").status() })
    });
    let mut statuses = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        statuses.push(asked.await.expect("no panic"));
    }
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status.as_u16(), 200 | 402)), "{statuses:?}");
    assert_eq!(host.runs_of("echo"), 1);
    assert_eq!(outcomes(&host).await, ["served"]);
}

#[tokio::test]
async fn a_restart_and_a_reload_forget_nothing_and_a_reload_changes_the_numbers() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], &format!("{ADMIN}{}", allow("everyone", 2))).await;
    assert_eq!(post(&host, "/echo").await.status(), 200);
    host.restart(&[]).await;
    assert_eq!(post(&host, "/echo").await.status(), 200);
    assert_eq!(post(&host, "/echo").await.status(), 402);
    host.write_configuration(&host.configuration().replace("requests = 2", "requests = 3"));
    host.wait_for_log("the configuration is active", 1).await;
    assert_eq!(ask(&host, "/api/v1/allowances").await["allow"][0]["requests"], 3);
    assert_eq!(post(&host, "/echo").await.status(), 200, "two of three were used");
    assert_eq!(post(&host, "/echo").await.status(), 402);
}

/// Kills the host around the count of the only free request, and around its end.
#[tokio::test]
async fn no_crash_makes_a_request_free_twice_and_none_takes_one_without_an_answer() {
    for (point, is_left) in [
        ("before:free_counted", true),
        ("after:free_counted", true),
        ("before:free_ended", true),
        ("after:free_ended", false),
    ] {
        let chain = TestChain::start().await;
        let mut host = chain.serve(&["echo"], &format!("{ADMIN}{}", allow("everyone", 1))).await;
        host.restart(&[("COINSLOT_CRASH_AT", point)]).await;
        let answer = Client::new().post(host.url("/echo")).send().await;
        assert!(answer.is_err(), "{point}: no answer leaves before its end is durable: {answer:?}");
        host.wait_for_exit().await;
        host.restart(&[]).await;
        let status = if is_left { 200 } else { 402 };
        assert_eq!(post(&host, "/echo").await.status(), status, "{point}: {}", host.log());
        assert_eq!(post(&host, "/echo").await.status(), 402, "{point}");
    }
}

#[tokio::test]
async fn what_would_not_be_charged_is_not_counted_but_not_without_end() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status", "unruly"], &format!("{ADMIN}{}", allow("everyone", 2))).await;
    for _ in 0..2 {
        assert_eq!(post(&host, "/status?422").await.status(), 422, "{}", host.log());
    }
    wait_for_outcomes(&host, &["failed", "failed"]).await;
    for path in ["/status", "/status"] {
        assert_eq!(post(&host, path).await.status(), 200, "{}", host.log());
    }
    assert_eq!(post(&host, "/status").await.status(), 402);
    assert_eq!(outcomes(&host).await, ["failed", "failed", "served", "served"]);
}

#[tokio::test]
async fn a_plugin_or_a_route_has_an_allowance_of_its_own_and_a_total_bounds_all_clients() {
    let chain = TestChain::start().await;
    let table = |scope: &str, requests: u32| {
        format!("[[allow]]\n{scope}\nrequests = {requests}\nper = \"address\"\nevery = \"forever\"\n")
    };
    let config = [
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n".to_owned(),
        table("total = 3", 2),
        table("route = \"POST /status\"", 0),
        table("plugin = \"trap\"", 5),
    ]
    .concat();
    let host = chain.serve(&["echo", "status"], &config).await;
    let from = async |client: &str, path: &str| {
        let request = Client::new().post(host.url(path)).header("X-Forwarded-For", client);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(from("192.0.2.1", "/status").await, 402, "its route has none");
    for (client, status) in
        [("192.0.2.1", 200), ("192.0.2.1", 200), ("192.0.2.1", 402), ("192.0.2.2", 200), ("192.0.2.2", 402)]
    {
        assert_eq!(from(client, "/echo").await, status, "{client}: {}", host.log());
    }
    assert_eq!(from("192.0.2.3", "/echo").await, 402, "three of all together");
}

#[tokio::test]
async fn a_payer_who_signs_in_has_free_requests_and_each_proof_is_good_once() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &format!("{ADMIN}{}", allow("payer", 2))).await;
    let challenge = post(&host, "/echo").await;
    let header = challenge.headers()["payment-required"].to_str().expect("ASCII").to_owned();
    assert!(header.len() < 4096, "{}", header.len());
    let extension = &decode(&header)["extensions"]["sign-in-with-x"];
    let domain = host.url("").trim_start_matches("http://").to_owned();
    assert_eq!(extension["info"]["domain"], domain);
    assert_eq!(extension["supportedChains"], json!([{ "chainId": "eip155:84532", "type": "eip191" }]));
    let (alice, bob) = (Wallet::poor(), Wallet::poor());
    let proof = alice.sign_in(&challenge);
    let free = signed_in(&host, "/echo", &proof).await;
    assert_eq!(free.status(), 200, "{}", host.log());
    assert!(field(&free, "ratelimit").starts_with("\"payer\";r=1"), "{free:?}");
    let said: Value = free.json().await.expect("JSON");
    assert!(!said["headers"].to_string().contains("sign-in-with-x"), "the plugin sees no proof: {said}");
    let replayed = signed_in(&host, "/echo", &proof).await;
    assert_eq!(replayed.status(), 402);
    let reason: Value = replayed.json().await.expect("JSON");
    assert_eq!((&reason["error"], &reason["charged"]), (&json!("invalid_siwx_nonce"), &json!("no")));
    assert_eq!(sign_in(&host, &alice, "/echo").await.status(), 200);
    assert_eq!(sign_in(&host, &alice, "/echo").await.status(), 402, "both are used up");
    assert_eq!(sign_in(&host, &bob, "/echo").await.status(), 200, "another account has its own");
    let who = ask(&host, "/api/v1/free").await[0]["who"].clone();
    assert_eq!(who, bob.address().to_string().to_lowercase());
}

#[tokio::test]
async fn a_replayed_proof_is_refused_after_a_restart_too() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], &allow("payer", 5)).await;
    host.write_configuration(&format!("public_url = \"http://api.example\"\n{}", host.configuration()));
    host.restart(&[]).await;
    let ask = async |host: &ServeHost, proof: Option<&str>| {
        let request = Client::new().post(host.url("/echo")).header("host", "api.example");
        let request = proof.into_iter().fold(request, |request, proof| request.header("SIGN-IN-WITH-X", proof));
        request.send().await.expect("an answer")
    };
    let wallet = Wallet::poor();
    let challenge = ask(&host, None).await;
    let (first, second) = (wallet.sign_in(&challenge), wallet.sign_in(&ask(&host, None).await));
    assert_eq!(ask(&host, Some(&first)).await.status(), 200, "{}", host.log());
    host.restart(&[]).await;
    assert_eq!(ask(&host, Some(&first)).await.status(), 402);
    assert_eq!(ask(&host, Some(&second)).await.status(), 200, "a challenge outlives a restart: {}", host.log());
}

#[tokio::test]
async fn a_proof_for_another_place_chain_or_account_gets_the_challenge_with_the_reason() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &allow("payer", 100)).await;
    let wallet = Wallet::poor();
    let other = Wallet::poor().address().to_checksum(None);
    type Change = Box<dyn FnOnce(&mut Value)>;
    let set = |name: &'static str, value: String| -> Change { Box::new(move |proof| proof[name] = value.into()) };
    for (change, reason) in [
        (set("domain", "evil.example".to_owned()), "invalid_siwx_domain_mismatch"),
        (set("uri", "http://evil.example/echo".to_owned()), "invalid_siwx_uri_mismatch"),
        (set("chainId", "eip155:1".to_owned()), "invalid_siwx_unsupported_chain"),
        (set("nonce", "00112233445566778899aabbccddeeff".to_owned()), "invalid_siwx_nonce"),
        (set("issuedAt", "2020-01-01T00:00:00.000Z".to_owned()), "invalid_siwx_issued_at_too_old"),
        (set("issuedAt", "2100-01-01T00:00:00.000Z".to_owned()), "invalid_siwx_issued_at_in_future"),
        (set("expirationTime", "2020-01-01T00:00:00.000Z".to_owned()), "invalid_siwx_expired"),
        (set("address", other), "invalid_siwx_signature"),
        (set("version", "2".to_owned()), "invalid_siwx_version"),
    ] {
        let challenge = post(&host, "/echo").await;
        let refused = signed_in(&host, "/echo", &wallet.sign_in_with(&challenge, change)).await;
        assert_eq!(refused.status(), 402, "{reason}");
        assert!(refused.headers().contains_key("payment-required"), "its client may pay: {reason}");
        let body: Value = refused.json().await.expect("JSON");
        assert_eq!(body["error"], reason);
    }
    assert_eq!(signed_in(&host, "/echo", "no proof").await.status(), 402);
    assert_eq!(host.runs_of("echo"), 0);
}

/// A contract signs in where the host has a node that can ask it.
#[tokio::test]
async fn a_smart_wallet_signs_in_by_its_contract() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &allow("payer", 1)).await;
    let (owner, wallet) = (chain.payer(0), Wallet::poor().address());
    chain.client().call("anvil_setCode", json!([wallet, wallet1271_runtime_code()])).await;
    let slot = B256::left_padding_from(owner.address().as_slice());
    chain.client().call("anvil_setStorageAt", json!([wallet, B256::ZERO, slot])).await;
    let of_wallet = |proof: &mut Value| proof["address"] = wallet.to_checksum(None).into();
    let challenge = post(&host, "/echo").await;
    let proof = Wallet::poor().sign_in_with(&challenge, of_wallet);
    assert_eq!(signed_in(&host, "/echo", &proof).await.status(), 402, "the contract knows its owner alone");
    let proof = owner.sign_in_with(&post(&host, "/echo").await, of_wallet);
    assert_eq!(signed_in(&host, "/echo", &proof).await.status(), 200, "{}", host.log());
}

#[tokio::test]
async fn a_denied_payer_neither_pays_nor_signs_in_and_fetches_what_was_paid_for() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &allow("payer", 1)).await;
    let (denied, other) = (chain.payer(0), chain.payer(1));
    let pay = async |payment: &str| {
        let request = Client::new().post(host.url("/echo")).header("PAYMENT-SIGNATURE", payment);
        request.send().await.expect("an answer")
    };
    let before = denied.pay(&post(&host, "/echo").await).header();
    assert_eq!(pay(&before).await.status(), 200, "{}", host.log());
    std::fs::write(host.path("denied.txt"), format!("{} # fraud\n", denied.address().to_string().to_lowercase()))
        .expect("a file");
    host.write_configuration(&format!("{}\n[payers]\ndeny_file = \"denied.txt\"\n", host.configuration()));
    host.wait_for_log("the configuration is active", 1).await;
    let after = pay(&denied.pay(&post(&host, "/echo").await).header()).await;
    assert_eq!(after.status(), 403);
    let body: Value = after.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&json!("payer_denied"), &json!("no")));
    assert_eq!(sign_in(&host, denied, "/echo").await.status(), 403);
    assert_eq!(pay(&before).await.status(), 200, "it was paid for");
    assert_eq!(pay(&other.pay(&post(&host, "/echo").await).header()).await.status(), 200);
    assert_eq!(chain.payments_received().await, 2);
    // The file alone changes, and SIGHUP has it read.
    std::fs::write(host.path("denied.txt"), "").expect("a file");
    host.signal("HUP");
    host.wait_for_log("the configuration is active", 2).await;
    assert_eq!(pay(&denied.pay(&post(&host, "/echo").await).header()).await.status(), 200, "{}", host.log());
}

#[tokio::test]
async fn only_listed_payers_pay_where_there_is_an_allow_list() {
    let chain = TestChain::start().await;
    let listed = format!("[payers]\nallow = [\"eip155:84532:{}\"]\n", chain.payer(0).address());
    let host = chain.serve(&["echo"], &listed).await;
    for (index, status) in [(0, 200), (1, 403)] {
        let challenge = post(&host, "/echo").await;
        let payment = chain.payer(index).pay(&challenge).header();
        let request = Client::new().post(host.url("/echo")).header("PAYMENT-SIGNATURE", &payment);
        assert_eq!(request.send().await.expect("an answer").status(), status, "{}", host.log());
    }
    assert_eq!(chain.payments_received().await, 1);
}

/// A quote may refuse a request before anybody pays: plugins rely on it, so that it is asked for free requests, too.
#[tokio::test]
async fn a_quoting_plugin_refuses_a_free_request_as_a_paid_one_and_nothing_is_counted() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["quoter"], &format!("{ADMIN}{}", allow("everyone", 1))).await;
    let refused = post(&host, "/quoter/a?headers").await;
    assert_eq!(refused.status(), 400, "{}", host.log());
    assert!(outcomes(&host).await.is_empty());
    assert_eq!(post(&host, "/quoter/a").await.status(), 200, "{}", host.log());
    assert_eq!(post(&host, "/quoter/a").await.status(), 402);
}

#[tokio::test]
async fn a_client_that_leaves_has_used_its_request() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["crowd"], &format!("{ADMIN}{}", allow("everyone", 1))).await;
    let url = host.url("/crowd?sleep");
    let leaves = tokio::spawn(async move { Client::new().post(url).send().await });
    wait_for_outcomes(&host, &["running"]).await;
    leaves.abort();
    wait_for_outcomes(&host, &["hung_up"]).await;
    let challenge = post(&host, "/crowd").await;
    assert_eq!(challenge.status(), 402, "{:?}\n{}", challenge.text().await, host.log());
}

/// The row of a request whose client left during the count stayed `running` until the next start, and none of these rows
/// was ever deleted.
#[tokio::test]
async fn a_client_that_leaves_while_its_request_is_counted_has_used_it_and_the_books_say_so() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &format!("{ADMIN}{}", allow("everyone", 2))).await;
    assert_eq!(post(&host, "/echo").await.status(), 200, "{}", host.log());
    let backlog = async |expected: f64| {
        while (sample(&metrics(&host).await, "coinslot_ledger_backlog", &[]) - expected).abs() > 1e-9 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    backlog(0.0).await;
    let other = rusqlite::Connection::open(host.path(".coinslot/ledger.db")).expect("the ledger");
    other.execute_batch("BEGIN IMMEDIATE").expect("the only writer");
    let url = host.url("/echo");
    let asked = tokio::spawn(async move { Client::new().post(url).send().await });
    backlog(1.0).await;
    asked.abort();
    assert!(asked.await.expect_err("given up").is_cancelled());
    // The host sees that the connection is closed before the count is written.
    while open_connections(&host) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    other.execute_batch("ROLLBACK").expect("unlocked");
    wait_for_outcomes(&host, &["served", "hung_up"]).await;
    assert_eq!(host.runs_of("echo"), 1);
    assert_eq!(post(&host, "/echo").await.status(), 402);
}

/// The open connections of clients with the host's public port, by the kernel's table.
fn open_connections(host: &ServeHost) -> usize {
    let port: u16 = host.url("").rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let local = format!(":{port:04X}");
    let ours = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // 01 is ESTABLISHED, and 08 CLOSE_WAIT: the host has not closed its side yet.
    ours.filter(|row| row[1].ends_with(&local) && matches!(row[3], "01" | "08")).count()
}

/// Such a request counted as served: its client had paid with it for a part of an answer.
#[tokio::test]
async fn an_answer_that_breaks_off_is_given_back_and_no_request_of_the_books_is_served() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["ticker"], &format!("{ADMIN}{}", allow("everyone", 1))).await;
    let ask = async |order: &str| {
        let request = Client::new().post(host.url("/ticker")).header("x-do", order);
        request.send().await.expect("an answer")
    };
    let broken = ask("event wait trap").await;
    assert_eq!(broken.status(), 200, "{}", host.log());
    assert!(broken.text().await.is_err(), "the answer has no end");
    wait_for_outcomes(&host, &["failed"]).await;
    let totals = ask_totals(&host).await;
    assert_eq!(totals, [("failed".to_owned(), 1)], "and none is served");
    let whole = ask("event wait event").await;
    assert_eq!(whole.status(), 200, "{}", host.log());
    assert_eq!(whole.text().await.expect("a whole answer").matches("data:").count(), 2);
    assert_eq!(outcomes(&host).await, ["failed", "served"]);
    assert_eq!(ask("event").await.status(), 402);
}

/// The numbers of free requests by outcome, without those of none.
async fn ask_totals(host: &ServeHost) -> Vec<(String, u64)> {
    let totals = ask(host, "/api/v1/free/totals").await;
    let rows = totals.as_array().expect("rows").iter();
    rows.map(|row| (row["outcome"].as_str().expect("text").to_owned(), row["requests"].as_u64().expect("a number")))
        .filter(|(_, requests)| *requests > 0)
        .collect()
}

/// An orderly stop counted what it interrupted, as if the clients had left; a crash gave it back.
#[tokio::test]
async fn a_host_that_stops_gives_back_what_it_interrupts() {
    let chain = TestChain::start().await;
    let config = format!("{ADMIN}[server]\ndrain_timeout = \"300ms\"\n{}", allow("everyone", 2));
    let mut host = chain.serve(&["crowd", "ticker"], &config).await;
    let url = host.url("/crowd?sleep");
    let at_work = tokio::spawn(async move { Client::new().post(url).send().await });
    wait_for_outcomes(&host, &["running"]).await;
    let streaming = Client::new().post(host.url("/ticker")).header("x-do", "event sleep").send().await;
    assert_eq!(streaming.as_ref().expect("a head").status(), 200, "{}", host.log());
    assert_eq!(post(&host, "/ticker").await.status(), 402, "both are used");
    host.signal("TERM");
    host.wait_for_exit().await;
    assert!(at_work.await.expect("no panic").is_err(), "there was no answer");
    drop(streaming);
    host.restart(&[]).await;
    assert_eq!(outcomes(&host).await, ["interrupted", "interrupted"]);
    for status in [200, 200, 402] {
        assert_eq!(post(&host, "/ticker").await.status(), status, "{}", host.log());
    }
}

/// With a payment in the same request the proof reached the plugin, which could use it at another host of this name.
#[tokio::test]
async fn a_plugin_gets_no_proof_from_a_request_that_pays_or_has_a_key() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &format!("{ADMIN}{}", allow("payer", 1))).await;
    let challenge = post(&host, "/echo").await;
    let (payment, proof) = (chain.payer(0).pay(&challenge).header(), chain.payer(0).sign_in(&challenge));
    let ask = Client::new().post(host.url("/echo")).header("SIGN-IN-WITH-X", proof);
    let paid = ask.header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(paid.status(), 200, "{}", host.log());
    let said: Value = paid.json().await.expect("JSON");
    assert_ne!(said["receipt"], Value::Null, "it is paid");
    assert!(!said["headers"].to_string().contains("sign-in-with-x"), "{said}");
}

/// The ledger compares nonces as texts, and a nonce in capitals was another one: one challenge was good several times.
#[tokio::test]
async fn a_nonce_in_other_letters_is_no_other_nonce() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &allow("payer", 5)).await;
    let wallet = Wallet::poor();
    let challenge = post(&host, "/echo").await;
    let header = challenge.headers()["payment-required"].to_str().expect("ASCII").to_owned();
    let nonce = &decode(&header)["extensions"]["sign-in-with-x"]["info"]["nonce"];
    let capitals = nonce.as_str().expect("a nonce").to_ascii_uppercase();
    assert_ne!(nonce, &capitals, "one in three million nonces has no letter: try again");
    let (proof, other) =
        (wallet.sign_in(&challenge), wallet.sign_in_with(&challenge, |proof| proof["nonce"] = capitals.into()));
    assert_eq!(signed_in(&host, "/echo", &proof).await.status(), 200, "{}", host.log());
    let replayed = signed_in(&host, "/echo", &other).await;
    assert_eq!(replayed.status(), 402);
    let reason: Value = replayed.json().await.expect("JSON");
    assert_eq!(reason["error"], "invalid_siwx_nonce");
}
