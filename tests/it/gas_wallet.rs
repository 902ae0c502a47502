//! Empties the wallet that pays for gas, and checks that the operator reads its address and what to send to it.

use std::time::{Duration, Instant};

use coinslot_tests::{DevHost, TestChain, Wallet, decode, guest, random_word, run};
use serde_json::json;

/// The refused transaction made the wallet count as empty at once, so the next reading of its balance found no change,
/// and the line that asks for money never came.
#[tokio::test]
async fn a_gas_wallet_that_a_payment_finds_empty_is_named_in_the_log() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let (chain, payer) = (host.chain(), host.payer(0));
    let post = || host.client().post(host.url("/echo"));
    let challenge = post().send().await.expect("an answer");
    let pay = async |payment: String| post().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    let bought = pay(payer.pay(&challenge).header()).await;
    let receipt = decode(bought.headers()["payment-response"].to_str().expect("ASCII"));
    let transaction = chain.receipt(receipt["transaction"].as_str().expect("a transaction")).await;
    let wallet = transaction["from"].as_str().expect("the gas wallet").to_ascii_lowercase();
    chain.call("anvil_setBalance", json!([wallet, "0x0"])).await;
    let refused = pay(payer.pay(&challenge).header()).await;
    assert_eq!(refused.status(), 503, "{}", refused.text().await.expect("a body"));
    let begun = Instant::now();
    loop {
        let log = host.log();
        if let Some(line) = log.lines().find(|line| line.contains("the gas wallet is empty")) {
            assert!(
                line.to_ascii_lowercase().contains(&wallet) && line.contains("balance=0 ether needed=0.0"),
                "{line}"
            );
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the log does not ask for money:\n{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An operator could not learn the address that has to be funded, and a host that can sell nothing was called good.
#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_gas_wallet_and_refuses_an_empty_one() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let dir = host.path(".");
    let wallet = |key: &str| Wallet::from_key(key).address().to_string();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    let funded = wallet(&std::fs::read_to_string(host.path("key")).expect("a key"));
    let good = run(&dir, &["check"]);
    assert!(good.status.success(), "{}", text(&good.stderr));
    let said = text(&good.stdout);
    let line = format!("facilitator.own: settles on eip155:84532, gas wallet {funded}, ");
    assert!(said.contains(&line) && said.contains(" ether") && said.contains("is good"), "{said}");

    let key = random_word().to_string();
    std::fs::write(host.path("key"), &key).expect("a key file");
    let empty = run(&dir, &["check"]);
    let (said, reason) = (text(&empty.stdout), text(&empty.stderr));
    assert_eq!(empty.status.code(), Some(1), "{said}{reason}");
    let named = format!("facilitator.own: the gas wallet {} has 0 ether", wallet(&key));
    assert!(reason.contains(&named) && reason.contains("send it at least 0.0"), "{reason}");
    assert!(!said.contains("is good"), "{said}");
}
