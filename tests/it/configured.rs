//! A configuration that changes while the host runs.

use std::time::Duration;

use alloy::primitives::{Address, address};
use coinslot_tests::{Market, SELLER, Shop, decode};

const OTHER: Address = address!("0x00000000000000000000000000000000000007e5");

async fn challenge(shop: &Shop) -> reqwest::Response {
    let challenge = reqwest::Client::new().post(shop.url("/echo")).body("mine").send().await.expect("a challenge");
    assert_eq!(challenge.status(), 402, "{}", shop.log());
    challenge
}

fn receiver(challenge: &reqwest::Response) -> Address {
    let header = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    header["accepts"][0]["payTo"].as_str().expect("payTo").parse().expect("an address")
}

async fn takes_four_kibibytes(shop: &Shop) -> bool {
    let long = reqwest::Client::new().get(shop.url("/echo")).body("x".repeat(4 << 10)).send().await;
    long.expect("an answer").text().await.expect("a body").contains("\"bodyEnd\":\"whole\"")
}

#[tokio::test]
async fn another_receiver_is_paid_from_the_change_on_and_what_was_offered_is_honoured() {
    let market = Market::open().await;
    let shop = market.shop(&["echo"], "").await;
    let before = challenge(&shop).await;
    assert_eq!(receiver(&before), SELLER);
    let offered = market.payer(0).pay(&before).header();

    let (old, new) = (SELLER.to_checksum(None), OTHER.to_checksum(None));
    shop.configure(&shop.configuration().replace(&old, &new));
    shop.says("the configuration is active", 1).await;
    assert_eq!(receiver(&challenge(&shop).await), OTHER);

    let sold = shop.sell(market.payer(1), "/echo", Duration::from_secs(10)).await;
    assert_eq!(sold.statuses, [200], "{}", shop.log());
    assert_eq!((market.balance(SELLER).await, market.balance(OTHER).await), (0, 10_000));

    let client = reqwest::Client::new();
    let late = client.post(shop.url("/echo")).body("mine").header("PAYMENT-SIGNATURE", offered).send().await;
    assert_eq!(late.expect("an answer").status(), 200, "{}", shop.log());
    assert_eq!((market.balance(SELLER).await, market.balance(OTHER).await), (10_000, 10_000));
}

#[tokio::test]
async fn limits_change_and_a_wrong_file_changes_nothing() {
    let market = Market::open().await;
    let shop = market.shop(&["echo"], "").await;
    let first = shop.configuration();
    assert!(takes_four_kibibytes(&shop).await, "{}", shop.log());

    shop.configure(&format!("{first}[plugin.echo.limits]\nrequest_body_kib = 1\n"));
    shop.says("the configuration is active", 1).await;
    assert!(!takes_four_kibibytes(&shop).await, "{}", shop.log());

    shop.configure(&format!("{first}[plugin.echo.limits]\nrequest_body_kib = 0\nteapots = 1\n"));
    shop.says("not active; what was configured before is", 1).await;
    assert!(shop.log().contains("teapots"), "{}", shop.log());
    assert!(!takes_four_kibibytes(&shop).await);
    // A secret that is not there.
    shop.configure(&format!("{first}[plugin.echo]\nhttp = [\"https://a.example\"]\nsecrets = [{{ origin = \"https://a.example\", header = \"x-key\", value_file = \"no-such-key\" }}]\n"));
    shop.says("not active; what was configured before is", 2).await;
    assert!(shop.log().contains("plugin.echo.secrets[0]: "), "{}", shop.log());
    assert!(!takes_four_kibibytes(&shop).await);

    shop.configure(&first.replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\""));
    shop.says("listen has changed: this takes effect at the next start", 1).await;
    assert!(takes_four_kibibytes(&shop).await, "{}", shop.log());
}

#[tokio::test]
async fn a_plugin_that_the_new_configuration_cannot_serve_keeps_the_old_one_in_force() {
    let market = Market::open().await;
    let shop = market.shop(&["upfront", "echo"], "").await;
    let first = shop.configuration();
    shop.configure(&format!("flows = [\"authorization\"]\n{first}"));
    shop.says("not active; what was configured before is", 1).await;
    assert!(shop.log().contains("it asks for the upfront flow"), "{}", shop.log());
    let sold = shop.sell(market.payer(0), "/upfront", Duration::from_secs(10)).await;
    assert_eq!(sold.statuses, [200], "{}", shop.log());
}
