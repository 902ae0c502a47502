//! Lets a refund fail before it is sent and in its block: the answer stays owed, the error says what to do, and after
//! that it works.

use std::time::Duration;

use alloy::primitives::U256;
use coinslot_tests::NodeFault;

use super::{BY_COMMAND, CENT, Seller, WALLET_HAS};

#[tokio::test]
async fn a_wallet_without_tokens_sends_nothing_until_it_is_funded() {
    let seller = Seller::start(BY_COMMAND).await;
    let (fetched, paid_back) = (seller.owe(0).await, seller.owe(1).await);
    seller.set_dollars(seller.wallet.address(), CENT - 1).await;
    let reason = "has 9999 atomic units of the token, and the transfer takes 10000: send it at least 1";
    seller.refuses(&fetched, 409, reason).await;
    seller.sent_nothing_and_owes(&fetched).await;
    seller.set_dollars(seller.wallet.address(), WALLET_HAS).await;
    seller.pays_back(&paid_back).await;
    seller.paid_back_once(&paid_back).await;
}

#[tokio::test]
async fn a_wallet_without_gas_sends_nothing_until_it_is_funded() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let (fetched, paid_back) = (seller.owe(0).await, seller.owe(1).await);
    seller.set_ether(U256::from(7)).await;
    let wallet = seller.wallet.address().to_string();
    seller.refuses(&fetched, 409, &format!("the wallet {wallet}: the wallet has 0.000000000000000007 ether")).await;
    // The operator hears of it before anything is to be paid back.
    seller.restart_in_a_hurry().await;
    seller.until_alert("wallet_low", &format!("the wallet of refunds {wallet} has")).await;
    seller.sent_nothing_and_owes(&fetched).await;
    seller.set_ether(U256::from(10).pow(U256::from(18))).await;
    seller.pays_back(&paid_back).await;
    seller.paid_back_once(&paid_back).await;
    seller.until_no_alert("wallet_low").await;
}

#[tokio::test]
async fn a_node_that_is_down_has_the_order_refused_and_the_answer_fetched() {
    let seller = Seller::start(BY_COMMAND).await;
    let (fetched, paid_back) = (seller.owe(0).await, seller.owe(1).await);
    for fault in [NodeFault::Status(503), NodeFault::Garbage, NodeFault::Refuse("rate limited")] {
        seller.node.always("*", fault);
        let (status, report) = seller.order(&fetched).await;
        assert!(status == 503 || status == 409, "{fault:?}: {status} {report}");
        seller.node.heal();
    }
    seller.sent_nothing_and_owes(&fetched).await;
    seller.pays_back(&paid_back).await;
    seller.paid_back_once(&paid_back).await;
}

/// The order must not begin after its operator heard that nothing was begun.
#[tokio::test]
async fn an_order_that_waits_too_long_for_the_node_is_over() {
    let seller = Seller::start(BY_COMMAND).await;
    let (late, next) = (seller.owe(0).await, seller.owe(1).await);
    // An order waits for twenty seconds, and for several answers of the node.
    seller.node.always("*", NodeFault::Slow(Duration::from_secs(8)));
    let (status, report) = seller.order(&late).await;
    assert_eq!(status, 503, "{report}");
    assert!(report["message"].as_str().is_some_and(|why| why.contains("nothing was begun")), "{report}");
    seller.node.heal();
    // The next order has its turn at once.
    seller.pays_back(&next).await;
    seller.paid_back_once(&next).await;
    assert_eq!(seller.present(&late).await.0, 200);
}

#[tokio::test]
async fn a_payer_whom_the_token_refuses_fetches_the_answer() {
    let seller = Seller::start(BY_COMMAND).await;
    let (fetched, paid_back) = (seller.owe(0).await, seller.owe(0).await);
    seller.block(fetched.payer).await;
    seller.refuses(&fetched, 409, "the token refuses the transfer: ").await;
    seller.sent_nothing_and_owes(&fetched).await;
    seller.unblock().await;
    seller.pays_back(&paid_back).await;
    seller.paid_back_once(&paid_back).await;
}

/// The token accepts the transfer when it is simulated, and reverts it in its block.
#[tokio::test]
async fn a_refund_that_reverts_in_its_block_leaves_the_answer_owed() {
    let seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    seller.node.withhold();
    let (status, report) = seller.order(&debt).await;
    assert_eq!(status, 200, "{report}");
    seller.block(debt.payer).await;
    seller.node.release().await;
    seller.until(&debt, "owed").await;
    assert_eq!((seller.sent().await, seller.used_nonces().await), (vec![], 1));
    let listed = seller.good(&["owed", "--format", "table"]).await;
    assert!(listed.contains("the refund failed: the token reverted transaction 0x"), "{listed}");
    let attempts = seller.good(&["owed", "refunds"]).await;
    assert!(attempts.contains("\"state\":\"failed\"") && attempts.contains("\"feeWei\":\""), "{attempts}");

    seller.unblock().await;
    seller.pays_back(&debt).await;
    seller.paid_back_once(&debt).await;
    assert_eq!(seller.used_nonces().await, 2, "the second attempt has a nonce of its own");
}

/// The same, and the payer fetches the answer after all.
#[tokio::test]
async fn a_refund_that_reverted_can_be_made_good_with_the_answer() {
    let seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    seller.node.withhold();
    assert_eq!(seller.order(&debt).await.0, 200);
    seller.block(debt.payer).await;
    seller.node.release().await;
    seller.until(&debt, "owed").await;
    assert_eq!(seller.present(&debt).await.0, 200);
    seller.unblock().await;
    seller.refuses(&debt, 409, "its answer was given").await;
    assert_eq!(seller.sent().await, vec![]);
}
