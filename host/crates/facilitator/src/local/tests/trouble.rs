//! Settles while the node forgets transactions, gas becomes dearer, blocks vanish, or the gas wallet is empty.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::U256;
use coinslot_evm::{Key, Unready};
use serde_json::json;

use super::settle::{all_at_once, eventually, open, transaction};
use crate::local::Local;
use crate::testing::{PRICE, ProxyFault, SELLER, World};
use crate::{Facilitator, Settlement};

async fn fee_of(world: &World, transaction: &str) -> u64 {
    let sent = world.rpc("eth_getTransactionByHash", json!([transaction])).await;
    let fee = sent["maxFeePerGas"].as_str().expect("a number");
    u64::from_str_radix(&fee[2..], 16).expect("hex")
}

async fn mine(world: &World) {
    world.rpc("evm_mine", json!([])).await;
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_by_one_that_pays_more() {
    let world = World::start().await;
    let mut config = world.config();
    config.sequencer.stuck_after = Duration::from_millis(200);
    let local = Local::connect(config).await.expect("connected");
    let usual = fee_of(&world, &transaction(eventually(&local, &world.payment()).await)).await;

    world.rpc("evm_setAutomine", json!([false])).await;
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Swallow)]);
    let payment = world.payment();
    let first = open(local.settle(&payment).await);
    mine(&world).await;
    let second = open(local.settle(&payment).await);
    assert_ne!(first, second, "blocks come, and it is in none of them");
    world.proxy.set(&[]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    mine(&world).await;
    let made = transaction(eventually(&local, &payment).await);
    assert_ne!(made, first);
    assert!(fee_of(&world, &made).await >= usual + usual / 8);
    assert_eq!(world.usdc(SELLER).await, 2 * PRICE);
    assert_eq!(world.sent(world.gas.address()).await, 2);
}

#[tokio::test]
async fn the_older_of_two_transactions_for_a_nonce_counts_too() {
    let world = World::start().await;
    let mut config = world.config();
    config.sequencer.stuck_after = Duration::from_millis(200);
    config.sequencer.resend_after = Duration::from_secs(60);
    let local = Local::connect(config).await.expect("connected");
    world.rpc("evm_setAutomine", json!([false])).await;
    let snapshot = world.rpc("evm_snapshot", json!([])).await;
    let payment = world.payment();
    let first = open(local.settle(&payment).await);
    let raw = world.proxy.last("eth_sendRawTransaction");
    // The chain goes back, the pool is empty, and only the older one comes back.
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Swallow)]);
    world.rpc("evm_revert", json!([snapshot])).await;
    mine(&world).await;
    let second = open(local.settle(&payment).await);
    assert_ne!(first, second);
    world.rpc("eth_sendRawTransaction", json!([raw])).await;
    mine(&world).await;
    assert_eq!(transaction(eventually(&local, &payment).await), first);
    assert_eq!(world.usdc(SELLER).await, PRICE);
}

#[tokio::test]
async fn what_the_pool_forgot_is_sent_again_and_leaves_no_gap() {
    let world = World::start().await;
    let mut config = world.config();
    config.sequencer.max_batch = 4;
    let local = Arc::new(Local::connect(config).await.expect("connected"));
    world.rpc("evm_setAutomine", json!([false])).await;
    let snapshot = world.rpc("evm_snapshot", json!([])).await;
    let payments: Vec<_> = (0..12).map(|_| world.payment()).collect();
    for settlement in all_at_once(&local, payments.clone()).await {
        open(settlement);
    }
    // Going back empties the pool.
    world.rpc("evm_revert", json!([snapshot])).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    mine(&world).await;
    for payment in &payments {
        transaction(eventually(&local, payment).await);
    }
    assert_eq!(world.usdc(SELLER).await, 12 * PRICE);
    world.rpc("evm_setAutomine", json!([true])).await;
    transaction(eventually(&local, &world.payment()).await);
}

