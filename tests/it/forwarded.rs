//! For whom a request is asked: what a named proxy says of it counts, what anybody else says does not.

use std::net::IpAddr;

use coinslot_tests::{Market, Shop, encode};
use reqwest::{Client, Response};
use serde_json::{Value, json};

/// Connections from 127.0.0.1 are the proxy's. Two bad payments from one address, and no more for a while.
const CONFIG: &str = "
[server]
trusted_proxies = [\"127.0.0.1\"]
[protect]
failures_per_second = 0.1
";

/// Whose connections come from this address.
fn from(address: &str) -> Client {
    let address: IpAddr = address.parse().expect("an address");
    Client::builder().local_address(address).build().expect("a client")
}

async fn pay(client: &Client, shop: &Shop, forwarded: &str, payment: &str) -> Response {
    let request = client.post(shop.url("/echo")).header("PAYMENT-SIGNATURE", payment);
    request.header("X-Forwarded-For", forwarded).send().await.expect("an answer")
}

/// The status of a payment that buys nothing here.
async fn bad(client: &Client, shop: &Shop, forwarded: &str) -> u16 {
    let payment = encode(&json!({ "x402Version": 2, "accepted": {}, "payload": {} }));
    pay(client, shop, forwarded, &payment).await.status().as_u16()
}

#[tokio::test]
async fn what_a_named_proxy_says_of_its_client_counts_for_the_limit_of_an_address() {
    let market = Market::open().await;
    let shop = market.shop(&["echo"], CONFIG).await;
    let proxy = from("127.0.0.1");
    for (forwarded, status) in [
        ("192.0.2.1", 402),
        ("192.0.2.1", 402),
        ("192.0.2.1", 429),
        ("192.0.2.2", 402),
        // The client wrote the beginning; the proxy appended the end.
        ("192.0.2.3, 192.0.2.1", 429),
        ("192.0.2.1, 192.0.2.3", 402),
        ("192.0.2.1:4711, 127.0.0.1", 429),
        ("::ffff:192.0.2.1", 429),
        // One network is one client.
        ("2001:db8::1", 402),
        ("2001:db8::2", 402),
        ("[2001:db8::3]:80", 429),
        ("2001:db8:0:1::1", 402),
    ] {
        assert_eq!(bad(&proxy, &shop, forwarded).await, status, "{forwarded}");
    }
    let challenge = proxy.post(shop.url("/echo")).header("X-Forwarded-For", "192.0.2.1").send().await;
    let challenge = challenge.expect("an answer");
    assert_eq!(challenge.status(), 402, "who does not pay is not limited");
    let payment = market.payer(0).pay(&challenge).header();
    let limited = pay(&proxy, &shop, "192.0.2.1", &payment).await;
    assert_eq!(limited.status(), 429);
    assert!(limited.headers().contains_key("retry-after"));
    let body: Value = limited.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"too_many_payments".into(), &"no".into()));
    let served = pay(&proxy, &shop, "192.0.2.9", &payment).await;
    assert_eq!(served.status(), 200, "the payment itself was good");
    assert_eq!(market.charges().await, 1);
}

#[tokio::test]
async fn what_anybody_else_says_of_an_address_neither_helps_nor_harms() {
    let market = Market::open().await;
    let shop = market.shop(&["echo"], CONFIG).await;
    let (proxy, stranger) = (from("127.0.0.1"), from("127.0.0.2"));
    for (forwarded, status) in [("192.0.2.1", 402), ("192.0.2.2", 402), ("192.0.2.3", 429), ("127.0.0.1", 429)] {
        assert_eq!(bad(&stranger, &shop, forwarded).await, status, "another name each time does not help: {forwarded}");
    }
    assert_eq!(bad(&from("127.0.0.3"), &shop, "127.0.0.2").await, 402, "who is not limited");
    for blamed in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        assert_eq!(bad(&proxy, &shop, blamed).await, 402, "{blamed} is not to blame");
    }
    for (client, seen) in [(&proxy, true), (&stranger, false)] {
        let claims = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded"];
        let request = client.get(shop.url("/echo"));
        let request = claims.iter().fold(request, |request, name| request.header(*name, "192.0.2.7"));
        let said: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        for name in claims {
            let name = name.to_ascii_lowercase();
            assert_eq!(said["headers"].to_string().contains(&name), seen, "{name}: {said}");
        }
    }
}
