//! Pays with one wallet and with several, and meets everything that a wallet or its person may do.

use coinslot_tests::{Wallet, declaring};
use serde_json::json;

use super::{PAY, STATE, Shop, browser, serves};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_pays_once_and_gets_the_answer_and_a_receipt() {
    let mut shop = Shop::open(&[json!({ "name": "One" })]).await;
    shop.go("/answers/json");
    shop.page.sees("h1", "Answers of each kind");
    shop.page.sees(".price-card", "0.01 USDC");
    shop.page.sees(".price-card", "not money");
    shop.page.sees(PAY, "Pay 0.01 USDC");
    shop.page.click(PAY);
    shop.page.sees(STATE, "Paid 0.01 USDC on Base Sepolia. The answer is below.");
    let answer = shop.page.read("#answer-body pre");
    assert!(answer.contains("  \"large\": 12345678901234567890,\n  \"list\": [\n    1,"), "{answer}");
    shop.page.sees("#receipt-body", "Payment id");
    let (name, receipt) = shop.page.save("#save-receipt");
    assert!(name.starts_with("receipt-") && name.ends_with(".json"), "{name}");
    let receipt: serde_json::Value = serde_json::from_str(&receipt).expect("JSON");
    assert_eq!((&receipt["amount"], &receipt["isTestNetwork"]), (&json!("0.01 USDC"), &json!(true)));
    let transaction = receipt["transaction"].as_str().expect("a transaction");
    assert_eq!(shop.chain.client().receipt(transaction).await["status"], "0x1");
    assert_eq!(shop.payments_of(0).await, 1);
    assert_eq!(shop.page.calls(0, "eth_signTypedData_v4"), 1);
    assert_eq!(shop.kept(), 0, "an answered payment is not kept");
    // Another purchase of the same is another payment.
    shop.page.click(PAY);
    shop.page.sees(STATE, "The answer is below.");
    while shop.payments_of(0).await < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(shop.host.runs_of("answers"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_does_not_announce_itself_is_found() {
    let mut shop = Shop::open(&[json!({ "name": "Old", "legacy": true })]).await;
    shop.go("/answers/text");
    shop.page.click(PAY);
    shop.page.sees("#answer-body pre", "<b>with marks</b>");
    assert_eq!(shop.payments_of(0).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_wallets_a_person_chooses_one() {
    let mut shop = Shop::open(&[json!({ "name": "Fox" }), json!({ "name": "Rabbit" })]).await;
    shop.go("/answers/text");
    shop.page.click(PAY);
    shop.page.sees("#wallets h3", "Choose a wallet");
    let faults = shop.page.look("paywall-choice");
    assert!(faults.is_empty(), "{faults:#?}");
    shop.page.click("#wallets button.plain");
    shop.page.sees(STATE, "Nothing was paid.");
    shop.page.click(PAY);
    shop.page.click("#wallets li:nth-child(2) button");
    shop.page.sees(STATE, "The answer is below.");
    assert_eq!((shop.payments_of(0).await, shop.payments_of(1).await), (0, 1));
    assert_eq!(shop.page.calls(0, "eth_requestAccounts"), 0, "the other wallet is not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_on_another_network_switches_or_adds_it() {
    let mut shop = Shop::open(&[json!({ "name": "Far", "chain": 1, "known": [1, 84532] })]).await;
    shop.page.tell_wallet(0, &json!({ "declines": ["wallet_switchEthereumChain"] }));
    shop.go("/answers/text");
    shop.page.click(PAY);
    shop.page.sees(STATE, "Switch it to Base Sepolia (chain 84532)");
    shop.page.sees(STATE, "Nothing was paid.");
    assert_eq!(shop.page.calls(0, "eth_signTypedData_v4"), 0);
    shop.page.tell_wallet(0, &json!({ "declines": [] }));
    shop.page.click(PAY);
    shop.page.sees(STATE, "The answer is below.");
    assert_eq!(shop.page.calls(0, "wallet_addEthereumChain"), 0);
    // A wallet that does not know the network is told how to reach it.
    shop.page.tell_wallet(0, &json!({ "chain": 1, "known": [1], "declines": ["wallet_addEthereumChain"] }));
    shop.page.click(PAY);
    shop.page.sees(STATE, "your wallet is on another network");
    shop.page.tell_wallet(0, &json!({ "declines": [] }));
    shop.page.click(PAY);
    shop.page.sees(STATE, "The answer is below.");
    assert_eq!(shop.page.calls(0, "wallet_addEthereumChain"), 2);
    assert_eq!(shop.payments_of(0).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_declines_pays_nothing_and_may_pay_then() {
    let mut shop = Shop::open(&[json!({ "name": "One", "declines": ["eth_requestAccounts"] })]).await;
    shop.go("/answers/text");
    shop.page.click(PAY);
    shop.page.sees(STATE, "You did not let the page see an account. Nothing was paid.");
    shop.page.tell_wallet(0, &json!({ "declines": ["eth_signTypedData_v4"] }));
    shop.page.click(PAY);
    shop.page.sees(STATE, "You did not sign, so nothing was paid.");
    let faults = shop.page.look("paywall-declined");
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!((shop.kept(), shop.payments_of(0).await), (0, 0));
    shop.page.tell_wallet(0, &json!({ "declines": [] }));
    shop.page.click(PAY);
    shop.page.sees(STATE, "The answer is below.");
    assert_eq!(shop.payments_of(0).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_wallet_or_money_the_page_says_what_to_do() {
    let mut shop = Shop::open(&[]).await;
    shop.go("/answers/text");
    shop.page.click(PAY);
    shop.page.sees(STATE, "This browser has no wallet that the page can ask. Install a wallet");
    let poor = Wallet::poor();
    shop.page = browser(&shop.chain, &[json!({ "name": "Poor", "key": poor.key() })]);
    shop.go("/answers/text");
    shop.page.click(PAY);
    shop.page
        .sees(STATE, &format!("The account {} has 0 USDC on Base Sepolia, and the price is 0.01 USDC", poor.address()));
    assert_eq!(shop.page.calls(0, "eth_signTypedData_v4"), 0);
    // A wallet that cannot tell the balance is believed, and the host refuses the payment.
    shop.page.tell_wallet(0, &json!({ "declines": ["eth_call"] }));
    shop.page.click(PAY);
    shop.page.sees(STATE, "The payment was not taken, and nothing was charged.");
    assert_eq!(shop.kept(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_changes_is_paid_only_after_a_person_has_seen_it() {
    let mut shop = Shop::open(&[json!({ "name": "One" })]).await;
    shop.host.install("declared.wasm", &declaring("/thing exact 0.01"));
    serves(&shop, "/thing", "10000").await;
    shop.go("/thing");
    shop.page.sees(PAY, "Pay 0.01 USDC");
    shop.host.install("declared.wasm", &declaring("/thing exact 0.02"));
    serves(&shop, "/thing", "20000").await;
    shop.page.click(PAY);
    shop.page.sees(STATE, "The price of this request is 0.02 USDC, and this page showed 0.01 USDC. Nothing was paid.");
    shop.page.sees(".price-card", "0.02 USDC");
    assert_eq!(shop.page.calls(0, "eth_requestAccounts"), 0);
    shop.page.click(PAY);
    shop.page.sees(STATE, "Paid 0.02 USDC");
    assert_eq!(shop.payments_of(0).await, 2, "two cents");
}
