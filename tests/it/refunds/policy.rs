//! Checks the rule by which a host pays back by itself, and the budget that holds it back.

use std::collections::BTreeSet;

use super::{CENT, Seller, WALLET_HAS};

#[tokio::test]
async fn debts_of_an_age_are_paid_back_one_after_another_and_once() {
    let mut seller = Seller::start("daily_budget = \"$20\"\npolicy = \"after 1s\"\n").await;
    seller.restart_in_a_hurry().await;
    let mut debts = Vec::new();
    for payer in 0..3 {
        debts.push(seller.owe(payer).await);
    }
    for debt in &debts {
        seller.until(debt, "refunded").await;
    }
    let sent = seller.sent().await;
    let payers: BTreeSet<_> = sent.iter().map(|one| one.to).collect();
    assert_eq!((sent.len(), payers), (3, debts.iter().map(|debt| debt.payer).collect()), "{sent:?}");
    assert_eq!((seller.wallet_has().await, seller.used_nonces().await), (WALLET_HAS - 3 * CENT, 3));
    assert_eq!(seller.alerts("refund_trouble").await, Vec::<String>::new());
    let audit = seller.good(&["audit", "--kind", "refund"]).await;
    assert_eq!((audit.lines().count(), audit.matches("\"who\":\"policy\"").count()), (6, 6), "{audit}");
}

#[tokio::test]
async fn what_exceeds_the_budget_waits_and_is_paid_when_the_budget_is_raised() {
    let mut seller = Seller::start("daily_budget = \"0.025 USDC\"\npolicy = \"after 1s\"\n").await;
    seller.restart_in_a_hurry().await;
    let mut debts = Vec::new();
    for payer in 0..3 {
        debts.push(seller.owe(payer).await);
    }
    let full = "0.01 USDC more would exceed the budget: 0.02 USDC of 0.025 USDC were paid back";
    seller.until_alert("refund_trouble", full).await;
    let waits: Vec<_> = debts.iter().filter(|debt| seller.state(debt) == "owed").collect();
    let [waits] = *waits else { panic!("{waits:?}") };
    // Neither a command nor a restart goes beyond it, and the payer may have the answer meanwhile.
    seller.refuses(waits, 409, full).await;
    seller.restart_in_a_hurry().await;
    seller.until_alert("refund_trouble", full).await;
    assert_eq!(seller.sent().await.len(), 2);

    // The budget is changed at a restart, and not before.
    seller.reconfigure("0.025 USDC", "$20");
    seller.host.signal("HUP");
    seller.host.wait_for_log("refunds.daily_budget has changed", 1).await;
    seller.refuses(waits, 409, full).await;
    seller.restart_in_a_hurry().await;
    seller.until(waits, "refunded").await;
    assert_eq!((seller.sent().await.len(), seller.wallet_has().await), (3, WALLET_HAS - 3 * CENT));
    let listed = seller.good(&["owed", "refunds", "--format", "table"]).await;
    assert!(listed.contains("of test money in the last 24 hours: 0.03 USD of 20 USD."), "{listed}");
    assert_eq!(seller.alerts("refund_trouble").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_payer_whom_the_token_refuses_holds_up_no_other_payer() {
    let mut seller = Seller::start("daily_budget = \"$20\"\npolicy = \"after 1s\"\n").await;
    let blocked = seller.chain.payer(0).address();
    seller.restart_in_a_hurry().await;
    seller.block(blocked).await;
    let (first, second) = (seller.owe(0).await, seller.owe(1).await);
    seller.until(&second, "refunded").await;
    seller.until_alert("refund_trouble", &format!("payment {}: the wallet", first.id)).await;
    seller.until_alert("refund_trouble", "the token refuses the transfer: ").await;
    assert_eq!(seller.state(&first), "owed");
    seller.unblock().await;
    seller.until(&first, "refunded").await;
    assert_eq!((seller.sent().await.len(), seller.used_nonces().await), (2, 2));
}

#[tokio::test]
async fn by_command_means_that_nothing_is_paid_back_by_itself() {
    let mut seller = Seller::start("daily_budget = \"$20\"\npolicy = \"by command\"\n").await;
    seller.restart_in_a_hurry().await;
    let (kept, ordered) = (seller.owe(0).await, seller.owe(1).await);
    // The chain is asked about the wallet in each round of its task: many rounds pass.
    seller.until_called("eth_getBalance", seller.node.calls("eth_getBalance") + 4).await;
    seller.pays_back(&ordered).await;
    assert_eq!((seller.state(&kept), seller.sent().await.len()), ("owed".to_owned(), 1));
}
