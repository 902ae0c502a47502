//! Lets the node lie about a refund: no lie has the host sign a second nonce for one debt.

use std::time::Duration;

use coinslot_tests::NodeFault;

use super::{BY_COMMAND, Debt, Seller};

/// The nonces that the ledger has for the refunds of a debt.
fn attempts(seller: &Seller, debt: &Debt) -> String {
    seller.query(&format!(
        "SELECT group_concat(refund.nonce) FROM refund JOIN claim ON claim.id = refund.claim WHERE payment_id = '{}'",
        debt.id
    ))
}

/// Nodes and gateways say many things of a transaction that they have, do not want, or know nothing of. Some of them pass
/// it on all the same.
#[tokio::test]
async fn whatever_a_node_says_of_the_transaction_it_is_sent_until_the_chain_has_it() {
    let mut seller = Seller::start(BY_COMMAND).await;
    seller.restart_in_a_hurry().await;
    let lies = [
        NodeFault::Refuse("nonce too low: next nonce 9, tx nonce 0"),
        NodeFault::RefuseAfter("nonce too low: next nonce 9, tx nonce 0"),
        NodeFault::Refuse("already known"),
        NodeFault::RefuseAfter("already known"),
        NodeFault::Refuse("replacement transaction underpriced"),
        NodeFault::Refuse("insufficient funds for gas * price + value"),
        NodeFault::RefuseAfter("internal error"),
        NodeFault::Garbage,
        NodeFault::Null,
        NodeFault::Status(502),
        NodeFault::LoseReply,
        NodeFault::Slow(Duration::from_secs(12)),
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        let debt = seller.owe(index % 3).await;
        let before = seller.sent().await.len();
        seller.node.next("eth_sendRawTransaction", lie, 2);
        let (status, report) = seller.order(&debt).await;
        // Too slow an answer is the caller's to look up.
        assert!(status == 200 || status == 503, "{lie:?}: {status} {report}");
        seller.until(&debt, "refunded").await;
        let sent = seller.sent().await;
        assert_eq!((sent.len(), sent[before].to), (before + 1, debt.payer), "{lie:?}");
        assert_eq!(attempts(&seller, &debt), before.to_string(), "{lie:?}: one attempt");
        seller.node.heal();
        let sold = seller.host.buy(seller.chain.payer(3), "/upfront", super::PATIENCE).await;
        assert!(sold.answer.is_some(), "{lie:?}: {sold:?}");
    }
}

/// The transfer is in a block. A node that denies its receipt would have it counted as never made.
#[tokio::test]
async fn a_node_that_denies_the_receipt_gets_no_second_refund_out_of_the_host() {
    let mut seller = Seller::start(BY_COMMAND).await;
    seller.host.restart(&[("COINSLOT_HURRY", "200")]).await;
    let debt = seller.owe(0).await;
    seller.ask_chain("anvil_mine", serde_json::json!([3])).await;
    seller.node.always("eth_getTransactionReceipt", NodeFault::Null);
    assert_eq!(seller.order(&debt).await.0, 200);
    // Its block shows it even if the transaction is denied, for longer than a foreign transaction is waited for.
    seller.node.always("eth_getTransactionByHash", NodeFault::Null);
    seller.until_called("eth_getTransactionReceipt", seller.node.calls("eth_getTransactionReceipt") + 12).await;
    assert_eq!((seller.state(&debt), attempts(&seller, &debt)), ("refunding".into(), "0".into()));
    seller.paid_back_once(&debt).await;
    seller.node.heal();
    seller.until(&debt, "refunded").await;
    seller.paid_back_once(&debt).await;
}

/// A node that denies everything of the transfer, for as long as it takes: the answer is owed again by the books. The next
/// order had another nonce, and paid the payer twice.
#[tokio::test]
async fn a_node_that_denies_the_whole_transfer_gets_no_second_one_when_it_tells_the_truth_again() {
    let mut seller = Seller::start(BY_COMMAND).await;
    seller.host.restart(&[("COINSLOT_HURRY", "200")]).await;
    let debt = seller.owe(0).await;
    seller.ask_chain("anvil_mine", serde_json::json!([3])).await;
    for method in ["eth_getTransactionReceipt", "eth_getTransactionByHash"] {
        seller.node.always(method, NodeFault::Null);
    }
    // Blocks with their transactions are refused: the one that used the nonce cannot be looked up.
    seller.node.always("eth_getBlockByHash", NodeFault::Refuse("missing trie node"));
    assert_eq!(seller.order(&debt).await.0, 200);
    seller.until(&debt, "owed").await;
    seller.node.heal();
    let transaction = seller.sent().await[0].transaction.clone();
    let reason = format!("by transaction {transaction}, which the ledger does not count as a refund");
    seller.refuses(&debt, 409, &reason).await;
    seller.paid_back_once(&debt).await;
    assert_eq!(seller.used_nonces().await, 1);
}
