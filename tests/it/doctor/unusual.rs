//! Examines addresses that sell nothing, payments that cannot be made, and payments that were not settled.

use std::sync::Arc;

use alloy::primitives::{B256, U256, keccak256};
use alloy::sol_types::SolValue;
use coinslot_devnet::{CHAIN_ID, USDC};
use coinslot_evm::{Chain, ChainSettings, Key, TokenTransfer, TokenWallet};
use coinslot_tests::{DevHost, SELLER, TestChain, guest, run};
use serde_json::{Value, json};

use super::{BrokenServer, KEY, doctor, findings, outcome, text};

/// Every check was made of a 404, and each advised to ask for money.
#[tokio::test]
async fn an_address_at_which_nothing_is_served_has_one_finding_and_the_routes_that_are_described() {
    let server = BrokenServer::start(None).await;
    let examined = doctor(&["--json", &server.url("/nosuch")]).await;
    let found = findings(&examined);
    let [(check, outcome, detail)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&**check, &**outcome, examined.status.code()), ("served", "failed", Some(3)), "{detail}");
    assert!(detail.contains("nothing is served here") && detail.contains("GET /weather"), "{detail}");
    let shown = text(&doctor(&[&server.url("/nosuch")]).await.stdout);
    assert!(shown.lines().count() < 8 && !shown.contains("answer 402"), "{shown}");
}

#[tokio::test]
async fn a_free_endpoint_is_called_free_and_only_what_applies_is_checked() {
    let host = DevHost::builder().plugin("answers.wasm", &guest("answers")).start().await;
    let openapi: Value = reqwest::get(host.url("/openapi.json")).await.expect("an answer").json().await.expect("JSON");
    let paths = openapi["paths"].as_object().expect("paths");
    let is_free = |item: &&Value| item.get("get").is_some_and(|get| get.get("x-payment-info").is_none());
    let (path, _) = paths.iter().find(|(path, item)| !path.contains('{') && is_free(item)).expect("a free route");
    let examined = run(&host.path("."), &["doctor", &host.url(path), "--json"]);
    let found = findings(&examined);
    assert!(examined.status.success(), "{found:?}");
    let (outcome, detail) = outcome(&examined, "challenge");
    assert!(outcome == "ok" && detail.contains("it is free"), "{outcome}: {detail}");
    assert!(found.len() < 12 && found.iter().all(|(_, outcome, _)| outcome != "failed"), "{found:?}");
}

/// The whole examination ran, and then ended without its report.
#[tokio::test]
async fn a_key_or_a_folder_that_cannot_be_used_is_said_before_anything_is_asked() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let not_a_folder = file.path().to_str().expect("a path");
    // Nobody answers at this address: an examination would say that.
    let url = "http://127.0.0.1:1/weather";
    for (arguments, why) in [
        (&["--pay"][..], "COINSLOT_PAYER_KEY is not set"),
        (&["--key-file", "/nosuch/key"], "cannot read the key file /nosuch/key"),
        (&["--key-file", not_a_folder], "does not hold a private key"),
        (&["--key-env", "DOCTOR_KEY", "--state-dir", not_a_folder], "cannot keep payments"),
        (&["--key-env", "DOCTOR_KEY", "--max", "much"], "--max"),
    ] {
        let refused = doctor(&[arguments, &[url]].concat()).await;
        let said = text(&refused.stderr);
        assert!(matches!(refused.status.code(), Some(1 | 2)) && said.contains(why), "{arguments:?}: {said}");
        assert!(refused.stdout.is_empty(), "nothing was examined");
    }
}

/// A server that names an older transaction of the same payer, receiver and amount was believed: "the money moved once".
#[tokio::test]
async fn an_older_transfer_of_the_same_amount_proves_no_payment() {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let connected = Chain::connect(&node.url().parse().expect("a URL"), CHAIN_ID, ChainSettings::default()).await;
    let key = Key::parse(KEY, "the test").expect("a key");
    let wallet = TokenWallet::new(Arc::new(connected.expect("connected")), key, 50_000_000_000, 1);
    let client = chain.client();
    let slot = keccak256((wallet.address(), U256::ZERO).abi_encode());
    client.call("anvil_setStorageAt", json!([USDC, slot, B256::from(U256::from(1_000_000))])).await;
    client.call("anvil_setBalance", json!([wallet.address(), U256::from(10).pow(U256::from(18))])).await;
    let transfer = TokenTransfer { token: USDC, to: SELLER, amount: U256::from(10_000) };
    let older = wallet.sign(&transfer, 0).await.expect("signed");
    wallet.broadcast(&older.raw).await.expect("sent");

    let server = BrokenServer::start_naming(None, older.hash.to_string()).await;
    let kept = tempfile::tempdir().expect("a folder");
    let state = kept.path().to_str().expect("a path");
    let (url, rpc) = (server.url("/weather"), node.url());
    let arguments = ["--json", "--key-env", "DOCTOR_KEY", "--rpc", &rpc, "--state-dir", state, &url];
    let examined = doctor(&arguments).await;
    let (outcome, detail) = outcome(&examined, "transfer");
    assert!(outcome == "failed" && detail.contains("does not use the authorization"), "{outcome}: {detail}");
    assert_eq!(chain.balance(wallet.address()).await, 990_000, "nothing moved but the older transfer");
    // The server may still take the money.
    assert_eq!(std::fs::read_dir(kept.path().join("payments")).expect("a folder").count(), 1);
    assert!(text(&examined.stderr).contains("the payment is kept"), "{}", text(&examined.stderr));
}