#[tokio::test]
async fn a_settlement_ends_when_it_is_deep_enough_and_survives_a_lost_block() {
    let world = World::start().await;
    let mut config = world.config();
    config.sequencer.confirmations = 3;
    let local = Local::connect(config).await.expect("connected");
    world.rpc("evm_setAutomine", json!([false])).await;
    let snapshot = world.rpc("evm_snapshot", json!([])).await;
    let payment = world.payment();
    open(local.settle(&payment).await);
    mine(&world).await;
    mine(&world).await;
    assert_eq!(world.usdc(SELLER).await, PRICE);
    let hash = open(local.settle(&payment).await);
    // The two blocks vanish, and the transaction with them; others come.
    world.rpc("evm_revert", json!([snapshot])).await;
    assert_eq!(world.usdc(SELLER).await, 0);
    mine(&world).await;
    assert_eq!(open(local.settle(&payment).await), hash);
    for _ in 0..3 {
        mine(&world).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(transaction(eventually(&local, &payment).await), hash);
    assert_eq!(world.usdc(SELLER).await, PRICE);
    assert_eq!(world.sent(world.gas.address()).await, 1);
}

#[tokio::test]
async fn the_gas_budget_of_a_day_is_not_exceeded() {
    let world = World::start().await;
    let mut config = world.config();
    let wei = 2_000_000_000_000_u64;
    config.gas.budget_per_day = Some(U256::from(wei));
    let local = Local::connect(config).await.expect("connected");
    local.ready().expect("a fresh budget");
    let before = world.rpc("eth_getBalance", json!([world.gas.address(), "latest"])).await;
    let mut settled = 0;
    let refused = loop {
        match local.settle(&world.payment()).await {
            Settlement::Settled { .. } => settled += 1,
            other => break other,
        }
        assert!(settled < 50, "no budget at all");
    };
    assert!(matches!(&refused, Settlement::NotSent { message } if message.contains("budget")));
    assert!(settled > 0);
    let unready = local.ready();
    assert!(matches!(unready, Err(Unready::BudgetSpent { .. })), "{unready:?}");
    let after = world.rpc("eth_getBalance", json!([world.gas.address(), "latest"])).await;
    let wei_of = |value: &serde_json::Value| value.as_str().expect("a number").parse::<U256>().expect("hex");
    assert!(wei_of(&before) - wei_of(&after) <= U256::from(wei));
    assert_eq!(world.sent(world.gas.address()).await, settled);
}

#[tokio::test]
async fn a_wallet_that_runs_low_is_known_before_money_is_taken() {
    let world = World::start().await;
    let mut config = world.config();
    config.sequencer.balance_interval = Duration::from_millis(50);
    let local = Local::connect(config).await.expect("connected");
    local.ready().expect("an ether lasts long");
    // Some tens of settlements' worth.
    world.rpc("anvil_setBalance", json!([world.gas.address(), "0x9184e72a000"])).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let unready = local.ready();
    assert!(matches!(unready, Err(Unready::LowBalance { address, .. }) if address == world.gas.address()));
    // What was verified before still goes through.
    transaction(eventually(&local, &world.payment()).await);
    world.rpc("anvil_setBalance", json!([world.gas.address(), "0xde0b6b3a7640000"])).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    local.ready().expect("filled up");

    let mut config = world.config();
    config.keys = vec![Key::random()];
    let local = Local::connect(config).await.expect("connected");
    assert!(matches!(local.ready(), Err(Unready::LowBalance { balance: U256::ZERO, .. })));
}

#[tokio::test]
async fn a_refused_transaction_among_many_leaves_no_gap() {
    let world = World::start().await;
    let local = Arc::new(world.local().await);
    let payments: Vec<_> = (0..30).map(|_| world.payment()).collect();
    // Some replies are lost, some transactions never arrive.
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Reply)]);
    let (one, two) = payments.split_at(15);
    let first = tokio::spawn({
        let (local, payments) = (local.clone(), one.to_vec());
        async move { all_at_once(&local, payments).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Request)]);
    let second = tokio::spawn({
        let (local, payments) = (local.clone(), two.to_vec());
        async move { all_at_once(&local, payments).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.proxy.set(&[]);
    first.await.expect("no panic");
    second.await.expect("no panic");
    for payment in &payments {
        transaction(eventually(&local, payment).await);
    }
    assert_eq!(world.usdc(SELLER).await, 30 * PRICE);
    let wallet = world.gas.address();
    let pending = world.rpc("eth_getTransactionCount", json!([wallet, "pending"])).await;
    let latest = world.rpc("eth_getTransactionCount", json!([wallet, "latest"])).await;
    assert_eq!(pending, latest);
}
