//! Keeps the transaction of a refund out of a block, takes it out of one again, and uses its nonce for something else.

use std::sync::Arc;

use alloy::primitives::{Address, U256, address};
use coinslot_devnet::{CHAIN_ID, USDC};
use coinslot_evm::{Chain, ChainSettings, Key, TokenTransfer, TokenWallet};
use coinslot_tests::{FaultyNode, NodeFault};
use serde_json::json;

use super::{BY_COMMAND, CENT, Debt, Seller};

const STRANGER: Address = address!("0x000000000000000000000000000000000000cafe");

impl Seller {
    /// The wallet of refunds, in the hands of another program that does not ask the host.
    async fn other_use_of_the_key(&self) -> (FaultyNode, TokenWallet) {
        let node = self.chain.node().await;
        let chain = Chain::connect(&node.url().parse().expect("a URL"), CHAIN_ID, ChainSettings::default()).await;
        let key = Key::from_file(self.key.path()).expect("a key");
        (node, TokenWallet::new(Arc::new(chain.expect("connected")), key, 50_000_000_000, 1))
    }

    /// The hashes that the ledger has for a debt, oldest first.
    fn signed(&self, debt: &Debt) -> Vec<String> {
        let sql = format!(
            "SELECT group_concat(hash, ' ') FROM (SELECT hash FROM refund_tx JOIN refund ON refund.id = refund JOIN claim ON \
             claim.id = refund.claim WHERE payment_id = '{}' ORDER BY refund_tx.id)",
            debt.id
        );
        self.query(&sql).split(' ').map(ToOwned::to_owned).collect()
    }
}

/// Fees that were enough when the transaction was signed, and are too low now.
#[tokio::test]
async fn a_transaction_with_low_fees_is_replaced_under_its_nonce_and_pays_once() {
    // The base fee of the chain is 0.005 gwei.
    let mut seller = Seller::start("daily_budget = \"$20\"\nmax_gas_price = \"0.0055 gwei\"\n").await;
    let debt = seller.owe(0).await;
    seller.ask_chain("evm_setAutomine", json!([false])).await;
    let (status, report) = seller.order(&debt).await;
    assert_eq!(status, 200, "{report}");
    // The market asks for more than the limit: the operator hears it, and raises the limit.
    seller.restart_in_a_hurry().await;
    seller.until_alert("refund_trouble", "a unit of gas costs").await;
    seller.reconfigure("0.0055 gwei", "50 gwei");
    seller.restart_in_a_hurry().await;
    seller.waits_for("a replacement", || seller.signed(&debt).len() == 2).await;
    let hashes = seller.signed(&debt);
    seller.host.wait_for_log("is sent with higher fees", 1).await;
    // The node has the replacement alone.
    let has = async |hash: &str| !seller.ask_chain("eth_getTransactionByHash", json!([hash])).await.is_null();
    while !has(&hashes[1]).await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!has(&hashes[0]).await, "it was replaced");
    seller.ask_chain("anvil_mine", json!([1])).await;
    seller.until(&debt, "refunded").await;
    seller.paid_back_once(&debt).await;
    assert_eq!((seller.sent().await[0].transaction.as_str(), seller.used_nonces().await), (&*hashes[1], 1));
    let refunded = seller.query("SELECT refund_tx FROM payment");
    assert_eq!(refunded, hashes[1], "the books name the one that is in the chain");
}

/// Killed before and after the replacement is durable: another replacement, or this one, under the same nonce.
#[tokio::test]
async fn a_host_that_dies_while_it_replaces_a_transaction_pays_once() {
    for point in ["before:refund_stored", "after:refund_stored"] {
        let mut seller = Seller::start("daily_budget = \"$20\"\nmax_gas_price = \"0.0055 gwei\"\n").await;
        let debt = seller.owe(0).await;
        seller.ask_chain("evm_setAutomine", json!([false])).await;
        assert_eq!(seller.order(&debt).await.0, 200);
        seller.reconfigure("0.0055 gwei", "50 gwei");
        seller.host.restart(&[("COINSLOT_HURRY", "20"), ("COINSLOT_CRASH_AT", point)]).await;
        seller.host.wait_for_exit().await;
        assert_eq!(seller.signed(&debt).len(), if point.starts_with("before") { 1 } else { 2 }, "{point}");
        seller.restart_in_a_hurry().await;
        seller.waits_for("a replacement", || seller.signed(&debt).len() == 2).await;
        seller.until_called("eth_sendRawTransaction", seller.node.calls("eth_sendRawTransaction") + 2).await;
        seller.ask_chain("anvil_mine", json!([1])).await;
        seller.until(&debt, "refunded").await;
        seller.paid_back_once(&debt).await;
        assert_eq!(seller.used_nonces().await, 1, "{point}");
    }
}

