//! Refunds that are under way end by the operator's word as soon as the chain allows it.

use coinslot_devnet::USDC;
use coinslot_tests::NodeFault;
use serde_json::json;

use super::{OwnWallet, STRANGER, by};
use crate::refunds::{BY_COMMAND, CENT, Seller};

/// A refund of which the token's logs say nothing held the wallet on its network for good.
#[tokio::test]
async fn a_refund_that_the_logs_do_not_show_ends_by_the_operators_word_and_the_next_begins() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let (first, second, next) = (seller.owe(0).await, seller.owe(1).await, seller.owe(2).await);
    seller.silence().await;
    assert_eq!(seller.order(&first).await.0, 200);
    seller.until_alert("refund_trouble", &format!("coinslot owed settle {} --by TX", first.id)).await;
    seller.speak().await;
    seller.refuses(&next, 503, "ask again in a while").await;

    // Not before an hour has passed: the operator has to look.
    seller.disbelieves(&first, json!({ "notPaid": true }), 503, "look whether the payer has the money").await;
    seller.host.restart(&[("COINSLOT_HURRY", "100000")]).await;
    seller.until_alert("refund_trouble", "the token's logs do not show the transfer").await;
    let (status, report) = seller.settle(&first, json!({ "notPaid": true, "dryRun": true })).await;
    assert_eq!((status, &report["state"], &report["applied"]), (200, &json!("owed"), &json!(false)), "{report}");
    assert_eq!(seller.state(&first), "refunding");
    let out = seller.good(&["owed", "settle", &first.id, "--not-paid", "--format", "table"]).await;
    assert!(out.contains("is owed to") && out.contains("again"), "{out}");
    assert_eq!(seller.state(&first), "owed");
    let attempts = seller.good(&["owed", "refunds"]).await;
    assert!(attempts.contains("\"state\":\"failed\"") && attempts.contains("\"feeWei\":\""), "{attempts}");
    seller.until_no_alert("refund_trouble").await;
    assert_eq!(seller.present(&first).await.0, 200, "its payer fetches the answer");

    // The same, and the operator pays by hand: the debt ends, and so does the refund.
    seller.silence().await;
    assert_eq!(seller.order(&second).await.0, 200);
    seller.until_alert("refund_trouble", &second.id).await;
    seller.speak().await;
    let silent = seller.query("SELECT hash FROM refund_tx ORDER BY id DESC LIMIT 1");
    seller.disbelieves(&second, by(&silent), 409, "moves nothing of").await;
    let transaction = own.sends(USDC, second.payer, CENT).await;
    let (status, report) = seller.settle(&second, by(&transaction)).await;
    assert_eq!((status, &report["state"]), (200, &json!("refunded")), "{report}");
    seller.until_no_alert("refund_trouble").await;

    seller.pays_back(&next).await;
    seller.paid_back_once(&next).await;
    assert_eq!(seller.used_nonces().await, 3);
}

#[tokio::test]
async fn a_refund_that_may_still_be_made_does_not_end_by_a_word() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let debt = seller.owe(0).await;
    seller.node.withhold();
    assert_eq!(seller.order(&debt).await.0, 200);
    let words = "may still get into a block";
    seller.disbelieves(&debt, json!({ "notPaid": true }), 409, words).await;
    let transaction = own.sends(USDC, debt.payer, CENT).await;
    seller.disbelieves(&debt, by(&transaction), 409, words).await;
    seller.node.release().await;
    seller.until(&debt, "refunded").await;
    seller.paid_back_once(&debt).await;
    seller.disbelieves(&debt, json!({ "notPaid": true }), 409, "its money went back already").await;
}

/// The host waits for a minute before it believes that another transaction has the nonce; its operator need not.
#[tokio::test]
async fn a_refund_whose_nonce_went_elsewhere_ends_at_once() {
    let seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    seller.node.always("eth_sendRawTransaction", NodeFault::Refuse("the pool is closed"));
    assert_eq!(seller.order(&debt).await.0, 200);
    let same_key = OwnWallet::of(&seller, seller.key.path()).await;
    let foreign = same_key.sends(USDC, STRANGER, 7).await;
    seller.node.heal();
    seller.until_alert("refund_trouble", &format!("transaction {foreign} has used the nonce")).await;
    let (status, report) = seller.settle(&debt, json!({ "notPaid": true })).await;
    assert_eq!((status, &report["state"]), (200, &json!("owed")), "{report}");
    assert_eq!(seller.state(&debt), "owed");
    seller.until_no_alert("refund_trouble").await;
    seller.pays_back(&debt).await;
    assert_eq!(seller.sent().await.iter().filter(|one| one.to == debt.payer).count(), 1);
}
