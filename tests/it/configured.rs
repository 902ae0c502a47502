//! Changes the configuration while the host runs.

use std::time::Duration;

use alloy::primitives::{Address, address};
use coinslot_tests::{SELLER, ServeHost, TestChain, decode, run};

const OTHER: Address = address!("0x00000000000000000000000000000000000007e5");

async fn challenge(host: &ServeHost) -> reqwest::Response {
    let challenge = reqwest::Client::new().post(host.url("/echo")).body("mine").send().await.expect("a challenge");
    assert_eq!(challenge.status(), 402, "{}", host.log());
    challenge
}

fn receiver(challenge: &reqwest::Response) -> Address {
    let header = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    header["accepts"][0]["payTo"].as_str().expect("payTo").parse().expect("an address")
}

async fn takes_four_kibibytes(host: &ServeHost) -> bool {
    let long = reqwest::Client::new().get(host.url("/echo")).body("x".repeat(4 << 10)).send().await;
    long.expect("an answer").text().await.expect("a body").contains("\"bodyEnd\":\"whole\"")
}

#[tokio::test]
async fn a_changed_receiver_applies_to_new_offers_and_earlier_offers_are_honoured() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let before = challenge(&host).await;
    assert_eq!(receiver(&before), SELLER);
    let offered = chain.payer(0).pay(&before).header();

    let (old, new) = (SELLER.to_checksum(None), OTHER.to_checksum(None));
    host.write_configuration(&host.configuration().replace(&old, &new));
    host.wait_for_log("the configuration is active", 1).await;
    assert_eq!(receiver(&challenge(&host).await), OTHER);

    let bought = host.buy(chain.payer(1), "/echo", Duration::from_secs(10)).await;
    assert_eq!(bought.statuses, [200], "{}", host.log());
    assert_eq!((chain.balance(SELLER).await, chain.balance(OTHER).await), (0, 10_000));

    let client = reqwest::Client::new();
    let late = client.post(host.url("/echo")).body("mine").header("PAYMENT-SIGNATURE", offered).send().await;
    assert_eq!(late.expect("an answer").status(), 200, "{}", host.log());
    assert_eq!((chain.balance(SELLER).await, chain.balance(OTHER).await), (10_000, 10_000));
}

#[tokio::test]
async fn limits_are_reloaded_and_an_invalid_configuration_changes_nothing() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let first = host.configuration();
    assert!(takes_four_kibibytes(&host).await, "{}", host.log());

    host.write_configuration(&format!("{first}[plugin.echo.limits]\nrequest_body = \"1KiB\"\n"));
    host.wait_for_log("the configuration is active", 1).await;
    assert!(!takes_four_kibibytes(&host).await, "{}", host.log());

    host.write_configuration(&format!("{first}[plugin.echo.limits]\nrequest_body = \"0KiB\"\nteapots = 1\n"));
    host.wait_for_log("the changed configuration is not used; the former one stays", 1).await;
    let log = host.log();
    let line = log.lines().find(|line| line.contains("the changed configuration is not used")).expect("the line");
    assert!(line.contains("teapots") && line.contains("request_body"), "{line}");
    assert!(!takes_four_kibibytes(&host).await);
    // A secret whose file is missing.
    host.write_configuration(&format!("{first}[plugin.echo]\nhttp = [\"https://a.example\"]\nsecrets = [{{ origin = \"https://a.example\", header = \"x-key\", value_file = \"no-such-key\" }}]\n"));
    host.wait_for_log("the changed configuration is not used; the former one stays", 2).await;
    assert!(host.log().contains("plugin.echo.secrets[0]: "), "{}", host.log());
    assert!(!takes_four_kibibytes(&host).await);

    host.write_configuration(&first.replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\""));
    host.wait_for_log("listen has changed: this takes effect at the next start", 1).await;
    assert!(takes_four_kibibytes(&host).await, "{}", host.log());
}

