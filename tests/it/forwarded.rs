//! Checks that `X-Forwarded-For` counts for rate limits if a trusted proxy sends it, and never otherwise.

use std::net::IpAddr;

use coinslot_tests::{ServeHost, TestChain, encode};
use reqwest::{Client, Response};
use serde_json::{Value, json};

/// Trusts 127.0.0.1 as a proxy. An address may send two bad payments, and the next one after a long time.
const CONFIG: &str = "
[server]
trusted_proxies = [\"127.0.0.1\"]
[rate_limits]
failures_per_second = 0.1
";

/// A client that connects from this address.
fn from(address: &str) -> Client {
    let address: IpAddr = address.parse().expect("an address");
    Client::builder().local_address(address).build().expect("a client")
}

async fn pay(client: &Client, host: &ServeHost, forwarded: &str, payment: &str) -> Response {
    let request = client.post(host.url("/echo")).header("PAYMENT-SIGNATURE", payment);
    request.header("X-Forwarded-For", forwarded).send().await.expect("an answer")
}

/// The status of a payment that matches no offer.
async fn bad(client: &Client, host: &ServeHost, forwarded: &str) -> u16 {
    let payment = encode(&json!({ "x402Version": 2, "accepted": {}, "payload": {} }));
    pay(client, host, forwarded, &payment).await.status().as_u16()
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_address_for_rate_limits() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], CONFIG).await;
    let proxy = from("127.0.0.1");
    for (forwarded, status) in [
        ("192.0.2.1", 402),
        ("192.0.2.1", 402),
        ("192.0.2.1", 429),
        ("192.0.2.2", 402),
        // The client wrote the first entries; the proxy appended the last.
        ("192.0.2.3, 192.0.2.1", 429),
        ("192.0.2.1, 192.0.2.3", 402),
        ("192.0.2.1:4711, 127.0.0.1", 429),
        ("::ffff:192.0.2.1", 429),
        // One /64 network of IPv6 is one client.
        ("2001:db8::1", 402),
        ("2001:db8::2", 402),
        ("[2001:db8::3]:80", 429),
        ("2001:db8:0:1::1", 402),
    ] {
        assert_eq!(bad(&proxy, &host, forwarded).await, status, "{forwarded}");
    }
    let challenge = proxy.post(host.url("/echo")).header("X-Forwarded-For", "192.0.2.1").send().await;
    let challenge = challenge.expect("an answer");
    assert_eq!(challenge.status(), 402, "requests without a payment are not limited");
    let payment = chain.payer(0).pay(&challenge).header();
    let limited = pay(&proxy, &host, "192.0.2.1", &payment).await;
    assert_eq!(limited.status(), 429);
    assert!(limited.headers().contains_key("retry-after"));
    let body: Value = limited.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"too_many_payments".into(), &"unknown".into()));
    let served = pay(&proxy, &host, "192.0.2.9", &payment).await;
    assert_eq!(served.status(), 200, "the payment itself is valid");
    assert_eq!(chain.payments_received().await, 1);
}

#[tokio::test]
async fn forwarded_addresses_from_untrusted_peers_are_ignored() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], CONFIG).await;
    let (proxy, untrusted) = (from("127.0.0.1"), from("127.0.0.2"));
    for (forwarded, status) in [("192.0.2.1", 402), ("192.0.2.2", 402), ("192.0.2.3", 429), ("127.0.0.1", 429)] {
        assert_eq!(bad(&untrusted, &host, forwarded).await, status, "a new claim each time does not help: {forwarded}");
    }
    assert_eq!(bad(&from("127.0.0.3"), &host, "127.0.0.2").await, 402, "a claimed address is not limited");
    for blamed in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        assert_eq!(bad(&proxy, &host, blamed).await, 402, "{blamed} is not to blame");
    }
    for (client, proto, scheme) in [
        (&proxy, "https", "Some(Scheme::Https)"),
        (&proxy, "http", "Some(Scheme::Http)"),
        (&untrusted, "https", "Some(Scheme::Http)"),
    ] {
        let request = client.get(host.url("/echo")).header("X-Forwarded-Proto", proto);
        let said: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(said["scheme"], scheme, "{proto}");
    }
    for (client, seen) in [(&proxy, true), (&untrusted, false)] {
        let claims = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded"];
        let request = client.get(host.url("/echo"));
        let request = claims.iter().fold(request, |request, name| request.header(*name, "192.0.2.7"));
        let said: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        for name in claims {
            let name = name.to_ascii_lowercase();
            assert_eq!(said["headers"].to_string().contains(&name), seen, "{name}: {said}");
        }
    }
}

/// Behind a proxy that is not named all clients have one address, and it counted as a proof: whoever read a payment of
/// version 1 on the chain fetched its answer through the same proxy.
#[tokio::test]
async fn an_address_that_may_be_a_proxys_fetches_nothing_without_a_secret() {
    let chain = TestChain::start().await;
    let client = Client::new();
    let nobody = "[server]\ntrusted_proxies = []\n";
    let named = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    // The configuration, X-Forwarded-For of the purchase and of its repetition, and the status of that.
    for (number, (config, first, again, status)) in [
        ("", None, None, 409),
        (nobody, None, None, 200),
        (nobody, Some("192.0.2.1"), Some("192.0.2.1"), 409),
        (nobody, None, Some("192.0.2.1"), 409),
        (named, Some("192.0.2.1"), Some("192.0.2.1"), 200),
        (named, Some("192.0.2.1"), Some("192.0.2.2"), 409),
        (named, None, None, 409),
    ]
    .into_iter()
    .enumerate()
    {
        let host = chain.serve(&["echo"], config).await;
        let challenge = client.post(host.url("/echo")).send().await.expect("a challenge");
        let second = chain.payer(1).pay(&challenge).header();
        let body: Value = challenge.json().await.expect("JSON");
        let legacy = chain.payer(0).pay_v1(&body["accepts"][0]).header();
        let ask = |header: &str, payment: &str, forwarded: Option<&str>| {
            let request = client.post(host.url("/echo")).header(header, payment);
            match forwarded {
                Some(by) => request.header("X-Forwarded-For", by),
                None => request,
            }
        };
        let bought = ask("X-PAYMENT", &legacy, first).send().await.expect("an answer");
        assert_eq!(bought.status(), 200, "case {number}: it is served all the same: {}", host.log());
        let repeated = ask("X-PAYMENT", &legacy, again).send().await.expect("an answer");
        assert_eq!(repeated.status(), status, "case {number}: {}", host.log());
        let warned = host.log().contains("may be a proxy's");
        assert_eq!(warned, status == 409 && again != Some("192.0.2.2"), "case {number}: {}", host.log());
        for _ in 0..2 {
            let served = ask("PAYMENT-SIGNATURE", &second, first).send().await.expect("an answer");
            assert_eq!(served.status(), 200, "case {number}: a secret needs no address");
        }
    }
}
