//! Settlement against the embedded chain, with replies lost on purpose.

use std::collections::HashSet;
use std::sync::Arc;

use alloy::primitives::{Address, U256};
use coinslot_x402::Reason;
use coinslot_x402::facilitator::PaymentRequest;
use serde_json::json;

use super::changed;
use crate::local::Local;
use crate::testing::{PRICE, ProxyFault, SELLER, World, parse};
use crate::{Facilitator, Settlement, Verification};

pub(super) fn transaction(settlement: Settlement) -> String {
    match settlement {
        Settlement::Settled { settlement: settled, .. } => {
            assert!(settled.success);
            settled.transaction
        }
        other => panic!("not settled: {other:?}"),
    }
}

pub(super) fn refusal(settlement: Settlement) -> (String, String) {
    match settlement {
        Settlement::Refused { reason, transaction, .. } => (reason, transaction),
        other => panic!("not refused: {other:?}"),
    }
}

pub(super) fn open(settlement: Settlement) -> String {
    match settlement {
        Settlement::Unknown { transaction: Some(hash), .. } => hash,
        other => panic!("not open with a transaction: {other:?}"),
    }
}

pub(super) async fn all_at_once(local: &Arc<Local>, payments: Vec<PaymentRequest>) -> Vec<Settlement> {
    let tasks: Vec<_> = payments
        .into_iter()
        .map(|payment| {
            let local = local.clone();
            tokio::spawn(async move { local.settle(&payment).await })
        })
        .collect();
    let mut settlements = Vec::new();
    for task in tasks {
        settlements.push(task.await.expect("no panic"));
    }
    settlements
}

/// Asks again as long as the end is not known.
pub(super) async fn eventually(local: &Local, payment: &PaymentRequest) -> Settlement {
    for _ in 0..60 {
        match local.settle(payment).await {
            Settlement::Unknown { .. } => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            known => return known,
        }
    }
    panic!("still not known")
}

#[tokio::test]
async fn a_settlement_moves_exactly_the_price_and_repeats_give_its_transaction() {
    let world = World::start().await;
    let local = world.local().await;
    let before = world.usdc(world.payer.address()).await;
    let authorization = world.authorization();
    let v1 = world.payment_v1(&world.authorization());
    for (payment, network) in [(world.payment_of(&authorization), "eip155:84532"), (v1, "base-sepolia")] {
        let Settlement::Settled { settlement: settled, .. } = local.settle(&payment).await else {
            panic!("not settled");
        };
        assert_eq!(settled.network, network);
        assert_eq!(settled.payer, Some(world.payer.address().to_string()));
        for _ in 0..3 {
            assert_eq!(transaction(local.settle(&payment).await), settled.transaction);
        }
    }
    assert_eq!(world.usdc(SELLER).await, 2 * PRICE);
    assert_eq!(world.usdc(world.payer.address()).await, before - 2 * PRICE);
    assert_eq!(world.sent(world.gas.address()).await, 2);

    // A process that remembers nothing finds it on the chain.
    let restarted = world.local().await;
    let payment = world.payment_of(&authorization);
    let hash = transaction(local.settle(&payment).await);
    assert_eq!(transaction(restarted.settle(&payment).await), hash);
    assert_eq!(world.usdc(SELLER).await, 2 * PRICE);
}

#[tokio::test]
async fn a_repeat_with_other_terms_or_another_signature_is_judged_on_its_own() {
    let world = World::start().await;
    let local = world.local().await;
    let payment = world.payment();
    transaction(local.settle(&payment).await);
    let other_terms = changed(&payment, |json| {
        json["paymentRequirements"]["payTo"] = json!(Address::repeat_byte(8));
    });
    let (reason, _) = refusal(local.settle(&other_terms).await);
    assert_eq!(reason, Reason::RecipientMismatch.as_str());
    let cheaper = changed(&payment, |json| {
        json["paymentRequirements"]["amount"] = json!("9999");
    });
    let (reason, _) = refusal(local.settle(&cheaper).await);
    assert_eq!(reason, Reason::ValueMismatch.as_str());
    let forged = changed(&payment, |json| {
        json["paymentPayload"]["payload"]["signature"] = json!(format!("0x{}", "11".repeat(65)));
    });
    let (reason, _) = refusal(local.settle(&forged).await);
    assert_eq!(reason, Reason::InvalidSignature.as_str());
    assert_eq!(world.usdc(SELLER).await, PRICE);
}