#[tokio::test]
async fn a_configuration_that_cannot_serve_a_loaded_plugin_is_not_applied() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["upfront", "echo"], "").await;
    let first = host.configuration();
    host.write_configuration(&format!("flows = [\"authorization\"]\n{first}"));
    host.wait_for_log("the changed configuration is not used; the former one stays", 1).await;
    assert!(host.log().contains("it asks for the upfront flow"), "{}", host.log());
    let bought = host.buy(chain.payer(0), "/upfront", Duration::from_secs(10)).await;
    assert_eq!(bought.statuses, [200], "{}", host.log());
}

/// The start warned about a misspelt name, and a reload took the table without a word.
#[tokio::test]
async fn a_table_for_a_plugin_that_is_not_there_is_reported_at_a_reload() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    host.write_configuration(&format!("{}[plugin.ehco.limits]\nrequest_body = \"1KiB\"\n", host.configuration()));
    host.wait_for_log("the configuration is active", 1).await;
    assert!(host.log().contains("plugin.ehco: no plugin of this name is active"), "{}", host.log());
}

/// A reload made an offer that was out already another one: its payment was settled before the guest ran, which the
/// offer had not said.
#[tokio::test]
async fn an_offer_is_honoured_in_the_flow_in_which_it_was_made() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let client = reqwest::Client::new();
    let ask = || client.post(host.url("/echo")).body("mine");
    let before = challenge(&host).await;
    host.write_configuration(&format!("flows = [\"upfront\"]\n{}", host.configuration()));
    host.wait_for_log("the configuration is active", 1).await;
    let after = challenge(&host).await;
    for (index, offer) in [before, after].iter().enumerate() {
        let payment = chain.payer(index).pay(offer).header();
        let bought = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
        let status = bought.status();
        assert_eq!(status, 200, "{index}: {}", bought.text().await.expect("text"));
    }
    let flows: Vec<String> = host.ledger().into_iter().map(|row| row.flow).collect();
    assert_eq!(flows, ["authorization", "upfront"]);
}

/// A wrong setting was found by the first payer: a plugin could not see its configuration when it was loaded.
#[tokio::test]
async fn a_plugin_describes_itself_by_its_configuration_and_refuses_one_that_it_cannot_use() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "keeper"], "[plugin.keeper.config]\nmost = \"0.50\"\n").await;
    let most = async || {
        let probe = reqwest::Client::new().post(host.url("/keeper/quoted")).send().await.expect("an answer");
        let required = decode(probe.headers()["payment-required"].to_str().expect("ASCII"));
        required["accepts"][0]["amount"].as_str().expect("an amount").to_owned()
    };
    assert_eq!(most().await, "500000");
    let first = host.configuration();
    host.write_configuration(&first.replace("most = \"0.50\"", "most = \"0.25\""));
    host.wait_for_log("the configuration is active", 1).await;
    assert_eq!(most().await, "250000");
    assert!(takes_four_kibibytes(&host).await, "{}", host.log());
    let refused = first.replace("most = \"0.50\"", "refuse = \"the moon is not full\"");
    host.write_configuration(&format!("{refused}[plugin.echo.limits]\nrequest_body = \"1KiB\"\n"));
    host.wait_for_log("the plugin cannot use its new `config`, and keeps the former one", 1).await;
    host.wait_for_log("the configuration is active", 2).await;
    assert!(host.log().contains("it refuses to be loaded: the moon is not full"), "{}", host.log());
    assert_eq!(most().await, "250000", "its former configuration stays");
    host.wait_for_log("it keeps the `config` that it has", 1).await;
    let shown = String::from_utf8_lossy(&run(&host.path(""), &["plugins", "--format", "table"]).stdout).into_owned();
    let state = "serves with its former `config`; with the present one: it refuses to be loaded: the moon is not full";
    assert!(shown.contains(state), "{shown}");
    assert!(!takes_four_kibibytes(&host).await, "what others are given is used");
}
