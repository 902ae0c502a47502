//! Empties the wallet that pays for gas, and checks that the operator reads its address and what to send to it.

use std::time::{Duration, Instant};

use coinslot_tests::{DevHost, decode, guest};
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
