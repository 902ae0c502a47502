//! Nodes that stand behind a balancer and are some blocks behind each other, or that limit what they show. What they
//! lack is no evidence: none of it turns a payment that was made into one that was refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy::primitives::B256;
use coinslot_evm::Chain;
use coinslot_x402::Reason;
use serde_json::{Value, json};

use super::settle::{eventually, open, refusal, transaction};
use crate::local::Local;
use crate::testing::{PRICE, ProxyFault, SELLER, World, parse};
use crate::{Facilitator, OnChain, Settlement, SettlementProbe};

fn no_receipts(method: &str, result: &mut Value) {
    if method == "eth_getTransactionReceipt" {
        *result = Value::Null;
    }
}

fn no_logs(method: &str, result: &mut Value) {
    if method == "eth_getLogs" {
        *result = json!([]);
    }
}

/// Answers with a newest block that the next backend does not have.
fn unknown_blocks(method: &str, result: &mut Value) {
    if method == "eth_getBlockByNumber" {
        result["hash"] = json!(B256::repeat_byte(0x11));
    }
}

fn nothing(_: &str, _: &mut Value) {}

async fn probe(world: &World, confirmations: u64) -> SettlementProbe {
    let settings = world.config().chain;
    let chain = Chain::connect(&parse(&world.proxy.url), world.chain.chain_id(), settings).await;
    SettlementProbe::new(Arc::new(chain.expect("connected")), confirmations, world.seller)
}

/// One `null` for the receipt of a log that was found, or one range of logs that ended a block too early, was read as
/// "spent on something else": the payer had paid, and was asked for money again.
#[tokio::test]
async fn a_receipt_or_a_log_that_is_missing_is_no_evidence_against_a_payment() {
    let world = World::start().await;
    let (local, probe) = (world.local().await, probe(&world, 1).await);
    let authorization = world.authorization();
    let payment = world.payment_of(&authorization);
    let unused = probe.look_up(&payment, None).await;
    assert!(matches!(unused, OnChain::Unused { .. }), "{unused:?}");
    let hash = world.submit(&authorization).await.to_string();

    world.proxy.rewrite(no_receipts);
    for known in [None, Some(hash.as_str())] {
        let found = probe.look_up(&payment, known).await;
        assert!(matches!(found, OnChain::Unavailable(_)), "{found:?}");
    }
    let settlement = local.settle(&payment).await;
    assert!(matches!(settlement, Settlement::Unknown { .. }), "{settlement:?}");

    world.proxy.rewrite(no_logs);
    let found = probe.look_up(&payment, None).await;
    assert!(matches!(found, OnChain::Used { .. }), "a report, and no verdict: {found:?}");
    let settlement = local.settle(&payment).await;
    assert!(matches!(settlement, Settlement::Unknown { .. }), "{settlement:?}");

    world.proxy.rewrite(unknown_blocks);
    let found = probe.look_up(&payment, None).await;
    assert!(matches!(found, OnChain::Unavailable(_)), "the block is not there to be read: {found:?}");

    world.proxy.rewrite(nothing);
    let OnChain::Paid { settlement: settled, .. } = probe.look_up(&payment, None).await else {
        panic!("the node has all again")
    };
    assert_eq!(settled.transaction, hash);
    assert_eq!(transaction(local.settle(&payment).await), hash);
}

#[tokio::test]
async fn a_known_transaction_is_found_by_one_read() {
    let world = World::start().await;
    let probe = probe(&world, 1).await;
    let authorization = world.authorization();
    let payment = world.payment_of(&authorization);
    let hash = world.submit(&authorization).await.to_string();
    let calls = world.proxy.calls("*");
    assert!(matches!(probe.look_up(&payment, Some(&hash)).await, OnChain::Paid { .. }));
    assert_eq!(world.proxy.calls("*") - calls, 1);
    // A transaction that is not the payment's decides nothing.
    let other = world.submit(&world.authorization()).await.to_string();
    let OnChain::Paid { settlement: settled, .. } = probe.look_up(&payment, Some(&other)).await else {
        panic!("found by its log")
    };
    assert_eq!(settled.transaction, hash);
}