#[tokio::test]
async fn many_at_once_have_their_own_nonces_and_failures_leave_no_gap() {
    let world = World::start().await;
    let local = Arc::new(Local::connect(world.config_for_many()).await.expect("connected"));
    let mut payments: Vec<_> = (0..64).map(|_| world.payment()).collect();
    // Beyond the payer's balance: passes every check here and reverts in the estimate.
    for _ in 0..16 {
        let mut authorization = world.authorization();
        authorization.value = U256::from(4_900_000);
        let rich = world.payment_of(&authorization);
        payments.push(changed(&rich, |json| {
            json["paymentRequirements"]["amount"] = json!("4900000");
        }));
    }
    // The balance is 5,000,000: sixty-four prices and one large payment do not both fit.
    let settlements = all_at_once(&local, payments).await;
    let mut hashes = HashSet::new();
    let mut moved = 0;
    for (index, settlement) in settlements.into_iter().enumerate() {
        match settlement {
            Settlement::Settled { settlement: settled, .. } => {
                hashes.insert(settled.transaction);
                moved += if index < 64 { PRICE } else { 4_900_000 };
            }
            Settlement::Refused { reason, .. } => assert!(
                [Reason::InsufficientBalance.as_str(), Reason::TransactionFailed.as_str()].contains(&reason.as_str()),
                "{reason}"
            ),
            other => panic!("{other:?}"),
        }
    }
    assert!(!hashes.is_empty());
    assert_eq!(world.usdc(SELLER).await, moved);
    // No gap: nothing waits for a nonce that no transaction has, and the next one goes through at once.
    let wallet = world.gas.address();
    let pending = world.rpc("eth_getTransactionCount", json!([wallet, "pending"])).await;
    let latest = world.rpc("eth_getTransactionCount", json!([wallet, "latest"])).await;
    assert_eq!(pending, latest);
    if world.usdc(world.payer.address()).await >= PRICE {
        transaction(local.settle(&world.payment()).await);
    }
}

#[tokio::test]
async fn sixty_four_at_once_all_settle() {
    let world = World::start().await;
    let local = Arc::new(Local::connect(world.config_for_many()).await.expect("connected"));
    let payments = (0..64).map(|_| world.payment()).collect();
    let hashes: HashSet<_> = all_at_once(&local, payments).await.into_iter().map(transaction).collect();
    assert_eq!(world.usdc(SELLER).await, 64 * PRICE);
    assert_eq!(world.sent(world.gas.address()).await, hashes.len() as u64);
}

#[tokio::test]
async fn one_payment_fifty_times_at_once_is_one_transaction() {
    let world = World::start().await;
    let local = Arc::new(Local::connect(world.config_for_many()).await.expect("connected"));
    let payments = vec![world.payment(); 50];
    let hashes: HashSet<_> = all_at_once(&local, payments).await.into_iter().map(transaction).collect();
    assert_eq!(hashes.len(), 1);
    assert_eq!(world.usdc(SELLER).await, PRICE);
    assert_eq!(world.sent(world.gas.address()).await, 1);
}

#[tokio::test]
async fn a_lost_reply_to_the_transaction_loses_no_payment() {
    let world = World::start().await;
    let local = world.local().await;
    // The node has the transaction, as its receipt says.
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Reply)]);
    transaction(eventually(&local, &world.payment()).await);
    assert_eq!(world.usdc(SELLER).await, PRICE);

    // The node has the transaction and cannot be asked: the end is unknown until it can.
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Reply), ("eth_getTransactionReceipt", ProxyFault::Reply)]);
    let payment = world.payment();
    let hash = open(local.settle(&payment).await);
    world.proxy.set(&[]);
    assert_eq!(transaction(eventually(&local, &payment).await), hash);

    // The transaction never arrived: it is sent again, even after others.
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Request)]);
    let payment = world.payment();
    let hash = open(local.settle(&payment).await);
    world.proxy.set(&[]);
    assert_eq!(transaction(eventually(&local, &payment).await), hash);
    assert_eq!(world.usdc(SELLER).await, 3 * PRICE);
    assert_eq!(world.sent(world.gas.address()).await, 3);
}

#[tokio::test]
async fn a_transaction_that_lost_its_nonce_to_another_is_made_anew() {
    let world = World::start().await;
    let local = world.local().await;
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Swallow)]);
    let payment = world.payment();
    let lost = open(local.settle(&payment).await);
    // Another process uses the key, against the rules.
    let mut config = world.config();
    config.rpc = parse(&world.url);
    let other = Local::connect(config).await.expect("connected");
    transaction(eventually(&other, &world.payment()).await);
    world.proxy.set(&[]);
    assert_ne!(transaction(eventually(&local, &payment).await), lost);
    assert_eq!(world.usdc(SELLER).await, 2 * PRICE);
    assert_eq!(world.sent(world.gas.address()).await, 2);
}

