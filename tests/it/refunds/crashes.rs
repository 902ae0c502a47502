//! Kills the host around every step of a refund: after the restart the debt is owed or paid back, and the chain has one
//! transfer at most.

use serde_json::json;

use super::by_hand::pay_by_hand;
use super::{BY_COMMAND, Debt, Seller};

/// Orders a refund on a host that dies at this point, and starts it again.
async fn crashed_at(point: &str) -> (Seller, Debt) {
    let mut seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    seller.host.restart(&[("COINSLOT_CRASH_AT", point)]).await;
    let asked = json!({ "payment": debt.id });
    let url = format!("{}/api/v1/owed/refund", seller.host.admin());
    // The answer may come before the host dies.
    drop(reqwest::Client::new().post(url).json(&asked).send().await);
    seller.host.wait_for_exit().await;
    seller.host.restart(&[]).await;
    (seller, debt)
}

#[tokio::test]
async fn before_the_refund_is_written_nothing_is_sent() {
    let (seller, debt) = crashed_at("before:refund_begun").await;
    assert_eq!((seller.state(&debt), seller.sent().await, seller.used_nonces().await), ("owed".into(), vec![], 0));
    seller.pays_back(&debt).await;
    seller.paid_back_once(&debt).await;
}

#[tokio::test]
async fn a_refund_that_was_written_and_not_sent_is_sent_after_the_restart() {
    let (seller, debt) = crashed_at("after:refund_begun").await;
    seller.until(&debt, "refunded").await;
    seller.paid_back_once(&debt).await;
    assert_eq!(seller.used_nonces().await, 1);
}

#[tokio::test]
async fn a_refund_whose_end_was_not_written_is_found_on_the_chain() {
    for point in ["before:refund_ended", "after:refund_ended"] {
        let (seller, debt) = crashed_at(point).await;
        seller.until(&debt, "refunded").await;
        seller.paid_back_once(&debt).await;
        assert_eq!(seller.used_nonces().await, 1, "{point}");
        // The row says the same: the host takes it for what it is.
        seller.refuses(&debt, 409, "its money went back already").await;
    }
}

/// The debt was ended without a line of the audit log, ten times of ten.
#[tokio::test]
async fn a_debt_that_ended_by_hand_is_in_the_audit_log_although_the_host_died_at_once() {
    for (point, state) in [("before:debt_ended", "owed"), ("after:debt_ended", "refunded")] {
        let mut seller = Seller::start(BY_COMMAND).await;
        let debt = seller.owe(0).await;
        let transaction = pay_by_hand(&seller, &debt.id).await;
        seller.host.restart(&[("COINSLOT_CRASH_AT", point)]).await;
        let asked = json!({ "payment": debt.id, "by": transaction, "senderIsMine": true });
        let url = format!("{}/api/v1/owed/settle", seller.host.admin());
        drop(reqwest::Client::new().post(url).json(&asked).send().await);
        seller.host.wait_for_exit().await;
        seller.host.restart(&[]).await;
        assert_eq!(seller.state(&debt), state, "{point}");
        let lines = seller.good(&["audit", "--kind", "refund"]).await;
        assert_eq!(lines.contains(&debt.id), state == "refunded", "{point}: {lines}");
    }
}

#[tokio::test]
async fn the_beginning_and_the_end_of_a_refund_are_in_the_audit_log_although_the_host_died_at_once() {
    let (seller, debt) = crashed_at("after:refund_begun").await;
    seller.until(&debt, "refunded").await;
    let lines = seller.good(&["audit", "--kind", "refund"]).await;
    assert!(lines.contains("0.01 USDC sent back to") && lines.contains("0.01 USDC paid back to"), "{lines}");
    let (seller, debt) = crashed_at("after:refund_ended").await;
    seller.until(&debt, "refunded").await;
    let lines = seller.good(&["audit", "--kind", "refund"]).await;
    assert_eq!(lines.matches("0.01 USDC paid back to").count(), 1, "{lines}");
}

/// The host dies while its transaction waits: the node still has it, or has forgotten it.
#[tokio::test]
async fn a_host_that_is_killed_while_a_refund_is_under_way_goes_on_with_the_same_bytes() {
    for is_forgotten in [false, true] {
        let mut seller = Seller::start(BY_COMMAND).await;
        let debt = seller.owe(0).await;
        seller.node.withhold();
        let (status, report) = seller.order(&debt).await;
        assert_eq!(status, 200, "{report}");
        seller.host.restart(&[]).await;
        assert_eq!(seller.present(&debt).await.0, 503, "it is on its way still");
        if is_forgotten {
            seller.node.forget()
        } else {
            seller.node.release().await
        }
        seller.until(&debt, "refunded").await;
        seller.paid_back_once(&debt).await;
        assert_eq!(seller.sent().await[0].transaction, report["transaction"], "the transaction that was announced");
    }
}