#[tokio::test]
async fn a_payment_counts_when_it_is_deep_enough_however_it_is_found() {
    let world = World::start().await;
    let mut config = world.config();
    config.sequencer.confirmations = 3;
    let local = Local::connect(config).await.expect("connected");
    let probe = local.probe();
    let authorization = world.authorization();
    let payment = world.payment_of(&authorization);
    let hash = world.submit(&authorization).await.to_string();
    for known in [None, Some(hash.as_str())] {
        assert_eq!(probe.look_up(&payment, known).await, OnChain::Shallow);
    }
    assert_eq!(open(local.settle(&payment).await), hash, "another account's transaction is held to the same depth");
    world.rpc("anvil_mine", json!(["0x2"])).await;
    for known in [None, Some(hash.as_str())] {
        assert!(matches!(probe.look_up(&payment, known).await, OnChain::Paid { .. }));
    }
    assert_eq!(transaction(local.settle(&payment).await), hash);
}

#[tokio::test]
async fn a_node_that_shows_few_blocks_at_once_is_asked_in_smaller_ranges() {
    let world = World::start().await;
    let (local, probe) = (world.local().await, probe(&world, 1).await);
    let authorization = world.authorization();
    let payment = world.payment_of(&authorization);
    let hash = world.submit(&authorization).await.to_string();
    world.rpc("anvil_mine", json!(["0x40"])).await;
    world.proxy.allow_log_range(10);
    let OnChain::Paid { settlement: settled, .. } = probe.look_up(&payment, None).await else { panic!("it is found") };
    assert_eq!(settled.transaction, hash);
    assert_eq!(transaction(local.settle(&payment).await), hash);
    // What the node allows is remembered.
    let asked = world.proxy.calls("eth_getLogs");
    assert!(matches!(probe.look_up(&payment, None).await, OnChain::Paid { .. }));
    assert!(world.proxy.calls("eth_getLogs") - asked <= 24, "{}", world.proxy.calls("eth_getLogs") - asked);
}

/// Our transaction was reverted because another account's was faster, and the search for that one found nothing: the
/// payment was refused.
#[tokio::test]
async fn a_payment_overtaken_by_a_transaction_that_the_node_does_not_show_is_unknown() {
    let world = World::start().await;
    let local = world.local().await;
    let authorization = world.authorization();
    let payment = world.payment_of(&authorization);
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Swallow)]);
    open(local.settle(&payment).await);
    let theirs = world.submit(&authorization).await.to_string();
    world.proxy.rewrite(no_logs);
    world.proxy.set(&[]);
    let wallet = world.gas.address();
    while world.sent(wallet).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for _ in 0..2 {
        let settlement = local.settle(&payment).await;
        assert!(matches!(settlement, Settlement::Unknown { transaction: Some(_), .. }), "{settlement:?}");
    }
    world.proxy.rewrite(nothing);
    assert_eq!(transaction(eventually(&local, &payment).await), theirs);
    assert_eq!(world.usdc(SELLER).await, PRICE);
}

/// An error of a gateway was taken for a proof that its node had not taken the transaction.
#[tokio::test]
async fn an_error_of_a_gateway_is_no_proof_that_nothing_was_sent() {
    let world = World::start().await;
    let local = world.local().await;
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Mangle)]);
    let payment = world.payment();
    transaction(local.settle(&payment).await);
    assert_eq!(world.usdc(SELLER).await, PRICE);

    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Deny)]);
    let payment = world.payment();
    open(local.settle(&payment).await);
    // It stays in doubt, also when a later call fails before it sends anything.
    world.proxy.set(&[("eth_getCode", ProxyFault::Request)]);
    open(local.settle(&payment).await);
    world.proxy.set(&[]);
    transaction(eventually(&local, &payment).await);
    assert_eq!(world.usdc(SELLER).await, 2 * PRICE);
}