#[tokio::test]
async fn no_receipt_in_time_is_open_and_the_same_transaction_is_waited_for() {
    let world = World::start().await;
    let local = world.local().await;
    world.rpc("evm_setAutomine", json!([false])).await;
    let payment = world.payment();
    let hash = open(local.settle(&payment).await);
    assert_eq!(open(local.settle(&payment).await), hash);
    assert_eq!(world.usdc(SELLER).await, 0);
    world.rpc("evm_mine", json!([])).await;
    assert_eq!(transaction(local.settle(&payment).await), hash);
    assert_eq!(world.usdc(SELLER).await, PRICE);
    assert_eq!(world.sent(world.gas.address()).await, 1);
}

#[tokio::test]
async fn a_dropped_settlement_is_resumed_by_the_next_call() {
    let world = World::start().await;
    let local = world.local().await;
    world.rpc("evm_setAutomine", json!([false])).await;
    let payment = world.payment();
    let half = std::time::Duration::from_millis(300);
    let dropped = tokio::time::timeout(half, local.settle(&payment)).await;
    assert!(dropped.is_err());
    world.rpc("evm_setAutomine", json!([true])).await;
    world.rpc("evm_mine", json!([])).await;
    transaction(local.settle(&payment).await);
    assert_eq!(world.usdc(SELLER).await, PRICE);
    assert_eq!(world.sent(world.gas.address()).await, 1);
}

#[tokio::test]
async fn a_payment_that_another_account_submitted_is_settled_by_its_transaction() {
    let world = World::start().await;
    let local = world.local().await;
    let authorization = world.authorization();
    let theirs = world.submit(&authorization).await;
    let payment = world.payment_of(&authorization);
    assert_eq!(transaction(local.settle(&payment).await), theirs.to_string());
    assert_eq!(world.usdc(SELLER).await, PRICE);
    assert_eq!(world.sent(world.gas.address()).await, 0);
}

#[tokio::test]
async fn a_nonce_used_for_something_else_is_refused() {
    let world = World::start().await;
    let local = world.local().await;
    let authorization = world.authorization();
    let mut elsewhere = authorization.clone();
    elsewhere.to = Address::repeat_byte(3);
    world.submit(&elsewhere).await;
    let (reason, hash) = refusal(local.settle(&world.payment_of(&authorization)).await);
    assert_eq!((reason.as_str(), hash.as_str()), (Reason::NonceAlreadyUsed.as_str(), ""));

    let mut less = world.authorization();
    less.value = U256::from(1);
    world.submit(&less).await;
    let mut full = less.clone();
    full.value = U256::from(PRICE);
    let (reason, _) = refusal(local.settle(&world.payment_of(&full)).await);
    assert_eq!(reason, Reason::NonceAlreadyUsed.as_str());
    assert_eq!(world.usdc(SELLER).await, 1);
}

#[tokio::test]
async fn an_empty_gas_wallet_sends_nothing_and_refuses_no_payer() {
    let world = World::start().await;
    let local = world.local().await;
    let wallet = world.gas.address();
    world.rpc("anvil_setBalance", json!([wallet, "0x0"])).await;
    let payment = world.payment();
    let settled = local.settle(&payment).await;
    assert!(matches!(settled, Settlement::NotSent { .. }), "{settled:?}");
    assert!(local.gas().await.expect("asked").balance.is_zero());
    // With the wallet funded again the same payment goes through: no nonce was lost.
    let ether = "0xde0b6b3a7640000";
    world.rpc("anvil_setBalance", json!([wallet, ether])).await;
    transaction(local.settle(&payment).await);
}

#[tokio::test]
async fn a_fee_above_the_limit_stops_before_sending() {
    let world = World::start().await;
    let mut config = world.config();
    config.gas.max_fee_per_gas = 1;
    let local = Local::connect(config).await.expect("connected");
    let settled = local.settle(&world.payment()).await;
    assert!(matches!(settled, Settlement::NotSent { .. }), "{settled:?}");
    assert_eq!(world.sent(world.gas.address()).await, 0);
}

#[tokio::test]
async fn a_server_without_records_gets_a_success_once() {
    let world = World::start().await;
    let local = world.local().await;
    let payment = world.payment();
    let hash = transaction(local.settle_once(&payment).await);
    let again = refusal(local.settle_once(&payment).await);
    let duplicate = Reason::DuplicateSettlement.as_str().to_owned();
    assert_eq!(again, (duplicate.clone(), hash.clone()));

    // After a restart, an old payment is not sold a second time.
    let restarted = world.local().await;
    assert_eq!(refusal(restarted.settle_once(&payment).await), (duplicate.clone(), hash));

    // A payment that another account submits between verification and settlement counts, once.
    let authorization = world.authorization();
    let payment = world.payment_of(&authorization);
    let verified = local.verify(&payment).await;
    assert!(matches!(verified, Verification::Valid { .. }));
    let theirs = world.submit(&authorization).await.to_string();
    assert_eq!(transaction(local.settle_once(&payment).await), theirs);
    assert_eq!(refusal(local.settle_once(&payment).await), (duplicate, theirs));
}