/// The block of the transfer is replaced by one without it, before it is deep enough to be believed.
#[tokio::test]
async fn a_refund_that_a_reorganisation_takes_back_is_made_by_the_same_bytes() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    seller.reconfigure("poll_interval = \"50ms\"\n", "poll_interval = \"50ms\"\nconfirmations = 3\n");
    seller.restart_in_a_hurry().await;
    let before = seller.ask_chain("evm_snapshot", json!([])).await;
    let (status, report) = seller.order(&debt).await;
    assert_eq!(status, 200, "{report}");
    // The host sees it in its block, and waits.
    seller.until_called("eth_getTransactionReceipt", seller.node.calls("eth_getTransactionReceipt") + 2).await;
    assert_eq!(seller.state(&debt), "refunding");
    assert_eq!(seller.ask_chain("evm_revert", json!([before])).await, true);
    seller.ask_chain("anvil_mine", json!([1])).await;
    assert_eq!(seller.sent().await, vec![]);
    while seller.sent().await.is_empty() {
        assert_eq!(seller.state(&debt), "refunding");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    seller.ask_chain("anvil_mine", json!([2])).await;
    seller.until(&debt, "refunded").await;
    seller.paid_back_once(&debt).await;
    assert_eq!(
        (report["transaction"].as_str(), seller.used_nonces().await),
        (Some(&*seller.sent().await[0].transaction), 1)
    );
}

/// Another program used the key, and its transaction has the nonce of the refund: the refund can never be made by it.
#[tokio::test]
async fn a_foreign_transaction_under_the_nonce_leaves_the_answer_owed() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    seller.restart_in_a_hurry().await;
    seller.node.always("eth_sendRawTransaction", NodeFault::Refuse("the pool is closed"));
    assert_eq!(seller.order(&debt).await.0, 200);
    let (_node, other) = seller.other_use_of_the_key().await;
    let transfer = TokenTransfer { token: USDC, to: STRANGER, amount: U256::from(7) };
    let foreign = other.sign(&transfer, 0).await.expect("signed");
    other.broadcast(&foreign.raw).await.expect("sent");
    seller.node.heal();
    seller.until_alert("refund_trouble", &format!("transaction {} has used the nonce", foreign.hash)).await;
    seller.until(&debt, "owed").await;
    let reason = seller.query("SELECT reason FROM payment");
    assert!(
        reason.contains(&format!("the refund failed: transaction {} has used the nonce", foreign.hash)),
        "{reason}"
    );

    seller.pays_back(&debt).await;
    let to_payer: Vec<_> = seller.sent().await.into_iter().filter(|one| one.to == debt.payer).collect();
    assert!(matches!(&*to_payer, [one] if one.amount == U256::from(CENT)), "{to_payer:?}");
    assert_eq!(seller.used_nonces().await, 2);
}

/// A transaction of the key waits that the host does not know: a new nonce would be one after it.
#[tokio::test]
async fn nothing_is_begun_while_a_foreign_transaction_of_the_key_waits() {
    let seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    seller.ask_chain("evm_setAutomine", json!([false])).await;
    let (_node, other) = seller.other_use_of_the_key().await;
    let transfer = TokenTransfer { token: USDC, to: STRANGER, amount: U256::from(7) };
    let foreign = other.sign(&transfer, 0).await.expect("signed");
    other.broadcast(&foreign.raw).await.expect("sent");
    seller.refuses(&debt, 503, "one waits, and no other is begun before it is in a block").await;
    seller.ask_chain("evm_setAutomine", json!([true])).await;
    seller.ask_chain("anvil_mine", json!([1])).await;
    seller.pays_back(&debt).await;
}