/// A token without texts for its errors: that a nonce is used shows only in `authorizationState`, which one backend was
/// too far behind to know. The payment was refused.
#[tokio::test]
async fn a_revert_without_a_reason_is_held_to_the_chain() {
    static IS_BEHIND: AtomicBool = AtomicBool::new(true);
    fn without_reasons(method: &str, answer: &mut Value) {
        let is_yes = answer.as_str().is_some_and(|word| word.len() == 66 && word.ends_with("01"));
        if method == "eth_call" && is_yes && IS_BEHIND.swap(false, Ordering::SeqCst) {
            *answer = json!(B256::ZERO);
        }
        if method == "eth_estimateGas" && answer["message"].is_string() {
            answer["message"] = json!("execution reverted");
        }
    }
    let world = World::start().await;
    let local = world.local().await;
    let authorization = world.authorization();
    let theirs = world.submit(&authorization).await.to_string();
    world.proxy.rewrite(without_reasons);
    assert_eq!(transaction(local.settle(&world.payment_of(&authorization)).await), theirs);
    assert!(!IS_BEHIND.load(Ordering::SeqCst));
    assert_eq!(world.sent(world.gas.address()).await, 0);
}

#[tokio::test]
async fn a_node_that_takes_no_block_hashes_is_asked_by_number_and_checked() {
    let world = World::start().await;
    let probe = probe(&world, 1).await;
    world.proxy.take_numbers_only();
    let authorization = world.authorization();
    let payment = world.payment_of(&authorization);
    assert!(matches!(probe.look_up(&payment, None).await, OnChain::Unused { .. }));
    let hash = world.submit(&authorization).await.to_string();
    let OnChain::Paid { settlement: settled, .. } = probe.look_up(&payment, None).await else { panic!("it is paid") };
    assert_eq!(settled.transaction, hash);
}

/// A token that lets a used authorisation pass without a transfer: our transaction succeeds and pays nothing, because
/// another account's had paid before. The payment was refused for the missing transfer.
#[tokio::test]
async fn a_success_without_a_transfer_is_held_to_the_chain() {
    fn passes(method: &str, answer: &mut Value) {
        if method == "eth_getTransactionReceipt" && answer["status"] == "0x0" {
            answer["status"] = json!("0x1");
        }
    }
    fn passes_and_shows_no_logs(method: &str, answer: &mut Value) {
        passes(method, answer);
        no_logs(method, answer);
    }
    let world = World::start().await;
    let local = world.local().await;
    let authorization = world.authorization();
    let payment = world.payment_of(&authorization);
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Swallow)]);
    open(local.settle(&payment).await);
    let theirs = world.submit(&authorization).await.to_string();
    world.proxy.rewrite(passes_and_shows_no_logs);
    world.proxy.set(&[]);
    while world.sent(world.gas.address()).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let settlement = local.settle(&payment).await;
    assert!(matches!(settlement, Settlement::Unknown { transaction: Some(_), .. }), "{settlement:?}");
    world.proxy.rewrite(passes);
    assert_eq!(transaction(local.settle(&payment).await), theirs);
    assert_eq!(world.usdc(SELLER).await, PRICE);
}

/// A cancelled authorisation was "used, and nobody knows what for" until its end, and its payer was told to wait.
#[tokio::test]
async fn a_cancelled_authorization_is_refused_as_soon_as_its_block_is_deep_enough() {
    let world = World::start().await;
    let (local, deep) = (world.local().await, probe(&world, 3).await);
    let authorization = world.authorization();
    let payment = world.payment_of(&authorization);
    let hash = world.cancel(&authorization).await;
    let (reason, _) = refusal(local.settle(&payment).await);
    assert_eq!(reason, Reason::NonceAlreadyUsed.as_str());
    for hint in [None, Some(hash.to_string())] {
        assert_eq!(probe(&world, 1).await.look_up(&payment, hint.as_deref()).await, OnChain::Canceled);
    }
    assert!(matches!(deep.look_up(&payment, None).await, OnChain::Used { .. }), "not deep enough");
    for _ in 0..2 {
        world.rpc("evm_mine", json!([])).await;
    }
    assert_eq!(deep.look_up(&payment, None).await, OnChain::Canceled);
    assert_eq!(world.usdc(SELLER).await, 0);
}
