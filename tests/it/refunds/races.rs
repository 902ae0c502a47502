//! Lets commands, the rule, and the payer meet over one debt: exactly one of answer and money comes of it.

use std::time::Duration;

use coinslot_tests::ServeHost;
use serde_json::Value;

use super::{BY_COMMAND, CENT, Debt, PAYER_HAS, Seller};

/// Presents the payment until there is an end. Returns its status: 200 with the answer, or 402.
async fn fetched(seller: &Seller, debt: &Debt) -> u16 {
    loop {
        let (status, body) = seller.present(debt).await;
        match status {
            200 | 402 => return status,
            // Another request has the answer's row, or the money is on its way.
            409 | 503 => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => panic!("{status} {body}\n{}", seller.host.log()),
        }
    }
}

/// Lets the circuit of the plugin forget its failures.
async fn sells(host: &ServeHost, seller: &Seller) {
    let sold = host.buy(seller.chain.payer(3), "/upfront", super::PATIENCE).await;
    assert!(sold.answer.is_some(), "{sold:?}");
}

#[tokio::test]
async fn of_two_orders_at_once_one_is_refused() {
    let seller = Seller::start(BY_COMMAND).await;
    for round in 0..6 {
        let debt = seller.owe(round % 3).await;
        let before = seller.sent().await.len();
        let (one, other) = tokio::join!(seller.order(&debt), seller.order(&debt));
        let mut statuses = [one.0, other.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}\n{}", one.1, other.1, seller.host.log());
        seller.until(&debt, "refunded").await;
        assert_eq!(seller.sent().await.len(), before + 1);
        sells(&seller.host, &seller).await;
    }
}

#[tokio::test]
async fn the_rule_and_an_order_pay_a_debt_back_once() {
    let mut seller = Seller::start("daily_budget = \"$20\"\npolicy = \"after 1s\"\n").await;
    seller.restart_in_a_hurry().await;
    let mut by = std::collections::BTreeSet::new();
    for round in 0..12 {
        let debt = seller.owe(round % 3).await;
        let before = seller.sent().await.len();
        // The debt is due between one second and two seconds after its payment.
        tokio::time::sleep(Duration::from_millis(900 + 120 * round as u64)).await;
        let (status, report) = seller.order(&debt).await;
        assert!(status == 200 || status == 409, "{report}");
        seller.until(&debt, "refunded").await;
        assert_eq!(seller.sent().await.len(), before + 1);
        by.insert(seller.query(&format!(
            "SELECT ordered_by FROM refund JOIN claim ON claim.id = refund.claim WHERE payment_id = '{}'",
            debt.id
        )));
        sells(&seller.host, &seller).await;
    }
    assert_eq!(by.len(), 2, "both were the first once: {by:?}");
}

#[tokio::test]
async fn a_payer_who_fetches_while_the_debt_is_paid_back_gets_the_answer_or_the_money() {
    let seller = Seller::start(BY_COMMAND).await;
    let (mut answers, mut refunds) = (0, 0);
    for round in 0..36_u64 {
        let debt = seller.owe(usize::try_from(round % 3).expect("a number")).await;
        let (had, sent) = (seller.chain.balance(debt.payer).await, seller.sent().await.len());
        let fetch = async {
            // Each round meets the order at another step of its work.
            tokio::time::sleep(Duration::from_millis(round * 2)).await;
            fetched(&seller, &debt).await
        };
        let ((status, report), answered) = tokio::join!(seller.order(&debt), fetch);
        match (status, answered) {
            (409, 200) => {
                answers += 1;
                let why: &Value = &report["message"];
                let told = ["its answer was given", "its plugin is at work"];
                assert!(told.iter().any(|text| why.as_str().is_some_and(|why| why.contains(text))), "{report}");
                assert_eq!((seller.chain.balance(debt.payer).await, seller.sent().await.len()), (had, sent));
            }
            (200, 402) => {
                refunds += 1;
                seller.until(&debt, "refunded").await;
                assert_eq!((seller.chain.balance(debt.payer).await, seller.sent().await.len()), (had + CENT, sent + 1));
            }
            other => panic!("{other:?}: {report}\n{}", seller.host.log()),
        }
        sells(&seller.host, &seller).await;
    }
    assert!(answers > 0 && refunds > 0, "{answers} answers and {refunds} refunds are no race");
    assert_eq!(seller.used_nonces().await, refunds);
    let of_payers = 3 * PAYER_HAS - answers * CENT;
    let mut have = 0;
    for payer in 0..3 {
        have += seller.chain.balance(seller.chain.payer(payer).address()).await;
    }
    assert_eq!(have, of_payers);
}
