//! Restores a backup that is older than a refund: the ledger does not know it, and the chain does.

use super::{BY_COMMAND, Debt, Seller};

/// Backs the host up while an answer is owed, pays it back, and goes on with the backup.
async fn restored(refunds: &str) -> (Seller, Debt, String) {
    let mut seller = Seller::start(refunds).await;
    let debt = seller.owe(0).await;
    let at_the_host = |arguments: &[&str]| seller.local(arguments.iter().map(|text| (*text).to_owned()).collect());
    let (code, out, error) = at_the_host(&["backup", "before.tar"]).await;
    assert_eq!(code, Some(0), "{out}{error}");
    let transaction = seller.pays_back(&debt).await;
    seller.host.signal("TERM");
    seller.host.wait_for_exit().await;
    std::fs::remove_dir_all(seller.host.path(".coinslot")).expect("a folder");
    let restore = ["restore", "before.tar"].map(ToOwned::to_owned).to_vec();
    let (code, out, error) = seller.local(restore).await;
    assert_eq!(code, Some(0), "{out}{error}");
    (seller, debt, transaction)
}

#[tokio::test]
async fn a_refund_that_a_restored_ledger_does_not_know_is_not_made_again_by_command() {
    let (mut seller, debt, transaction) = restored(BY_COMMAND).await;
    seller.host.restart(&[]).await;
    assert_eq!(seller.state(&debt), "owed");
    seller
        .refuses(&debt, 409, &format!("by transaction {transaction}, which the ledger does not count as a refund"))
        .await;
    seller.paid_back_once(&debt).await;
    // Another debt is paid back as ever.
    let other = seller.owe(1).await;
    seller.pays_back(&other).await;
    assert_eq!(seller.used_nonces().await, 2);
    // Its nonce is the next that the ledger knows, and the earlier transfer is found all the same.
    let before = format!("by transaction {transaction}, which the ledger does not count as a refund");
    seller.refuses(&debt, 409, &before).await;
    assert_eq!(seller.used_nonces().await, 2);
}

#[tokio::test]
async fn a_refund_that_a_restored_ledger_does_not_know_is_not_made_again_by_the_rule() {
    let (mut seller, debt, transaction) = restored(BY_COMMAND).await;
    seller.reconfigure(BY_COMMAND, &format!("{BY_COMMAND}policy = \"after 1s\"\n"));
    seller.restart_in_a_hurry().await;
    seller.until_alert("refund_trouble", &transaction).await;
    seller.paid_back_once(&debt).await;
    assert_eq!(seller.used_nonces().await, 1);
}
